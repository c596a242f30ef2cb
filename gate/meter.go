package gate

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// meter counts the admitted requests of one key, of all its versions. It has no pointers, because there may be
// millions.
type meter struct {
	mu    sync.Mutex
	keyID atomic.Int64 // 0 while the place is free; another key's after the meter was evicted
	// ticket is the recorder's ticket number of the key's newest row. Until that row is stored, the meter must not be
	// evicted: loaded again, it would lack the row.
	ticket uint64

	// loaded is set once the key's usage has been read from the database. Only keys with quotas need that. The points
	// of the series are in packed, or in the shard's large if large is set; the requests of the present minute are in
	// last.
	loaded, large bool
	length        uint8 // bytes used of packed
	place         uint32
	minute, last  uint32
	total         int64 // requests ever
	sum           [windowCount]int64

	recent window // of the plan's limit per key and minute
	// packed comes last because a request reads it only once a minute: with many keys, each cache line counts.
	packed [packedLength]byte
}

// packedLength is enough for about 25 points: those of a quiet key.
const packedLength = 64

// used returns how many requests of the quota are used up.
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

// reset makes the locked meter an empty one of keyID, 0 for none.
func (m *meter) reset(keyID int64, place uint32) {
	m.keyID.Store(keyID)
	m.place = place
	m.ticket, m.loaded, m.large, m.length = 0, false, false, 0
	m.minute, m.last, m.total, m.sum, m.recent = 0, 0, 0, [windowCount]int64{}, window{}
}

// advance brings the locked and loaded meter to the minute now.
func (m *meters) advance(locked *meter, now uint32) {
	if now <= locked.minute { // if the clock was set back, nothing is freed twice
		return
	}
	s := unpacked.Get().(*series)
	defer unpacked.Put(s)
	s.points = s.points[:0]
	m.unpack(locked, s)
	m.put(locked, s, now)
}

// fill loads the locked meter with the key's usage.
func (m *meters) fill(locked *meter, used requestlog.KeyUsage, now uint32) {
	s := unpacked.Get().(*series)
	defer unpacked.Put(s)
	s.load(used)
	locked.total, locked.loaded = used.Total, true
	m.put(locked, s, now)
}

// put folds the series of all counted requests to the minute now, and stores it in the locked meter.
func (m *meters) put(locked *meter, s *series, now uint32) {
	s.fold(now)
	locked.minute, locked.sum, locked.last = now, s.sum, 0
	if last := len(s.points) - 1; last >= 0 && s.points[last].minute == now {
		locked.last = s.points[last].n
		s.points = s.points[:last]
	}
	m.pack(locked, s)
}

// pack stores the points of the series in the locked meter.
func (m *meters) pack(locked *meter, s *series) {
	shard := m.shardOf(locked.keyID.Load())
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

// unpack adds the points of the locked meter to the series, including its present minute.
func (m *meters) unpack(locked *meter, s *series) {
	packed := locked.packed[:locked.length]
	if locked.large {
		shard := m.shardOf(locked.keyID.Load())
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

// frees returns when less than limit will be used of the quota, provided that no request is added; the zero time if
// that is never. The locked meter is loaded and the quota used up.
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
