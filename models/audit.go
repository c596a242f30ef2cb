package models

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Action is one row of the audit log: who changed what, from what to what.
type AuditRow struct {
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

// TableName is the name of the table, which is older than the word audit.
func (AuditRow) TableName() string { return "actions" }

// InstanceChain holds what concerns no project: accounts and plans.
const InstanceChain int64 = 0

// actionChain is the newest row of a chain.
type auditChain struct {
	Chain int64 `gorm:"primaryKey;autoIncrement:false"`
	Seq   int64
	Hash  []byte
}

func (auditChain) TableName() string { return "action_chains" }

// AuditTarget is what a change was made to.
type AuditTarget struct {
	Kind string
	ID   int64
	Name string
}

// Facts are the fields of an object that a change may touch, by name. Values are what JSON can hold; no secrets.
type AuditSnapshot map[string]any

// inUTC gives a copy whose times are in UTC: databases and forms give the same moment in zones of their own.
func (s AuditSnapshot) inUTC() AuditSnapshot {
	s = maps.Clone(s)
	for name, value := range s {
		switch at := value.(type) {
		case time.Time:
			s[name] = at.UTC()
		case *time.Time:
			if at != nil {
				s[name] = at.UTC()
			}
		}
	}
	return s
}

// changed leaves only the fields that differ between before and after. Of something new or gone, all stay.
func changed(before, after AuditSnapshot) (AuditSnapshot, AuditSnapshot) {
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
type auditedTx struct {
	tx     *gorm.DB
	store  *Store
	actor  Actor
	now    time.Time
	head   auditChain
	logged bool
	done   []Change
}

// change runs fn in a transaction that holds the chain's lock, so that changes of one project come one after the other,
// rules that count rows hold, and each change is in the log or did not happen.
func (s *Store) inAuditedTx(ctx context.Context, chain int64, actor Actor, fn func(a *auditedTx) error) error {
	c := &auditedTx{store: s, actor: actor}
	err := s.tx(ctx, func(tx *gorm.DB) error {
		c.tx = tx
		err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("chain = ?", chain).Take(&c.head).Error
		if err != nil {
			return notFoundAs(err, "project")
		}
		c.now = s.Now() // with the lock held, so that times are in the order of the rows
		if err := c.applyOnce(fn); err != nil {
			return err
		}
		if err := c.saveHead(); err != nil {
			return err
		}
		made := s.now()
		for i := range c.done {
			c.done[i].At = made
		}
		return s.notify(tx, c.done)
	})
	var refused *Error
	if err != nil && len(c.done) > 0 && !errors.As(err, &refused) {
		// A commit that seems to have failed may have been stored, or be stored later still: then its notice has to be heeded
		// here, too.
		s.renameSender()
	}
	s.tell(c.done) // also after an error, for a commit that was stored
	return err
}

// startChain makes the chain of a project that was just created and goes on in it.
func (a *auditedTx) startChain(projectID int64) error {
	if err := a.saveHead(); err != nil {
		return err
	}
	a.head, a.logged = auditChain{Chain: projectID, Hash: []byte{}}, false
	return a.tx.Create(&a.head).Error
}

func (a *auditedTx) saveHead() error {
	if !a.logged {
		return nil
	}
	return a.tx.Model(&auditChain{}).Where("chain = ?", a.head.Chain).
		Updates(map[string]any{"seq": a.head.Seq, "hash": a.head.Hash}).Error
}

// log writes one row. before is nil for something new, after for something that is gone; equal fields are left out.
// Where all are equal nothing was changed, and no row says so.
func (a *auditedTx) log(action string, object AuditTarget, before, after AuditSnapshot) error {
	before, after = changed(before, after)
	if before != nil && after != nil && len(before)+len(after) == 0 {
		return nil
	}
	row := AuditRow{
		Chain: a.head.Chain, Seq: a.head.Seq + 1, At: a.now, ActorKind: a.actor.Kind, ActorID: a.actor.ID, ActorName: a.actor.Name,
		Action: action, ObjectKind: object.Kind, ObjectID: object.ID, ObjectName: object.Name, IP: a.actor.IP,
	}
	var err error
	if row.Before, err = snapshotJSON(before); err != nil {
		return err
	}
	if row.After, err = snapshotJSON(after); err != nil {
		return err
	}
	if row.Hash, err = a.store.pepper.hashAuditRow(a.head.Hash, &row); err != nil {
		return err
	}
	if err := a.tx.Create(&row).Error; err != nil {
		return err
	}
	a.head.Seq, a.head.Hash, a.logged = row.Seq, row.Hash, true
	a.done = append(a.done, Change{Kind: object.Kind, ID: object.ID, ProjectID: a.head.Chain})
	return nil
}

func snapshotJSON(s AuditSnapshot) (string, error) {
	if s == nil {
		s = AuditSnapshot{}
	}
	text, err := json.Marshal(s) // with sorted names
	return string(text), err
}

// hashAction covers the row and the hash before it. It is keyed by the pepper: who can write to the database alone cannot
// make a chain that fits. The id is left out: it is not known before the row is stored, and the row is found by chain and seq.
func (p Pepper) hashAuditRow(previous []byte, row *AuditRow) ([]byte, error) {
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

// ActionFilter narrows a list of actions; zero fields do not.
type AuditFilter struct {
	Actor  string // part of the name
	Action string // the whole of it, or its first part: "key"
	Object string // part of the name
	From   time.Time
	To     time.Time // exclusive
	Before int64     // only rows with a smaller seq: the cursor
	Limit  int
}

// Actions lists changes in a project, newest first, and tells whether there are older ones.
func (s *Store) AuditRows(
	ctx context.Context, projectID int64, f AuditFilter,
) (rows []AuditRow, more bool, err error) {
	defer doing(&err, "list audit rows")
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
func (s *Store) AuditRow(ctx context.Context, projectID, seq int64) (_ *AuditRow, err error) {
	defer doing(&err, "read audit row")
	var row AuditRow
	err = s.read.WithContext(ctx).Where("chain = ? AND seq = ?", projectID, seq).Take(&row).Error
	return &row, notFoundAs(err, "change")
}
