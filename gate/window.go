package gate

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/claviger/claviger/models"
)

// windowSlots is the number of slots in the window of a limit. A request leaves the window at most one slot late
// (1/12 of its length, 5 seconds of a minute), and never early.
const windowSlots = 12

// window counts the admitted requests of a rolling second or minute.
type window struct {
	slot   uint32 // the newest slot
	sum    uint32
	counts [windowSlots + 1]uint32 // by slot; one more than windowSlots, as both ends are within a slot
}

func (w *window) count(slot uint32) *uint32 { return &w.counts[slot%(windowSlots+1)] }

// advance brings the window to slot. If the clock was set back, the window stays, so that nothing is freed twice.
func (w *window) advance(slot uint32) {
	if slot > w.slot+windowSlots {
		*w = window{slot: slot}
		return
	}
	for w.slot < slot {
		w.slot++
		w.sum -= *w.count(w.slot)
		*w.count(w.slot) = 0
	}
}

func (w *window) add() {
	w.sum++
	*w.count(w.slot)++
}

// frees returns the first slot in which less than limit is used, provided that no request is added.
func (w *window) frees(limit uint32) uint32 {
	left := w.sum
	for slot := w.slot - windowSlots; slot != w.slot; slot++ {
		if left -= *w.count(slot); left < limit {
			return slot + windowSlots + 1
		}
	}
	return w.slot + windowSlots + 1
}

// axis is the kind of a limit: which requests it counts together, and in which window.
type axis uint8

const (
	projectSecond axis = iota
	projectMinute
	keyMinute
	addressMinute
	sessionMinute
	axisCount int = iota
)

var axes = [axisCount]struct {
	policy    string // its name in the RateLimit headers
	planLimit models.PlanLimit
	length    time.Duration
}{
	projectSecond: {"project-second", models.LimitProjectPerSecond, time.Second},
	projectMinute: {"project-minute", models.LimitProjectPerMinute, time.Minute},
	keyMinute:     {"key-minute", models.LimitKeyPerMinute, time.Minute},
	addressMinute: {"address-minute", models.LimitIPPerMinute, time.Minute},
	sessionMinute: {"session-minute", models.LimitSessionPerMinute, time.Minute},
}

// slotLength is rounded up, so that the slots together are no shorter than the window.
func (a axis) slotLength() time.Duration { return (axes[a].length + windowSlots - 1) / windowSlots }

// windowKey identifies a window. Production and test keys never share one.
type windowKey struct {
	axis    axis
	test    bool
	project int64
	id      uint64 // hash of the address or the session; 0 for the project
}

// sharedWindow is a window that requests with different keys share.
type sharedWindow struct {
	mu   sync.Mutex
	gone bool // evicted: a caller that still has a pointer to it gets the window again
	window
}

// windows holds the windows of projects, addresses and sessions that are in use. Those of keys are in their meters.
type windows struct {
	begin time.Time // of slot 0
	seed  maphash.Seed
	limit int // windows in each shard
	shard [shards]struct {
		mu sync.RWMutex
		m  map[windowKey]*sharedWindow
	}
}

// maxWindows bounds the windows of addresses and sessions, to about 30 MB. With more of them within a minute, the
// counts of some are reset.
const maxWindows = 200_000

// newWindows returns an empty set of at most about limit windows.
func newWindows(limit int, now time.Time) *windows {
	// Slots begin an hour before the start, in case the clock is set back a little.
	w := &windows{begin: now.Add(-time.Hour), seed: maphash.MakeSeed(), limit: max(1, limit/shards)}
	for i := range w.shard {
		w.shard[i].m = map[windowKey]*sharedWindow{}
	}
	return w
}

// slot returns the number of the slot that contains now.
func (w *windows) slot(a axis, now time.Time) uint32 {
	return uint32(max(0, now.Sub(w.begin)) / a.slotLength())
}

// moment returns the beginning of a slot.
func (w *windows) moment(a axis, slot uint32) time.Time {
	return w.begin.Add(time.Duration(slot) * a.slotLength())
}

// lock returns the window of k, locked and advanced to now. It makes one if there is none.
func (w *windows) lock(k windowKey, now time.Time) *sharedWindow {
	shard := &w.shard[(k.id^uint64(k.project)^uint64(k.axis))%shards]
	slot := w.slot(k.axis, now)
	for {
		shard.mu.RLock()
		found := shard.m[k]
		shard.mu.RUnlock()
		if found == nil {
			shard.mu.Lock()
			if found = shard.m[k]; found == nil {
				w.makeRoom(shard.m, now)
				found = &sharedWindow{}
				shard.m[k] = found
			}
			shard.mu.Unlock()
		}
		found.mu.Lock()
		if !found.gone {
			found.advance(slot)
			return found
		}
		found.mu.Unlock()
	}
}

// makeRoom evicts a window if the shard is full: an empty one if one is found within roomTries, otherwise any.
func (w *windows) makeRoom(shard map[windowKey]*sharedWindow, now time.Time) {
	if len(shard) < w.limit {
		return
	}
	tries := roomTries
	for k, candidate := range shard {
		// Windows of projects are not evicted, so that a flood of addresses cannot reset a project's counts.
		if k.axis == projectSecond || k.axis == projectMinute || !candidate.mu.TryLock() {
			continue
		}
		candidate.advance(w.slot(k.axis, now))
		tries--
		if candidate.sum == 0 || tries <= 0 {
			candidate.gone = true
			delete(shard, k)
		}
		candidate.mu.Unlock()
		if len(shard) < w.limit {
			return
		}
	}
}

// hash returns the id of a session in a [windowKey].
func (w *windows) hash(text string) uint64 { return maphash.String(w.seed, text) }
