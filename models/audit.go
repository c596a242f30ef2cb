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

// AuditRow is one row of the audit log. It records one change of one object.
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
	Before     string // JSON object with the changed fields before the change; never a secret
	After      string // the same fields after it
	IP         string
	Hash       []byte
}

// TableName returns the table's name, which differs from the type's.
func (AuditRow) TableName() string { return "actions" }

// InstanceChain is the chain of changes that belong to no project, such as those of accounts and plans.
const InstanceChain int64 = 0

// auditChain is the end of a chain: the number and hash of its newest row.
type auditChain struct {
	Chain int64 `gorm:"primaryKey;autoIncrement:false"`
	Seq   int64
	Hash  []byte
}

func (auditChain) TableName() string { return "action_chains" }

// AuditTarget is the object that was changed.
type AuditTarget struct {
	Kind string // key, category, service_token, address_block, project, plan or account
	ID   int64
	Name string
}

// AuditSnapshot has the fields of an object before or after a change, by name. Values must be encodable as JSON and
// must not be secrets.
type AuditSnapshot map[string]any

// inUTC returns a copy whose times are in UTC. The databases and forms return the same moment in different zones.
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

// changedFields returns copies of before and after without the fields that are equal in both. If either is nil, because
// the object is new or deleted, the other keeps all its fields.
func changedFields(before, after AuditSnapshot) (AuditSnapshot, AuditSnapshot) {
	before, after = before.inUTC(), after.inUTC()
	if before == nil || after == nil {
		return before, after
	}
	for name, old := range before {
		if value, both := after[name]; both && jsonEqual(old, value) {
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

// auditedTx is a transaction that holds the lock of one audit chain and writes an audit row for each change.
type auditedTx struct {
	tx      *gorm.DB
	store   *Store
	actor   Actor
	now     time.Time
	head    auditChain // the chain's end, including the rows of this transaction
	logged  bool       // whether the transaction has written rows of this chain
	changes []Change   // for the change feed, one for each audit row
}

// inAuditedTx runs fn in an audit transaction. Because it holds the chain's lock, the changes of one project are made
// one after the other, and rules that count rows hold. Because the audit rows are written in the same transaction,
// each change is in the audit log or did not happen. After the commit, the subscribers are called for each change.
func (s *Store) inAuditedTx(ctx context.Context, chain int64, actor Actor, fn func(a *auditedTx) error) error {
	a := &auditedTx{store: s, actor: actor}
	err := s.tx(ctx, func(tx *gorm.DB) error {
		a.tx = tx
		err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("chain = ?", chain).Take(&a.head).Error
		if err != nil {
			return notFoundAs(err, "project")
		}
		a.now = s.Now() // with the lock held, so that times are in the order of the rows
		if err := a.applyOnce(fn); err != nil {
			return err
		}
		if err := a.saveHead(); err != nil {
			return err
		}
		at := s.now()
		for i := range a.changes {
			a.changes[i].At = at
		}
		return s.notify(tx, a.changes)
	})
	var rejected *Error
	if err != nil && len(a.changes) > 0 && !errors.As(err, &rejected) {
		// A commit that seems to have failed may take effect all the same, even later. With a new sender name, this
		// process does not ignore the notice of that commit.
		s.renameSender()
	}
	s.publish(a.changes) // after an error too: the commit may have taken effect
	return err
}

// startChain creates the chain of a project that was just created. Further audit rows go to that chain.
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

// log writes one audit row with the fields that differ. before is nil if target is new, after if it was deleted. If
// both are given and no field differs, nothing was changed, and log writes no row.
func (a *auditedTx) log(action string, target AuditTarget, before, after AuditSnapshot) error {
	before, after = changedFields(before, after)
	if before != nil && after != nil && len(before)+len(after) == 0 {
		return nil
	}
	row := AuditRow{
		Chain: a.head.Chain, Seq: a.head.Seq + 1, At: a.now,
		ActorKind: a.actor.Kind, ActorID: a.actor.ID, ActorName: a.actor.Name, IP: a.actor.IP,
		Action: action, ObjectKind: target.Kind, ObjectID: target.ID, ObjectName: target.Name,
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
	a.changes = append(a.changes, Change{Kind: target.Kind, ID: target.ID, ProjectID: a.head.Chain})
	return nil
}

func snapshotJSON(s AuditSnapshot) (string, error) {
	if s == nil {
		s = AuditSnapshot{}
	}
	text, err := json.Marshal(s) // with sorted names
	return string(text), err
}

// hashAuditRow returns the hash of a row, which covers the row and the hash before it. It is keyed with the pepper,
// so write access to the database alone is not enough to forge a chain. It leaves out the id, which is not known
// before the row is stored; verifying finds rows by chain and seq.
func (p Pepper) hashAuditRow(previous []byte, row *AuditRow) ([]byte, error) {
	text, err := json.Marshal([]any{
		"claviger action",
		// In hex, because one driver returns an empty hash as nil and the other does not, and JSON encodes them
		// differently.
		hex.EncodeToString(previous),
		row.Chain, row.Seq, row.At.UnixMicro(),
		row.ActorKind, row.ActorID, row.ActorName,
		row.Action, row.ObjectKind, row.ObjectID, row.ObjectName,
		row.Before, row.After, row.IP,
	})
	if err != nil {
		return nil, err
	}
	digest := p.digest(string(text))
	return digest[:], nil
}

// AuditFilter narrows a list of audit rows. Zero fields do not filter.
type AuditFilter struct {
	Actor  string // part of the actor's name
	Action string // a whole action such as "key.create", or its first part: "key"
	Object string // part of the name of the audit target
	From   time.Time
	To     time.Time // exclusive
	Before int64     // only rows with a smaller seq: the cursor
	Limit  int
}

// AuditRows lists the audit rows of a project, newest first. more reports whether there are older ones.
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

// whereContains adds the condition that the column contains part, ignoring case. An empty part adds no condition.
// SQLite knows upper and lower case of ASCII letters only: other letters must be given as they are stored.
func whereContains(q *gorm.DB, column, part string) *gorm.DB {
	if part == "" {
		return q
	}
	return q.Where("(lower("+column+`) LIKE ? ESCAPE '\' OR `+column+` LIKE ? ESCAPE '\')`,
		like(part), "%"+likeEscaper.Replace(part)+"%")
}

// AuditRow reads one audit row of the project. The error is [CodeNotFound] if there is none with that seq.
func (s *Store) AuditRow(ctx context.Context, projectID, seq int64) (_ *AuditRow, err error) {
	defer doing(&err, "read audit row")
	var row AuditRow
	err = s.read.WithContext(ctx).Where("chain = ? AND seq = ?", projectID, seq).Take(&row).Error
	return &row, notFoundAs(err, "audit row")
}
