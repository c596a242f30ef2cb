package gate

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"golang.org/x/sync/singleflight"
)

// meters keeps the meters of the keys in use. A meter that is not here is read from the database.
type meters struct {
	load    func(ctx context.Context, keyID int64) (requestlog.KeyUsage, error)
	stored  func() uint64                                  // the recorder's newest ticket that is stored, with all before it
	wait    func(ctx context.Context, ticket uint64) error // until rows are stored up to the ticket, and all that an earlier process left
	slot    func() uint32                                  // the present one of the limit per key and minute
	limit   int                                            // for each shard
	flights singleflight.Group
	shard   [shards]metersShard
}

type metersShard struct {
	mu     sync.RWMutex
	places map[int64]uint32 // of keys
	slab   slab[meter]
	large  map[uint32][]byte // packed points by place
}

func newMeters(
	limit int, load func(context.Context, int64) (requestlog.KeyUsage, error), stored func() uint64, wait func(context.Context, uint64) error,
	slot func() uint32,
) *meters {
	m := &meters{load: load, stored: stored, wait: wait, slot: slot, limit: max(1, limit/shards)}
	for i := range m.shard {
		m.shard[i].places, m.shard[i].large = map[int64]uint32{}, map[uint32][]byte{}
	}
	return m
}

func (m *meters) shardOf(keyID int64) *metersShard { return &m.shard[uint64(keyID)%shards] }

// lock gives the key's meter, locked.
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

func (s *metersShard) find(keyID int64) *meter {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if place, known := s.places[keyID]; known {
		return s.slab.at(place)
	}
	return nil
}

// lockNamed is lock for who has what [meters.at] gave, or nil: that spares a look into a map that with many keys no cache holds.
func (m *meters) lockHint(named *meter, keyID int64) *meter {
	if named != nil {
		named.mu.Lock()
		if named.keyID.Load() == keyID {
			return named
		}
		named.mu.Unlock()
	}
	return m.lock(keyID)
}

// placeOf is the place of the key's meter, for [meters.at].
func (m *meters) placeOf(keyID int64) uint32 {
	locked := m.lock(keyID)
	defer locked.mu.Unlock()
	return locked.place*shards + uint32(uint64(keyID)%shards)
}

// at gives what is at a place that [meters.placeOf] gave: another key's meter, or no key's, where that one was thrown out of memory.
func (m *meters) at(place uint32) *meter { return m.shard[place%shards].slab.at(place / shards) }

func (m *meters) make(shard *metersShard, keyID int64) *meter {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if place, known := shard.places[keyID]; known {
		return shard.slab.at(place)
	}
	m.makeRoom(shard)
	place := shard.slab.take()
	made := shard.slab.at(place)
	// Who still holds the meter that was here before looks at its key, with the lock, and asks again.
	made.mu.Lock()
	made.reset(keyID, place)
	made.ticket = m.stored() // all rows of a meter that was thrown out are: see makeRoom
	made.mu.Unlock()
	shard.places[keyID] = place
	return made
}

// roomTries bounds how many meters are looked at to find one that may go. Where all of them have rows that wait to be
// stored there are more meters than the limit for a moment.
const roomTries = 8

// makeRoom throws out an arbitrary meter that nobody holds and whose rows are all stored: one that has nothing of the present
// minute where a few looks find one, because a limit per minute is in no table.
func (m *meters) makeRoom(shard *metersShard) {
	if len(shard.places) < m.limit {
		return
	}
	stored, slot, tries := m.stored(), m.slot(), roomTries
	var busy int64 // a key whose meter may go where no other may
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
			shard.throwOut(candidate)
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
				shard.throwOut(candidate)
			}
			candidate.mu.Unlock()
		}
	}
}

// throwOut gives the locked meter's place free. The shard is locked, too.
func (s *metersShard) throwOut(locked *meter) {
	place := locked.place
	delete(s.places, locked.keyID.Load())
	delete(s.large, place)
	s.slab.give(place)
	locked.reset(0, place)
}

// lockLoaded gives the key's meter, locked, once it knows what the key was admitted before. While it is read from the database
// nobody holds its lock.
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
		// Where a row was added meanwhile, what was read may lack it. Only a key that had no quota a moment ago has such rows.
		if locked = m.lock(keyID); !locked.loaded && locked.ticket == ticket {
			m.fill(locked, used, minuteOf(now()))
		}
		if locked.loaded {
			return locked, nil
		}
		locked.mu.Unlock()
	}
}

// read asks the database what the key was admitted before, with the rows up to the ticket and those that an earlier process left:
// once, however many ask at the same moment.
func (m *meters) read(ctx context.Context, keyID int64, ticket uint64) (requestlog.KeyUsage, error) {
	name := strconv.FormatInt(keyID, 36) + "@" + strconv.FormatUint(ticket, 36)
	flight := m.flights.DoChan(name, func() (any, error) {
		// One caller reads for all: its own cancellation must not fail the others.
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

// size counts the meters in memory.
func (m *meters) size() (n int) {
	for i := range m.shard {
		m.shard[i].mu.RLock()
		n += len(m.shard[i].places)
		m.shard[i].mu.RUnlock()
	}
	return n
}
