package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// Checkpoint is the end of a chain as it was at some time. Kept apart from the database, it shows a tail that was cut off.
type Checkpoint struct {
	Chain int64  `json:"chain"`
	Seq   int64  `json:"seq"`
	Hash  []byte `json:"hash"`
}

// Broken is the first row of a chain that does not fit.
type Broken struct {
	Chain, Seq int64
	Project    string // slug of the chain's project; empty for the instance and where the project is gone
	Why        string
}

func (b *Broken) Error() string {
	whose := fmt.Sprintf("project %d", b.Chain)
	switch {
	case b.Chain == InstanceChain:
		whose = "the instance"
	case b.Project != "":
		whose += " (" + b.Project + ")"
	}
	return fmt.Sprintf("the audit log of %s is broken at row %d: %s", whose, b.Seq, b.Why)
}

// VerifyActions recomputes every chain, holds it against its newest hash and against checkpoints of earlier times, and gives
// the ends of all chains for the next time. The error is a [Broken] where a row was changed, removed, put elsewhere or cut off.
// Who can write to the database can cut rows off the end and move the record of the end back: only a checkpoint shows that.
func (s *Store) VerifyAudit(ctx context.Context, earlier []Checkpoint) (_ []Checkpoint, err error) {
	defer doing(&err, "verify audit log")
	var ends []Checkpoint
	// One transaction, so that rows that come meanwhile do not look like damage.
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
			err = errors.Join(err, tx.Model(&Project{}).Where("id = ?", broken.Chain).Pluck("slug", &broken.Project).Error)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ends, nil
}

// missingChain is a [Broken] where a chain is not among heads that has rows, or a project, or was there at a checkpoint.
func missingChain(tx *gorm.DB, heads []auditChain, earlier []Checkpoint) error {
	has := func(chain int64) bool {
		return slices.ContainsFunc(heads, func(h auditChain) bool { return h.Chain == chain })
	}
	var missing []int64
	err := tx.Raw(`SELECT chain FROM (SELECT chain FROM actions UNION SELECT id FROM projects) AS wanted
		WHERE chain NOT IN (SELECT chain FROM action_chains) ORDER BY chain LIMIT 1`).Scan(&missing).Error
	if err != nil {
		return err
	}
	if !has(InstanceChain) {
		missing = []int64{InstanceChain}
	}
	if len(missing) > 0 {
		return &Broken{Chain: missing[0], Seq: 1, Why: "the record of the chain's end is gone"}
	}
	for _, c := range earlier {
		if !has(c.Chain) {
			return &Broken{Chain: c.Chain, Seq: 1, Why: "the whole chain is gone since the checkpoint"}
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
			return broken(end.Seq+1, fmt.Sprintf("it is missing; the next one there is is row %d", row.Seq))
		}
		hash, err := s.pepper.hashAuditRow(end.Hash, &row)
		if err != nil {
			return end, err
		}
		if !bytes.Equal(hash, row.Hash) {
			return broken(row.Seq, "it was changed, or put in another's place")
		}
		end.Seq, end.Hash = row.Seq, row.Hash
		for _, c := range pending {
			if c.Seq == end.Seq && !bytes.Equal(c.Hash, end.Hash) {
				return broken(end.Seq, "it is another one than at the checkpoint")
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
		return broken(max(head.Seq, 0)+1, fmt.Sprintf("the record of the chain's end says that it ends at row %d", head.Seq))
	case !bytes.Equal(head.Hash, end.Hash):
		return broken(end.Seq, "the record of the chain's end says another hash")
	}
	for _, c := range pending {
		if c.Seq > end.Seq {
			return broken(end.Seq+1, fmt.Sprintf("rows %d to %d were there at the checkpoint and were cut off", end.Seq+1, c.Seq))
		}
	}
	return end, nil
}
