package models

// Change names an object that was changed: what a row of the action log says, for those who keep copies in memory.
type Change struct {
	Kind      string // as [Object.Kind]: key, category, service_token, address_block, project, plan, account
	ID        int64
	ProjectID int64 // [InstanceChain] for what belongs to no project
}

// Subscribe makes fn told of each change, after its commit and before the call that made it returns. So who keeps a copy
// can drop it before anybody learns that the change was made. Call it before the store is shared; fn must be quick.
func (s *Store) Subscribe(fn func(Change)) { s.subscribers = append(s.subscribers, fn) }

func (s *Store) tell(changes []Change) {
	for _, c := range changes {
		for _, fn := range s.subscribers {
			fn(c)
		}
	}
}
