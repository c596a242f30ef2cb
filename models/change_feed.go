package models

import "time"

// Change names an object that was changed: what a row of the audit log says, for those who keep copies in memory.
type Change struct {
	Kind      string // as [Object.Kind]: key, category, service_token, address_block, project, plan, account; or [Everything]
	ID        int64
	ProjectID int64 // [InstanceChain] for what belongs to no project
	// At is when the change was made, just before its commit, by the clock of the process that made it.
	At     time.Time
	Remote bool // another process made it
}

// Everything is the Kind of a notice that names no object: any of them may have changed.
const Everything = "everything"

// Subscribe makes fn told of each change, after its commit and before the call that made it returns. So who keeps a copy
// can drop it before anybody learns that the change was made. Changes of other processes are told by [Store.Listen]. Call it
// before the store is shared; fn must be quick.
func (s *Store) Subscribe(fn func(Change)) { s.subscribers = append(s.subscribers, fn) }

func (s *Store) tell(changes []Change) {
	for _, c := range changes {
		for _, fn := range s.subscribers {
			fn(c)
		}
	}
}
