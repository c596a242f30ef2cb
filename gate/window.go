package gate

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/claviger/claviger/models"
)

// windowSlots is how finely the window of a limit is divided: a request leaves it at most 1/12 of its length late (5
// seconds of a minute), and never early.
const windowSlots = 12

// window counts the admitted requests of a rolling second or minute.
type window struct {
	slot   uint32 // the newest one that it reaches to
	sum    uint32
	counts [windowSlots + 1]uint32 // by slot: the window overlaps one more than it is long
}

func (w *window) count(slot uint32) *uint32 { return &w.counts[slot%(windowSlots+1)] }

// advance brings the window to slot. Where the clock was set back it stays: nothing is freed twice.
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

// frees is the first slot in which less than limit is used, provided that nothing is added.
func (w *window) frees(limit uint32) uint32 {
	left := w.sum
	for slot := w.slot - windowSlots; slot != w.slot; slot++ {
		if left -= *w.count(slot); left < limit {
			return slot + windowSlots + 1
		}
	}
	return w.slot + windowSlots + 1
}

// axis is what a limit counts together.
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
	policy string // its name in the RateLimit headers
	figure models.PlanLimit
	length time.Duration
}{
	projectSecond: {"project-second", models.LimitProjectPerSecond, time.Second},
	projectMinute: {"project-minute", models.LimitProjectPerMinute, time.Minute},
	keyMinute:     {"key-minute", models.LimitKeyPerMinute, time.Minute},
	addressMinute: {"address-minute", models.LimitIPPerMinute, time.Minute},
	sessionMinute: {"session-minute", models.LimitSessionPerMinute, time.Minute},
}

// slotLength is rounded up, so that the slots together are no shorter than the window.
func (a axis) slotLength() time.Duration { return (axes[a].length + windowSlots - 1) / windowSlots }

// windowKey names a window. Production and test keys never share one.
type windowKey struct {
	axis    axis
	test    bool
	project int64
	id      uint64 // hash of the address or the session; 0 for the project
}

// sharedWindow is a window that requests with different keys share.
type sharedWindow struct {
	mu   sync.Mutex
	gone bool // thrown out of memory: whoever still holds it asks for the window again
	window
}

// windows keeps the windows in use of projects, addresses and sessions. Those of keys are in their meters.
type windows struct {
	begin time.Time // slots are counted from here
	seed  maphash.Seed
	limit int // for each shard
	shard [shards]struct {
		mu sync.RWMutex
		m  map[windowKey]*sharedWindow
	}
}

// maxWindows bounds the memory of windows to about 30 MB, those of projects apart. With more addresses and sessions than that
// within a minute, the counts of some begin anew.
const maxWindows = 200_000

func newWindows(limit int, now time.Time) *windows {
	// An hour of slots before the start, for a clock that is set back a little.
	w := &windows{begin: now.Add(-time.Hour), seed: maphash.MakeSeed(), limit: max(1, limit/shards)}
	for i := range w.shard {
		w.shard[i].m = map[windowKey]*sharedWindow{}
	}
	return w
}

// slot is the number of the slot that now is in.
func (w *windows) slot(a axis, now time.Time) uint32 {
	return uint32(max(0, now.Sub(w.begin)) / a.slotLength())
}

// moment is when a slot begins.
func (w *windows) moment(a axis, slot uint32) time.Time {
	return w.begin.Add(time.Duration(slot) * a.slotLength())
}

// lock gives a window, locked and brought to now.
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

// makeRoom throws a window out where the shard is full: one that holds nothing any more where a few looks find one.
func (w *windows) makeRoom(shard map[windowKey]*sharedWindow, now time.Time) {
	if len(shard) < w.limit {
		return
	}
	tries := roomTries
	for k, candidate := range shard {
		// Projects stay, so that a flood of addresses cannot make a project's count begin anew.
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

// hash names an address or a session in a [windowKey].
func (w *windows) hash(text string) uint64 { return maphash.String(w.seed, text) }
