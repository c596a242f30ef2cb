package web

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Throttle makes callers wait after repeated failures. Its memory is bounded: the least recently seen callers are
// evicted.
type Throttle struct {
	now     func() time.Time
	longest time.Duration

	mu   sync.Mutex
	seen *lru.Cache[string, *failures]
}

type failures struct {
	count int
	last  time.Time
}

const (
	freeFailures   = 5                // without a wait: everybody mistypes
	failuresExpire = 15 * time.Minute // after the last failure the count starts again
	throttleSize   = 10_000
)

// NewThrottle returns a throttle whose waits double from one second up to longest.
func NewThrottle(now func() time.Time, longest time.Duration) *Throttle {
	seen, err := lru.New[string, *failures](throttleSize)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Throttle{now: now, longest: longest, seen: seen}
}

// Attempt returns how long the caller has to wait. 0 allows the attempt and counts it as failed until
// [Throttle.Succeed].
func (t *Throttle) Attempt(caller string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f, known := t.seen.Get(caller)
	if !known || now.Sub(f.last) >= failuresExpire {
		f = &failures{}
		t.seen.Add(caller, f)
	}
	if f.count >= freeFailures {
		pause := t.longest
		if doublings := f.count - freeFailures; doublings < 20 {
			pause = min(pause, time.Second<<doublings)
		}
		if wait := f.last.Add(pause).Sub(now); wait > 0 {
			return wait
		}
	}
	f.count++
	f.last = now
	return 0
}

// Succeed clears the failures of the caller.
func (t *Throttle) Succeed(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.Remove(caller)
}
