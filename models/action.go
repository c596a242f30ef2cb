package models

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Action is one row of the action log: who changed what, from what to what.
type Action struct {
	ID         int64
	Chain      int64 // project id, or [InstanceChain]
	Seq        int64
	At         time.Time
	ActorKind  ActorKind
	ActorID    int64
	ActorName  string
	Action     string // such as "key.create"
	ObjectKind string
	ObjectID   int64
	ObjectName string
	Before     string // JSON object with what changed, as it was
	After      string // and as it is; never a secret
	IP         string
	Hash       []byte
}

// InstanceChain holds what concerns no project: accounts and plans.
const InstanceChain int64 = 0

// actionChain is the newest row of a chain.
type actionChain struct {
	Chain int64 `gorm:"primaryKey;autoIncrement:false"`
	Seq   int64
	Hash  []byte
}

// Object is what a change was made to.
type Object struct {
	Kind string
	ID   int64
	Name string
}

// Facts are the fields of an object that a change may touch, by name. Values are what JSON can hold; no secrets.
type Facts map[string]any

// changed leaves only the fields that differ between before and after. Of something new or gone, all stay.
func changed(before, after Facts) (Facts, Facts) {
	if before == nil || after == nil {
		return before, after
	}
	before, after = maps.Clone(before), maps.Clone(after)
	for name, was := range before {
		if is, both := after[name]; both && jsonEqual(was, is) {
			delete(before, name)
			delete(after, name)
		}
	}
	return before, after
}

func jsonEqual(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// change is a transaction that makes changes in one chain and writes down each.
type change struct {
	tx     *gorm.DB
	store  *Store
	actor  Actor
	now    time.Time
	head   actionChain
	logged bool
}

// change runs fn in a transaction that holds the chain's lock, so that changes of one project come one after the other,
// rules that count rows hold, and each change is in the log or did not happen.
func (s *Store) change(ctx context.Context, chain int64, actor Actor, fn func(c *change) error) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		c := &change{tx: tx, store: s, actor: actor, now: s.Now()}
		err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("chain = ?", chain).Take(&c.head).Error
		if err != nil {
			return notFoundAs(err, "project")
		}
		if err := fn(c); err != nil {
			return err
		}
		return c.saveHead()
	})
}

// startChain makes the chain of a project that was just created and goes on in it.
func (c *change) startChain(projectID int64) error {
	if err := c.saveHead(); err != nil {
		return err
	}
	c.head, c.logged = actionChain{Chain: projectID, Hash: []byte{}}, false
	return c.tx.Create(&c.head).Error
}

func (c *change) saveHead() error {
	if !c.logged {
		return nil
	}
	return c.tx.Model(&actionChain{}).Where("chain = ?", c.head.Chain).
		Updates(map[string]any{"seq": c.head.Seq, "hash": c.head.Hash}).Error
}

// log writes one row. before is nil for something new, after for something that is gone; equal fields are left out.
func (c *change) log(action string, object Object, before, after Facts) error {
	before, after = changed(before, after)
	row := Action{
		Chain: c.head.Chain, Seq: c.head.Seq + 1, At: c.now, ActorKind: c.actor.Kind, ActorID: c.actor.ID, ActorName: c.actor.Name,
		Action: action, ObjectKind: object.Kind, ObjectID: object.ID, ObjectName: object.Name, IP: c.actor.IP,
	}
	var err error
	if row.Before, err = factsJSON(before); err != nil {
		return err
	}
	if row.After, err = factsJSON(after); err != nil {
		return err
	}
	if row.Hash, err = c.store.pepper.hashAction(c.head.Hash, &row); err != nil {
		return err
	}
	if err := c.tx.Create(&row).Error; err != nil {
		return err
	}
	c.head.Seq, c.head.Hash, c.logged = row.Seq, row.Hash, true
	return nil
}

func factsJSON(f Facts) (string, error) {
	if f == nil {
		f = Facts{}
	}
	text, err := json.Marshal(f) // with sorted names
	return string(text), err
}

// hashAction covers the row and the hash before it. It is keyed by the pepper: who can write to the database alone cannot
// make a chain that fits.
func (p Pepper) hashAction(previous []byte, row *Action) ([]byte, error) {
	text, err := json.Marshal([]any{
		"claviger action", previous, row.Chain, row.Seq, row.At.UnixMilli(), row.ActorKind, row.ActorID, row.ActorName, row.Action,
		row.ObjectKind, row.ObjectID, row.ObjectName, row.Before, row.After, row.IP,
	})
	if err != nil {
		return nil, err
	}
	digest := p.digest(string(text))
	return digest[:], nil
}

// Checkpoint is the end of a chain as it was at some time. Kept apart from the database, it shows a tail that was cut off.
type Checkpoint struct {
	Chain int64  `json:"chain"`
	Seq   int64  `json:"seq"`
	Hash  []byte `json:"hash"`
}

// Broken is the first row of a chain that does not fit.
type Broken struct {
	Chain, Seq int64
	Why        string
}

func (b *Broken) Error() string {
	if b.Chain == InstanceChain {
		return fmt.Sprintf("the action log of the instance is broken at row %d: %s", b.Seq, b.Why)
	}
	return fmt.Sprintf("the action log of project %d is broken at row %d: %s", b.Chain, b.Seq, b.Why)
}

// VerifyActions recomputes every chain, holds it against its newest hash and against checkpoints of earlier times, and gives
// the ends of all chains for the next time. The error is a [Broken] where a row was changed, removed, put elsewhere or cut off.
func (s *Store) VerifyActions(ctx context.Context, earlier []Checkpoint) ([]Checkpoint, error) {
	var ends []Checkpoint
	// One transaction, so that rows that come meanwhile do not look like damage.
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		var heads []actionChain
		if err := tx.Order("chain").Find(&heads).Error; err != nil {
			return err
		}
		var strays []int64
		err := tx.Model(&Action{}).Where("chain NOT IN (SELECT chain FROM action_chains)").Distinct().Order("chain").Pluck("chain", &strays).Error
		if err != nil {
			return err
		}
		if len(strays) > 0 {
			return &Broken{Chain: strays[0], Seq: 1, Why: "the record of the chain's end is gone"}
		}
		for _, c := range earlier {
			if !slices.ContainsFunc(heads, func(h actionChain) bool { return h.Chain == c.Chain }) {
				return &Broken{Chain: c.Chain, Seq: c.Seq, Why: "the whole chain is gone since the checkpoint"}
			}
		}
		for _, head := range heads {
			end, err := s.verifyChain(tx, head, earlier)
			if err != nil {
				return err
			}
			ends = append(ends, end)
		}
		return nil
	})
	return ends, err
}

func (s *Store) verifyChain(tx *gorm.DB, head actionChain, earlier []Checkpoint) (Checkpoint, error) {
	end := Checkpoint{Chain: head.Chain, Hash: []byte{}}
	rows, err := tx.Model(&Action{}).Where("chain = ?", head.Chain).Order("seq").Rows()
	if err != nil {
		return end, err
	}
	defer rows.Close()
	broken := func(seq int64, why string) (Checkpoint, error) { return end, &Broken{head.Chain, seq, why} }
	pending := slices.DeleteFunc(slices.Clone(earlier), func(c Checkpoint) bool { return c.Chain != head.Chain || c.Seq == 0 })
	for rows.Next() {
		var row Action
		if err := tx.ScanRows(rows, &row); err != nil {
			return end, err
		}
		if row.Seq != end.Seq+1 {
			return broken(end.Seq+1, fmt.Sprintf("it is missing; the next one there is is row %d", row.Seq))
		}
		hash, err := s.pepper.hashAction(end.Hash, &row)
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
	if head.Seq != end.Seq || !bytes.Equal(head.Hash, end.Hash) {
		return broken(end.Seq+1, fmt.Sprintf("rows %d to %d were cut off", end.Seq+1, head.Seq))
	}
	for _, c := range pending {
		if c.Seq > end.Seq {
			return broken(end.Seq+1, fmt.Sprintf("rows up to %d were there at the checkpoint", c.Seq))
		}
	}
	return end, nil
}

// ActionFilter narrows a list of actions; zero fields do not.
type ActionFilter struct {
	Actor  string // part of the name
	Action string // the whole of it, or its first part: "key"
	Object string // part of the name
	From   time.Time
	To     time.Time // exclusive
	Before int64     // only rows with a smaller seq: the cursor
	Limit  int
}

// Actions lists changes in a project, newest first, and tells whether there are older ones.
func (s *Store) Actions(ctx context.Context, projectID int64, f ActionFilter) (rows []Action, more bool, err error) {
	q := s.read.WithContext(ctx).Where("chain = ?", projectID)
	if f.Actor != "" {
		q = q.Where(`lower(actor_name) LIKE ? ESCAPE '\'`, like(f.Actor))
	}
	if f.Action != "" {
		q = q.Where(`(action = ? OR action LIKE ? ESCAPE '\')`, f.Action, likeEscaper.Replace(f.Action)+".%")
	}
	if f.Object != "" {
		q = q.Where(`lower(object_name) LIKE ? ESCAPE '\'`, like(f.Object))
	}
	if !f.From.IsZero() {
		q = q.Where("at >= ?", f.From)
	}
	if !f.To.IsZero() {
		q = q.Where("at < ?", f.To)
	}
	if f.Before > 0 {
		q = q.Where("seq < ?", f.Before)
	}
	if err := q.Order("seq DESC").Limit(f.Limit + 1).Find(&rows).Error; err != nil {
		return nil, false, err
	}
	if len(rows) > f.Limit {
		return rows[:f.Limit], true, nil
	}
	return rows, false, nil
}
