package models

import "time"

// Change names an object that was changed, so that caches can drop their copies of it. There is one for each audit row.
type Change struct {
	Kind      string // as [AuditTarget.Kind], or [Everything]
	ID        int64
	ProjectID int64 // [InstanceChain] if the object belongs to no project
	// At is when the change was made, just before its commit, by the clock of the process that made it.
	At     time.Time
	Remote bool // another process made it
}

// Everything is the Kind of a [Change] that names no object: any object may have changed.
const Everything = "everything"

// Subscribe registers fn, which is called for each change after its commit and before the method that made it
// returns. So caches are up to date when the caller learns that the change was made. For changes of other processes,
// fn is called while [Store.Listen] runs. Call Subscribe before other goroutines use the store. fn must return
// quickly.
func (s *Store) Subscribe(fn func(Change)) { s.subscribers = append(s.subscribers, fn) }

// publish calls the subscribers for each change.
func (s *Store) publish(changes []Change) {
	for _, c := range changes {
		for _, fn := range s.subscribers {
			fn(c)
		}
	}
}
