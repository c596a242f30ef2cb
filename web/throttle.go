package web

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Throttle slows down who keeps failing. Its memory is bounded: the ones heard of longest ago are forgotten first.
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
	freeFailures    = 5                // that cost nothing: everybody mistypes
	failuresForgive = 15 * time.Minute // without failure, after which the count starts anew
	throttleSize    = 10_000
)

// NewThrottle makes a throttle whose waits double from one second up to longest.
func NewThrottle(now func() time.Time, longest time.Duration) *Throttle {
	seen, err := lru.New[string, *failures](throttleSize)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Throttle{now: now, longest: longest, seen: seen}
}

// Attempt says how long who has to wait; 0 lets the attempt through and counts it as failed until [Throttle.Succeed].
func (t *Throttle) Attempt(who string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f, known := t.seen.Get(who)
	if !known || now.Sub(f.last) >= failuresForgive {
		f = &failures{}
		t.seen.Add(who, f)
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

// Succeed forgives who its failures.
func (t *Throttle) Succeed(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.Remove(who)
}
