package gate

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/claviger/claviger/models"
)

// meter counts what one key was admitted, whichever of its versions was used. It has no pointer: there may be millions.
type meter struct {
	mu    sync.Mutex
	keyID int64 // 0 while the place is free; another one where it was thrown out of memory meanwhile
	// ticket is the recorder's for the newest row of the key: until it is stored the meter must not be thrown out,
	// because one that is read anew would not know of the row.
	ticket uint64

	// What was admitted before is known once loaded is set; only keys with quotas need it. The points of the series
	// are in packed, or where that is too small in the shard's large; those of the present minute are in last.
	loaded, large bool
	length        uint8 // of what is packed
	place         uint32
	minute, last  uint32
	total         int64 // ever
	sum           [windowCount]int64
	packed        [packedLength]byte

	recent window // of the plan's limit per key and minute
}

// packedLength is room for about 25 points: a quiet key, or the only ones of a day.
const packedLength = 64

// used is how much of the quota is used up.
func (m *meter) used(q models.Quota) int64 {
	if q == models.QuotaTotal {
		return m.total
	}
	return m.sum[q]
}

func (m *meter) allUsed() (used [models.QuotaCount]int64) {
	for q := range used {
		used[q] = m.used(models.Quota(q))
	}
	return used
}

// add counts one request.
func (m *meter) add() {
	m.total++
	m.last++
	for w := range m.sum {
		m.sum[w]++
	}
}

// meters keeps the meters of the keys in use. A meter that is not here is read from the database.
type meters struct {
	load    func(ctx context.Context, keyID int64) (models.KeyUsage, error)
	stored  func() uint64 // the recorder's newest ticket that is stored, with all before it
	flush   func(ctx context.Context) error
	slot    func() uint32 // the present one of the limit per key and minute
	limit   int           // for each shard
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
	limit int, load func(context.Context, int64) (models.KeyUsage, error), stored func() uint64, flush func(context.Context) error, slot func() uint32,
) *meters {
	m := &meters{load: load, stored: stored, flush: flush, slot: slot, limit: max(1, limit/shards)}
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
		if found.keyID == keyID {
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

// reset makes the locked meter one of another key.
func (m *meter) reset(keyID int64, place uint32) {
	m.keyID, m.place = keyID, place
	m.ticket, m.loaded, m.large, m.length = 0, false, false, 0
	m.minute, m.last, m.total, m.sum, m.recent = 0, 0, 0, [windowCount]int64{}, window{}
}

// roomTries bounds how many meters are looked at to find one that may go. Where all of them have rows that wait to be
// stored there are more meters than the limit for a moment, and never more than rows that wait.
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
	delete(s.places, locked.keyID)
	delete(s.large, place)
	s.slab.give(place)
	locked.reset(0, place)
}

// lockLoaded gives the key's meter, locked, once it knows what the key was admitted before. While it is read from the database
// nobody holds its lock. waited tells that it had to be.
func (m *meters) lockLoaded(ctx context.Context, keyID int64, minute uint32) (locked *meter, waited bool, err error) {
	for {
		if locked = m.lock(keyID); locked.loaded {
			return locked, waited, nil
		}
		ticket := locked.ticket
		locked.mu.Unlock()
		used, err := m.read(ctx, keyID, ticket)
		if err != nil {
			return nil, true, err
		}
		waited = true
		// Where a row was added meanwhile, what was read may lack it. Only a key that had no quota a moment ago has such rows.
		if locked = m.lock(keyID); !locked.loaded && locked.ticket == ticket {
			m.fill(locked, used, minute)
		}
		if locked.loaded {
			return locked, waited, nil
		}
		locked.mu.Unlock()
	}
}

// advance brings the locked meter, which is loaded, to the minute now.
func (m *meters) advance(locked *meter, now uint32) {
	if now <= locked.minute { // also where the clock was set back: nothing is freed twice
		return
	}
	s := unpacked.Get().(*series)
	defer unpacked.Put(s)
	s.points = s.points[:0]
	m.unpack(locked, s)
	m.put(locked, s, now)
}

// fill makes the locked meter loaded.
func (m *meters) fill(locked *meter, used models.KeyUsage, now uint32) {
	s := unpacked.Get().(*series)
	defer unpacked.Put(s)
	s.take(used)
	locked.total, locked.loaded = used.Total, true
	m.put(locked, s, now)
}

// put folds the series, of all that counts, to the minute now and keeps it in the locked meter.
func (m *meters) put(locked *meter, s *series, now uint32) {
	now = s.fold(now)
	locked.minute, locked.sum, locked.last = now, s.sum, 0
	if last := len(s.points) - 1; last >= 0 && s.points[last].minute == now {
		locked.last = s.points[last].n
		s.points = s.points[:last]
	}
	m.pack(locked, s)
}

// read asks the database what the key was admitted before, with the rows up to the ticket: once, however many ask at the same
// moment.
func (m *meters) read(ctx context.Context, keyID int64, ticket uint64) (models.KeyUsage, error) {
	name := strconv.FormatInt(keyID, 36) + "@" + strconv.FormatUint(ticket, 36)
	flight := m.flights.DoChan(name, func() (any, error) {
		// One caller reads for all: its own cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		if ticket > m.stored() {
			if err := m.flush(ctx); err != nil {
				return nil, err
			}
		}
		return m.load(ctx, keyID)
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			return models.KeyUsage{}, result.Err
		}
		return result.Val.(models.KeyUsage), nil
	case <-ctx.Done():
		return models.KeyUsage{}, ctx.Err()
	}
}

// pack keeps the points of the series in the locked meter.
func (m *meters) pack(locked *meter, s *series) {
	shard := m.shardOf(locked.keyID)
	packed := s.pack(locked.packed[:0])
	if len(packed) <= packedLength {
		if locked.length = uint8(len(packed)); locked.large {
			locked.large = false
			shard.mu.Lock()
			delete(shard.large, locked.place)
			shard.mu.Unlock()
		}
		return
	}
	locked.large = true
	shard.mu.Lock()
	shard.large[locked.place] = packed
	shard.mu.Unlock()
}

// unpack adds the points of the locked meter to the series, those of its present minute too.
func (m *meters) unpack(locked *meter, s *series) {
	packed := locked.packed[:locked.length]
	if locked.large {
		shard := m.shardOf(locked.keyID)
		shard.mu.RLock()
		packed = shard.large[locked.place]
		shard.mu.RUnlock()
	}
	s.unpack(packed)
	if locked.last > 0 {
		s.points = append(s.points, point{locked.minute, locked.last})
	}
	s.minute, s.sum = locked.minute, locked.sum
}

// frees is the moment at which less than limit is used of the quota, provided that nothing is added; the zero time where
// that is never. The locked meter is ready, and the quota used up.
func (m *meters) frees(locked *meter, q models.Quota, limit int64) time.Time {
	if q == models.QuotaTotal {
		return time.Time{}
	}
	s := unpacked.Get().(*series)
	defer unpacked.Put(s)
	s.points = s.points[:0]
	m.unpack(locked, s)
	return time.Unix(int64(s.frees(int(q), limit))*60, 0).UTC()
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
