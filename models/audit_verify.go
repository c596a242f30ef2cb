package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// Checkpoint is the end of a chain at some time. If it is kept outside of the database, verifying with it finds rows
// that were cut off since.
type Checkpoint struct {
	Chain int64  `json:"chain"`
	Seq   int64  `json:"seq"`
	Hash  []byte `json:"hash"`
}

// Broken is the error of [Store.VerifyAudit] for a chain that does not verify. It names the first row that is wrong.
type Broken struct {
	Chain, Seq int64
	Project    string // slug of the chain's project; empty for the instance and for a deleted project
	Why        string
}

func (b *Broken) Error() string {
	owner := fmt.Sprintf("project %d", b.Chain)
	switch {
	case b.Chain == InstanceChain:
		owner = "the instance"
	case b.Project != "":
		owner += " (" + b.Project + ")"
	}
	return fmt.Sprintf("the audit log of %s is broken at row %d: %s", owner, b.Seq, b.Why)
}

// VerifyAudit recomputes every chain and compares it with its stored end and with earlier checkpoints. It returns the
// ends of all chains, as checkpoints for the next call. The error is a [Broken] if a row was changed, removed, moved
// or cut off. Somebody with write access to the database can cut rows off the end of a chain and change its stored
// end: only a checkpoint shows that.
func (s *Store) VerifyAudit(ctx context.Context, earlier []Checkpoint) (_ []Checkpoint, err error) {
	defer doing(&err, "verify audit log")
	var ends []Checkpoint
	// One transaction, so that rows written meanwhile do not look like damage.
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		var heads []auditChain
		if err := tx.Order("chain").Find(&heads).Error; err != nil {
			return err
		}
		err := missingChain(tx, heads, earlier)
		for i := 0; i < len(heads) && err == nil; i++ {
			var end Checkpoint
			end, err = s.verifyChain(tx, heads[i], earlier)
			ends = append(ends, end)
		}
		var broken *Broken
		if errors.As(err, &broken) {
			findSlug := tx.Model(&Project{}).Where("id = ?", broken.Chain).Pluck("slug", &broken.Project)
			err = errors.Join(err, findSlug.Error)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ends, nil
}

// missingChain returns a [Broken] if heads lacks a chain that must exist: the instance's, or one that has rows, a
// project or a checkpoint.
func missingChain(tx *gorm.DB, heads []auditChain, earlier []Checkpoint) error {
	has := func(chain int64) bool {
		return slices.ContainsFunc(heads, func(h auditChain) bool { return h.Chain == chain })
	}
	var missing []int64
	err := tx.Raw(`
		SELECT chain
		FROM (SELECT chain FROM actions UNION SELECT id FROM projects) AS wanted
		WHERE chain NOT IN (SELECT chain FROM action_chains)
		ORDER BY chain
		LIMIT 1
	`).Scan(&missing).Error
	if err != nil {
		return err
	}
	if !has(InstanceChain) {
		missing = []int64{InstanceChain}
	}
	if len(missing) > 0 {
		return &Broken{Chain: missing[0], Seq: 1, Why: "the record of the chain's end is missing"}
	}
	for _, c := range earlier {
		if !has(c.Chain) {
			return &Broken{Chain: c.Chain, Seq: 1, Why: "the whole chain was removed since the checkpoint"}
		}
	}
	return nil
}

func (s *Store) verifyChain(tx *gorm.DB, head auditChain, earlier []Checkpoint) (Checkpoint, error) {
	end := Checkpoint{Chain: head.Chain, Hash: []byte{}}
	rows, err := tx.Model(&AuditRow{}).Where("chain = ?", head.Chain).Order("seq").Rows()
	if err != nil {
		return end, err
	}
	defer rows.Close()
	broken := func(seq int64, why string) (Checkpoint, error) {
		return end, &Broken{Chain: head.Chain, Seq: seq, Why: why}
	}
	pending := slices.DeleteFunc(slices.Clone(earlier), func(c Checkpoint) bool { return c.Chain != head.Chain })
	for rows.Next() {
		var row AuditRow
		if err := tx.ScanRows(rows, &row); err != nil {
			return broken(end.Seq+1, "it cannot be read: "+err.Error())
		}
		if row.Seq > end.Seq+1 {
			return broken(end.Seq+1, fmt.Sprintf("it is missing; the next row is row %d", row.Seq))
		}
		hash, err := s.pepper.hashAuditRow(end.Hash, &row)
		if err != nil {
			return end, err
		}
		if !bytes.Equal(hash, row.Hash) {
			return broken(row.Seq, "it was changed or moved")
		}
		end.Seq, end.Hash = row.Seq, row.Hash
		for _, c := range pending {
			if c.Seq == end.Seq && !bytes.Equal(c.Hash, end.Hash) {
				return broken(end.Seq, "it differs from the row at the checkpoint")
			}
		}
	}
	if err := rows.Err(); err != nil {
		return end, err
	}
	switch {
	case head.Seq > end.Seq:
		return broken(end.Seq+1, fmt.Sprintf("rows %d to %d were cut off", end.Seq+1, head.Seq))
	case head.Seq < end.Seq:
		why := fmt.Sprintf("the record of the chain's end names row %d as the last", head.Seq)
		return broken(max(head.Seq, 0)+1, why)
	case !bytes.Equal(head.Hash, end.Hash):
		return broken(end.Seq, "the record of the chain's end has another hash")
	}
	for _, c := range pending {
		if c.Seq > end.Seq {
			return broken(end.Seq+1, fmt.Sprintf("rows %d to %d were cut off since the checkpoint", end.Seq+1, c.Seq))
		}
	}
	return end, nil
}
