package gate

import (
	"context"
	"sync"

	"github.com/claviger/claviger/models"
)

// meter counts what one key was admitted, whichever of its versions was used.
type meter struct {
	mu     sync.Mutex
	loaded bool // used holds what was admitted before; only keys with quotas need it
	gone   bool // thrown out of memory: whoever still holds it asks for the key's meter again
	used   series
	recent window // of the plan's limit per key and minute
	// ticket is the recorder's for the newest row of the key: until it is stored the meter must not be thrown out,
	// because one that is read anew would not know of the row.
	ticket uint64
}

// meters keeps the meters of the keys in use. A meter that is not here is read from the database.
type meters struct {
	load   func(ctx context.Context, keyID int64) (models.KeyUsage, error)
	stored func() uint64 // the recorder's newest ticket that is stored, with all before it
	flush  func(ctx context.Context) error
	limit  int // for each shard
	shard  [shards]struct {
		mu sync.RWMutex
		m  map[int64]*meter
	}
}

func newMeters(limit int, load func(context.Context, int64) (models.KeyUsage, error), stored func() uint64, flush func(context.Context) error) *meters {
	m := &meters{load: load, stored: stored, flush: flush, limit: max(1, limit/shards)}
	for i := range m.shard {
		m.shard[i].m = map[int64]*meter{}
	}
	return m
}

// lock gives the key's meter, locked.
func (m *meters) lock(keyID int64) *meter {
	shard := &m.shard[uint64(keyID)%shards]
	for {
		shard.mu.RLock()
		found := shard.m[keyID]
		shard.mu.RUnlock()
		if found == nil {
			shard.mu.Lock()
			if found = shard.m[keyID]; found == nil {
				m.makeRoom(shard.m)
				found = &meter{}
				shard.m[keyID] = found
			}
			shard.mu.Unlock()
		}
		found.mu.Lock()
		if !found.gone {
			return found
		}
		found.mu.Unlock()
	}
}

// roomTries bounds how many meters are looked at to find one that may go. Where all of them have rows that wait to be
// stored there are more meters than the limit for a moment, and never more than rows that wait.
const roomTries = 8

// makeRoom throws out an arbitrary meter that nobody holds and whose rows are all stored.
func (m *meters) makeRoom(shard map[int64]*meter) {
	if len(shard) < m.limit {
		return
	}
	stored, tries := m.stored(), roomTries
	for keyID, candidate := range shard {
		if tries--; tries < 0 {
			return
		}
		if !candidate.mu.TryLock() {
			continue
		}
		if candidate.ticket <= stored {
			candidate.gone = true
			delete(shard, keyID)
		}
		candidate.mu.Unlock()
		if len(shard) < m.limit {
			return
		}
	}
}

// ready makes the locked meter know what the key was admitted before.
func (m *meters) ready(ctx context.Context, keyID int64, locked *meter, now uint32) error {
	if locked.loaded {
		locked.used.advance(now)
		return nil
	}
	// Requests that were admitted without a quota are in rows that may not be stored yet.
	if locked.ticket > m.stored() {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	used, err := m.load(ctx, keyID)
	if err != nil {
		return err
	}
	locked.used, locked.loaded = newSeries(used, now), true
	return nil
}

// size counts the meters in memory.
func (m *meters) size() (n int) {
	for i := range m.shard {
		m.shard[i].mu.RLock()
		n += len(m.shard[i].m)
		m.shard[i].mu.RUnlock()
	}
	return n
}
