package models

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// inUTC gives a copy whose times are in UTC: databases and forms give the same moment in zones of their own.
func (f Facts) inUTC() Facts {
	f = maps.Clone(f)
	for name, value := range f {
		switch at := value.(type) {
		case time.Time:
			f[name] = at.UTC()
		case *time.Time:
			if at != nil {
				f[name] = at.UTC()
			}
		}
	}
	return f
}

// changed leaves only the fields that differ between before and after. Of something new or gone, all stay.
func changed(before, after Facts) (Facts, Facts) {
	before, after = before.inUTC(), after.inUTC()
	if before == nil || after == nil {
		return before, after
	}
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
		c := &change{tx: tx, store: s, actor: actor}
		err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("chain = ?", chain).Take(&c.head).Error
		if err != nil {
			return notFoundAs(err, "project")
		}
		c.now = s.Now() // with the lock held, so that times are in the order of the rows
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
// Where all are equal nothing was changed, and no row says so.
func (c *change) log(action string, object Object, before, after Facts) error {
	before, after = changed(before, after)
	if before != nil && after != nil && len(before)+len(after) == 0 {
		return nil
	}
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
// make a chain that fits. The id is left out: it is not known before the row is stored, and the row is found by chain and seq.
func (p Pepper) hashAction(previous []byte, row *Action) ([]byte, error) {
	text, err := json.Marshal([]any{
		// In hex, because an empty hash is nil from one driver and not from the other, which JSON tells apart.
		"claviger action", hex.EncodeToString(previous), row.Chain, row.Seq, row.At.UnixMicro(), row.ActorKind, row.ActorID, row.ActorName, row.Action,
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
	return fmt.Sprintf("the action log of %s is broken at row %d: %s", whose, b.Seq, b.Why)
}

// VerifyActions recomputes every chain, holds it against its newest hash and against checkpoints of earlier times, and gives
// the ends of all chains for the next time. The error is a [Broken] where a row was changed, removed, put elsewhere or cut off.
// Who can write to the database can cut rows off the end and move the record of the end back: only a checkpoint shows that.
func (s *Store) VerifyActions(ctx context.Context, earlier []Checkpoint) ([]Checkpoint, error) {
	var ends []Checkpoint
	// One transaction, so that rows that come meanwhile do not look like damage.
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		var heads []actionChain
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
func missingChain(tx *gorm.DB, heads []actionChain, earlier []Checkpoint) error {
	has := func(chain int64) bool {
		return slices.ContainsFunc(heads, func(h actionChain) bool { return h.Chain == chain })
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

func (s *Store) verifyChain(tx *gorm.DB, head actionChain, earlier []Checkpoint) (Checkpoint, error) {
	end := Checkpoint{Chain: head.Chain, Hash: []byte{}}
	rows, err := tx.Model(&Action{}).Where("chain = ?", head.Chain).Order("seq").Rows()
	if err != nil {
		return end, err
	}
	defer rows.Close()
	broken := func(seq int64, why string) (Checkpoint, error) {
		return end, &Broken{Chain: head.Chain, Seq: seq, Why: why}
	}
	pending := slices.DeleteFunc(slices.Clone(earlier), func(c Checkpoint) bool { return c.Chain != head.Chain })
	for rows.Next() {
		var row Action
		if err := tx.ScanRows(rows, &row); err != nil {
			return broken(end.Seq+1, "it cannot be read: "+err.Error())
		}
		if row.Seq > end.Seq+1 {
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
	q = whereContains(q, "actor_name", f.Actor)
	q = whereContains(q, "object_name", f.Object)
	if f.Action != "" {
		q = q.Where(`(action = ? OR action LIKE ? ESCAPE '\')`, f.Action, likeEscaper.Replace(f.Action)+".%")
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

// whereContains finds part of a text in any case. SQLite knows the cases of ASCII alone: other letters are found as typed.
func whereContains(q *gorm.DB, column, part string) *gorm.DB {
	if part == "" {
		return q
	}
	return q.Where("(lower("+column+`) LIKE ? ESCAPE '\' OR `+column+` LIKE ? ESCAPE '\')`, like(part), "%"+likeEscaper.Replace(part)+"%")
}

// Action reads one change of the project, or [CodeNotFound].
func (s *Store) Action(ctx context.Context, projectID, seq int64) (*Action, error) {
	var row Action
	err := s.read.WithContext(ctx).Where("chain = ? AND seq = ?", projectID, seq).Take(&row).Error
	return &row, notFoundAs(err, "change")
}
