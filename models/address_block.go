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
	Address   string // an IPv4 address or the /64 of an IPv6 address: "203.0.113.7", "2001:db8::/64"
	Strikes   int    // number of blocks in a row, including this one
	BlockedAt time.Time
	EndsAt    time.Time  // unless it is lifted before
	LiftedAt  *time.Time // nil if nobody lifted it
}

const (
	firstBlock   = 15 * time.Minute
	longestBlock = 24 * time.Hour
	// strikeMemory is how long after its end a block counts for the length of the next one.
	strikeMemory = 24 * time.Hour

	// maxAddressBlocks is the most rows of one project. It bounds how many rows an attack from many addresses adds to
	// the audit log. Further blocks hold only in the process that made them.
	maxAddressBlocks = 10_000
	// oldBlocksAtOnce is the most rows that a new block removes of those that no longer count.
	oldBlocksAtOnce = 100
)

// Over returns when the block ends or ended.
func (b *AddressBlock) Over() time.Time {
	if b.LiftedAt != nil {
		return *b.LiftedAt
	}
	return b.EndsAt
}

// InForce reports whether the block holds at now.
func (b *AddressBlock) InForce(now time.Time) bool { return now.Before(b.Over()) }

// Strike returns the number of strikes of a block that begins now. strikes and over are those of the address's previous
// block, 0 and the zero time if there was none.
func Strike(strikes int, over, now time.Time) int {
	if now.Before(over.Add(strikeMemory)) {
		return strikes + 1
	}
	return 1
}

// BlockLasts returns how long a block with that number of strikes lasts: 15 minutes for the first, and twice as long
// for each further one, up to a day.
func BlockLasts(strike int) time.Duration {
	length := firstBlock
	for i := 1; i < strike && length < longestBlock; i++ {
		length *= 2
	}
	return min(length, longestBlock)
}

func (b *AddressBlock) auditTarget() AuditTarget {
	return AuditTarget{"address_block", b.ID, b.Address}
}

var blocker = Actor{Kind: ActorSystem, Name: "claviger"}

// BlockAddress stores a block of an address that begins at b.BlockedAt and has at least b.Strikes strikes. It returns
// the stored row. If the address already had a block in force at that time, by another process or lifted since, it
// returns that one and stores nothing, so a call may be repeated. The error is [CodeConflict] if the project has as
// many rows as it may have.
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
			// Delete and insert, so that the new row gets a new id: lists are in the order of ids.
			if err := a.tx.Delete(&last).Error; err != nil {
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
		return a.log("address_block.create", row.auditTarget(), nil, AuditSnapshot{
			"times_blocked": row.Strikes,
			"ends_at":       row.EndsAt,
		})
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

// roomForAddressBlock removes some of the project's blocks that no longer count. It returns an error if there is no
// room for another row.
func (a *auditedTx) roomForAddressBlock() error {
	old := a.tx.Model(&AddressBlock{}).Select("id").
		Where("project_id = ? AND ends_at <= ?", a.head.Chain, a.now.Add(-strikeMemory)).
		Order("ends_at").
		Limit(oldBlocksAtOnce)
	if err := a.tx.Where("id IN (?)", old).Delete(&AddressBlock{}).Error; err != nil {
		return err
	}
	var count int64
	if err := a.tx.Model(&AddressBlock{}).Where("project_id = ?", a.head.Chain).Count(&count).Error; err != nil {
		return err
	}
	if count >= maxAddressBlocks {
		return Conflict("This project already has 10,000 blocked addresses.")
	}
	return nil
}

// LiftAddressBlock ends a block that is in force. The error is [CodeConflict] if it is over.
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
			return Conflict("This block is already over.")
		}
		b.LiftedAt = &a.now
		if err := a.tx.Model(&b).Select("lifted_at").Updates(&b).Error; err != nil {
			return err
		}
		before, after := AuditSnapshot{"ends_at": b.EndsAt}, AuditSnapshot{"ends_at": a.now}
		return a.log("address_block.lift", b.auditTarget(), before, after)
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

// AddressBlockFilter narrows a list of blocks. Zero fields do not filter.
type AddressBlockFilter struct {
	Address string // part of it
	Before  int64  // only blocks with a smaller id: the cursor
	Limit   int
}

// AddressBlockPage is a page of the list, newest first.
type AddressBlockPage struct {
	Blocks []AddressBlock
	Next   int64 // cursor of the next page, 0 on the last one
}

// AddressBlocks lists a project's blocks, newest first: those in force, and those that still count for the length of
// the next one.
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

// AllAddressBlocks returns the newest blocks of all projects, for the gate's memory: those in force, and those that
// still count for the length of the next one.
func (s *Store) AllAddressBlocks(ctx context.Context, limit int) (list []AddressBlock, err error) {
	defer doing(&err, "list address blocks")
	return list, s.countingBlocks(ctx).Order("id DESC").Limit(limit).Find(&list).Error
}

func (s *Store) countingBlocks(ctx context.Context) *gorm.DB {
	return s.read.WithContext(ctx).Where("ends_at > ?", s.Now().Add(-strikeMemory))
}
