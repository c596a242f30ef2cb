package gate

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/claviger/claviger/models/requestlog"
)

// meters holds the meters of the keys in use. A meter that is not in memory is loaded from the database.
type meters struct {
	load    func(ctx context.Context, keyID int64) (requestlog.KeyUsage, error)
	stored  func() uint64                                  // Stored of the recorder
	wait    func(ctx context.Context, ticket uint64) error // WaitStored of the recorder
	slot    func() uint32                                  // the present slot of the limit per key and minute
	limit   int                                            // meters in each shard
	flights singleflight.Group
	shard   [shards]metersShard
}

type metersShard struct {
	mu     sync.RWMutex
	places map[int64]uint32 // by key ID
	slab   slab[meter]
	large  map[uint32][]byte // packed points by place
}

// newMeters returns an empty set of meters. The functions are those of the fields.
func newMeters(
	limit int,
	load func(context.Context, int64) (requestlog.KeyUsage, error),
	stored func() uint64,
	wait func(context.Context, uint64) error,
	slot func() uint32,
) *meters {
	m := &meters{load: load, stored: stored, wait: wait, slot: slot, limit: max(1, limit/shards)}
	for i := range m.shard {
		m.shard[i].places, m.shard[i].large = map[int64]uint32{}, map[uint32][]byte{}
	}
	return m
}

func (m *meters) shardOf(keyID int64) *metersShard { return &m.shard[uint64(keyID)%shards] }

// lock returns the key's meter, locked. It makes one if there is none.
func (m *meters) lock(keyID int64) *meter {
	shard := m.shardOf(keyID)
	for {
		found := shard.find(keyID)
		if found == nil {
			found = m.make(shard, keyID)
		}
		found.mu.Lock()
		if found.keyID.Load() == keyID {
			return found
		}
		found.mu.Unlock()
	}
}

// find returns the key's meter, nil if there is none.
func (s *metersShard) find(keyID int64) *meter {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if place, known := s.places[keyID]; known {
		return s.slab.at(place)
	}
	return nil
}

// lockHint locks the key's meter, trying the cached pointer hint first; it falls back to lock if hint is nil or now
// serves another key. That saves a look into a map, which with many keys is in none of the processor's caches.
func (m *meters) lockHint(hint *meter, keyID int64) *meter {
	if hint != nil {
		hint.mu.Lock()
		if hint.keyID.Load() == keyID {
			return hint
		}
		hint.mu.Unlock()
	}
	return m.lock(keyID)
}

// placeOf returns the place of the key's meter, for [meters.at].
func (m *meters) placeOf(keyID int64) uint32 {
	locked := m.lock(keyID)
	defer locked.mu.Unlock()
	return locked.place*shards + uint32(uint64(keyID)%shards)
}

// at returns the meter at a place that [meters.placeOf] returned. If that key's meter was evicted, it serves another
// key or none.
func (m *meters) at(place uint32) *meter { return m.shard[place%shards].slab.at(place / shards) }

// make returns the key's meter, and makes it if there is none yet.
func (m *meters) make(shard *metersShard, keyID int64) *meter {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if place, known := shard.places[keyID]; known {
		return shard.slab.at(place)
	}
	m.makeRoom(shard)
	place := shard.slab.alloc()
	made := shard.slab.at(place)
	// A caller of lock may still have a pointer to the meter that was here before: it checks keyID under the lock.
	made.mu.Lock()
	made.reset(keyID, place)
	made.ticket = m.stored() // if the key had a meter, all of its rows were stored when it was evicted
	made.mu.Unlock()
	shard.places[keyID] = place
	return made
}

// roomTries bounds how many meters are examined to find one that may be evicted. If all of these have rows that wait to
// be stored, there are more meters than the limit for a moment.
const roomTries = 8

// makeRoom evicts a meter if the shard is full: an arbitrary one that is not locked and whose rows are all stored. It
// prefers one without requests in the last minute, because counts for the limit per minute are in no table.
func (m *meters) makeRoom(shard *metersShard) {
	if len(shard.places) < m.limit {
		return
	}
	stored, slot, tries := m.stored(), m.slot(), roomTries
	var busy int64 // a key with requests in the last minute, whose meter is evicted if no other can be
	for keyID, place := range shard.places {
		if tries--; tries < 0 {
			break
		}
		candidate := shard.slab.at(place)
		if !candidate.mu.TryLock() {
			continue
		}
		candidate.recent.advance(slot)
		switch {
		case candidate.ticket > stored:
		case candidate.recent.sum > 0:
			busy = keyID
		default:
			shard.evict(candidate)
		}
		candidate.mu.Unlock()
		if len(shard.places) < m.limit {
			return
		}
	}
	if place, found := shard.places[busy]; found {
		candidate := shard.slab.at(place)
		if candidate.mu.TryLock() {
			if candidate.ticket <= stored {
				shard.evict(candidate)
			}
			candidate.mu.Unlock()
		}
	}
}

// evict frees the place of the locked meter. The shard is locked as well.
func (s *metersShard) evict(locked *meter) {
	place := locked.place
	delete(s.places, locked.keyID.Load())
	delete(s.large, place)
	s.slab.release(place)
	locked.reset(0, place)
}

// lockLoaded returns the key's meter, locked and loaded. The lock is not held while the usage is read from the
// database. Errors: those of load and wait, and ctx's.
func (m *meters) lockLoaded(ctx context.Context, keyID int64, now func() time.Time) (*meter, error) {
	for {
		locked := m.lock(keyID)
		if locked.loaded {
			return locked, nil
		}
		ticket := locked.ticket
		locked.mu.Unlock()
		used, err := m.read(ctx, keyID, ticket)
		if err != nil {
			return nil, err
		}
		// If a row was added meanwhile, the usage may lack it, and is read again. That happens only if the key had no
		// quota until a moment ago.
		if locked = m.lock(keyID); !locked.loaded && locked.ticket == ticket {
			m.fill(locked, used, minuteOf(now()))
		}
		if locked.loaded {
			return locked, nil
		}
		locked.mu.Unlock()
	}
}

// read reads the key's usage from the database. It includes all rows up to the ticket and those that an earlier process
// left in the spool. Concurrent calls share one read.
func (m *meters) read(ctx context.Context, keyID int64, ticket uint64) (requestlog.KeyUsage, error) {
	name := strconv.FormatInt(keyID, 36) + "@" + strconv.FormatUint(ticket, 36)
	flight := m.flights.DoChan(name, func() (any, error) {
		// One caller reads for all, so its cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		if err := m.wait(ctx, ticket); err != nil {
			return nil, err
		}
		return m.load(ctx, keyID)
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			return requestlog.KeyUsage{}, result.Err
		}
		return result.Val.(requestlog.KeyUsage), nil
	case <-ctx.Done():
		return requestlog.KeyUsage{}, ctx.Err()
	}
}

// size returns the number of meters in memory.
func (m *meters) size() (n int) {
	for i := range m.shard {
		m.shard[i].mu.RLock()
		n += len(m.shard[i].places)
		m.shard[i].mu.RUnlock()
	}
	return n
}
