package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"
)

// AddressBlock is the newest block of an address in a project: product.md, section 3.
type AddressBlock struct {
	ID        int64
	ProjectID int64
	Address   string // "203.0.113.7", or of IPv6 the /64: "2001:db8::/64"
	Strikes   int    // blocks one after the other, this one included
	BlockedAt time.Time
	EndsAt    time.Time // unless it is lifted before
	LiftedAt  *time.Time
}

const (
	firstBlock   = 15 * time.Minute
	longestBlock = 24 * time.Hour
	// strikesForgotten is how long after the end of its block an address starts anew.
	strikesForgotten = 24 * time.Hour

	// maxAddressBlocks bounds the rows of one project, and so what an attack from many addresses adds to the audit log.
	// Further blocks hold in the process that made them.
	maxAddressBlocks = 10_000
	// oldBlocksAtOnce bounds what a new block removes of those that no longer count.
	oldBlocksAtOnce = 100
)

// Over is when the block ends or ended.
func (b *AddressBlock) Over() time.Time {
	if b.LiftedAt != nil {
		return *b.LiftedAt
	}
	return b.EndsAt
}

// InForce tells whether the address is blocked at that moment.
func (b *AddressBlock) InForce(now time.Time) bool { return now.Before(b.Over()) }

// Strike is the number of a block that begins now, where the one before it had the number strikes and was over at that
// time; 0 strikes where there was none.
func Strike(strikes int, over, now time.Time) int {
	if now.Before(over.Add(strikesForgotten)) {
		return strikes + 1
	}
	return 1
}

// BlockLasts is how long the block with that number lasts: 15 minutes, and twice as long with each, up to a day.
func BlockLasts(strike int) time.Duration {
	lasts := firstBlock
	for i := 1; i < strike && lasts < longestBlock; i++ {
		lasts *= 2
	}
	return min(lasts, longestBlock)
}

func (b *AddressBlock) auditTarget() AuditTarget {
	return AuditTarget{"address_block", b.ID, b.Address}
}

var blocker = Actor{Kind: ActorSystem, Name: "claviger"}

// BlockAddress writes down that an address is blocked since b.BlockedAt, with at least b.Strikes strikes, and gives the row as
// it is then: where another process blocked the address before, or somebody has lifted the block since, that one. It may be
// repeated. [CodeConflict] where the project has no room for further rows.
func (s *Store) BlockAddress(ctx context.Context, b AddressBlock) (_ *AddressBlock, err error) {
	defer doing(&err, "block address")
	row := &AddressBlock{ProjectID: b.ProjectID, Address: b.Address, Strikes: b.Strikes, BlockedAt: b.BlockedAt}
	err = s.inAuditedTx(ctx, b.ProjectID, blocker, func(a *auditedTx) error {
		var last AddressBlock
		err := a.tx.Where("project_id = ? AND address = ?", b.ProjectID, b.Address).Take(&last).Error
		switch {
		case errors.Is(err, gorm.ErrRecordNotFound):
		case err != nil:
			return err
		case last.InForce(b.BlockedAt):
			row = &last
			return nil
		default:
			row.Strikes = max(row.Strikes, Strike(last.Strikes, last.Over(), b.BlockedAt))
			if err := a.tx.Delete(&last).Error; err != nil { // the new row gets a new id: lists go by it
				return err
			}
		}
		row.EndsAt = b.BlockedAt.Add(BlockLasts(row.Strikes))
		if err := a.roomForAddressBlock(); err != nil {
			return err
		}
		if err := a.tx.Create(row).Error; err != nil {
			return err
		}
		return a.log("address_block.create", row.auditTarget(), nil, AuditSnapshot{"times_blocked": row.Strikes, "ends_at": row.EndsAt})
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

// roomForAddressBlock removes some of the project's blocks that no longer count, and is an error where too many do.
func (a *auditedTx) roomForAddressBlock() error {
	old := a.tx.Model(&AddressBlock{}).Select("id").Where("project_id = ? AND ends_at <= ?", a.head.Chain, a.now.Add(-strikesForgotten)).
		Order("ends_at").Limit(oldBlocksAtOnce)
	if err := a.tx.Where("id IN (?)", old).Delete(&AddressBlock{}).Error; err != nil {
		return err
	}
	var count int64
	if err := a.tx.Model(&AddressBlock{}).Where("project_id = ?", a.head.Chain).Count(&count).Error; err != nil {
		return err
	}
	if count >= maxAddressBlocks {
		return Conflict("This project has 10,000 blocked addresses already.")
	}
	return nil
}

// LiftAddressBlock ends a block that is in force; [CodeConflict] where it is over.
func (s *Store) LiftAddressBlock(
	ctx context.Context, projectID, id int64, actor Actor,
) (_ *AddressBlock, err error) {
	defer doing(&err, "lift address block")
	var b AddressBlock
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		if err := a.tx.Where("project_id = ? AND id = ?", projectID, id).Take(&b).Error; err != nil {
			return notFoundAs(err, "block")
		}
		if !b.InForce(a.now) {
			return Conflict("This block is over already.")
		}
		b.LiftedAt = &a.now
		if err := a.tx.Model(&b).Select("lifted_at").Updates(&b).Error; err != nil {
			return err
		}
		return a.log("address_block.lift", b.auditTarget(), AuditSnapshot{"ends_at": b.EndsAt}, AuditSnapshot{"ends_at": a.now})
	})
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// AddressBlock reads one block of the project, or [CodeNotFound].
func (s *Store) AddressBlock(ctx context.Context, projectID, id int64) (_ *AddressBlock, err error) {
	defer doing(&err, "read address block")
	var b AddressBlock
	err = s.read.WithContext(ctx).Where("project_id = ? AND id = ?", projectID, id).Take(&b).Error
	return &b, notFoundAs(err, "block")
}

// AddressBlockFilter narrows a list of blocks; zero fields do not.
type AddressBlockFilter struct {
	Address string // part of it
	Before  int64  // only blocks with a smaller id: the cursor
	Limit   int
}

// AddressBlockPage is a stretch of the list, newest first.
type AddressBlockPage struct {
	Blocks []AddressBlock
	Next   int64 // cursor of the next page, 0 on the last one
}

// AddressBlocks lists a project's blocks, newest first: those in force and those that still count for the next.
func (s *Store) AddressBlocks(
	ctx context.Context, projectID int64, f AddressBlockFilter,
) (_ AddressBlockPage, err error) {
	defer doing(&err, "list address blocks")
	q := whereContains(s.countingBlocks(ctx).Where("project_id = ?", projectID), "address", f.Address)
	if f.Before > 0 {
		q = q.Where("id < ?", f.Before)
	}
	var page AddressBlockPage
	if err := q.Order("id DESC").Limit(f.Limit + 1).Find(&page.Blocks).Error; err != nil {
		return AddressBlockPage{}, err
	}
	if len(page.Blocks) > f.Limit {
		page.Blocks = page.Blocks[:f.Limit]
		page.Next = page.Blocks[f.Limit-1].ID
	}
	return page, nil
}

// AllAddressBlocks gives the newest blocks of all projects that are in force or still count for the next, for the gate's memory.
func (s *Store) AllAddressBlocks(ctx context.Context, limit int) (list []AddressBlock, err error) {
	defer doing(&err, "list address blocks")
	return list, s.countingBlocks(ctx).Order("id DESC").Limit(limit).Find(&list).Error
}

func (s *Store) countingBlocks(ctx context.Context) *gorm.DB {
	return s.read.WithContext(ctx).Where("ends_at > ?", s.Now().Add(-strikesForgotten))
}
