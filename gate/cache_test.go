package gate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// table is a small database that counts its look-ups. Tests can delay them.
type table struct {
	mu     sync.Mutex
	values map[int]string
	loads  atomic.Int64
	before func() // runs in each look-up before it reads
	after  func() // runs after it has read
}

func (t *table) load(_ context.Context, k int) (*string, error) {
	t.loads.Add(1)
	if t.before != nil {
		t.before()
	}
	t.mu.Lock()
	v, ok := t.values[k]
	t.mu.Unlock()
	if t.after != nil {
		t.after()
	}
	if !ok {
		return nil, nil
	}
	return &v, nil
}

func (t *table) set(k int, v string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values[k] = v
}

func newTable() *table { return &table{values: map[int]string{}} }

type fakeClock struct{ at time.Time }

func (m *fakeClock) now() time.Time { return m.at }

func get(t *testing.T, c *cache[int, string], k int) string {
	t.Helper()
	v, err := c.get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func all(*string) bool { return true }

// unsharedPolicy returns the policy of a single process.
func unsharedPolicy() *stalenessPolicy { return newStalenessPolicy(false, time.Now) }

func TestAHitDoesNotUseTheDatabase(t *testing.T) {
	table := newTable()
	table.set(1, "one")
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, table.load)
	for range 10 {
		if got := get(t, c, 1); got != "one" {
			t.Fatalf("got %q", got)
		}
	}
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
}

func TestAnUnknownNameIsCachedBriefly(t *testing.T) {
	table, clock := newTable(), &fakeClock{at: time.Unix(0, 0)}
	c := newCache(1000, newStalenessPolicy(false, clock.now), strconv.Itoa, table.load)
	get(t, c, 1)
	get(t, c, 1)
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups for one unknown name, want 1", n)
	}
	table.set(1, "one")
	clock.at = clock.at.Add(unknownFor)
	if got := get(t, c, 1); got != "one" {
		t.Errorf("after unknownFor got %q, want one", got)
	}
}

func TestConcurrentMissesShareOneLookUp(t *testing.T) {
	table := newTable()
	table.set(1, "one")
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, table.load)
	entered, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	table.before = func() { once.Do(func() { close(entered) }); <-hold }
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if got := get(t, c, 1); got != "one" {
				t.Errorf("got %q", got)
			}
		})
	}
	<-entered
	close(hold)
	group.Wait()
	// Callers that came after the value was kept had a hit; no other may have made a look-up.
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
}

func TestAfterInvalidateNoCallReturnsTheOldValue(t *testing.T) {
	table := newTable()
	table.set(1, "old")
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, table.load)

	// A look-up reads the old value and is delayed; meanwhile the value changes and is invalidated.
	read, hold := make(chan struct{}), make(chan struct{})
	table.after = func() { close(read); <-hold }
	slow := make(chan string)
	go func() { slow <- get(t, c, 1) }()
	<-read
	table.after = nil
	table.set(1, "new")
	c.invalidate(all)

	fresh := make(chan string, 1)
	go func() { fresh <- get(t, c, 1) }()
	select {
	case got := <-fresh:
		if got != "new" {
			t.Errorf("got %q", got)
		}
	case <-time.After(5 * time.Second): // only if it fails
		t.Error("a call after the change waits for the look-up that began before it")
	}
	close(hold)
	<-slow
	if got := get(t, c, 1); got != "new" {
		t.Errorf("after the slow look-up got %q, want new", got)
	}
}

func TestInvalidateRemovesMatchingValuesAndAllUnknownNames(t *testing.T) {
	table := newTable()
	table.set(1, "one")
	table.set(2, "two")
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, table.load)
	get(t, c, 1)
	get(t, c, 2)
	get(t, c, 3)
	table.loads.Store(0)
	c.invalidate(func(v *string) bool { return *v == "one" })
	get(t, c, 2)
	if n := table.loads.Load(); n != 0 {
		t.Error("a value that did not match was removed")
	}
	get(t, c, 1)
	get(t, c, 3)
	if n := table.loads.Load(); n != 2 {
		t.Errorf("%d look-ups, want 2", n)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	table := newTable()
	c := newCache(640, unsharedPolicy(), strconv.Itoa, table.load)
	for i := range 10_000 {
		if i%2 == 0 {
			table.set(i, "x")
		}
		get(t, c, i)
	}
	known, unknown := 0, 0
	for i := range c.shard {
		known += len(c.shard[i].known)
		unknown += len(c.shard[i].unknown)
	}
	if known > 640 || unknown > 640 || known < 320 {
		t.Errorf("%d known and %d unknown are kept, want at most 640 each, and at least 320 known", known, unknown)
	}
}

func TestAFailedLookUpIsNotCached(t *testing.T) {
	fail := errors.New("away")
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, func(_ context.Context, k int) (*string, error) {
		if err := fail; err != nil {
			return nil, err
		}
		v := fmt.Sprint(k)
		return &v, nil
	})
	if _, err := c.get(t.Context(), 1); !errors.Is(err, fail) {
		t.Errorf("got %v", err)
	}
	fail = nil
	if got := get(t, c, 1); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestACancelledCallerDoesNotFailTheOthers(t *testing.T) {
	c := newCache(1000, unsharedPolicy(), strconv.Itoa, func(ctx context.Context, k int) (*string, error) {
		v := "v"
		return &v, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.get(ctx, 1); err != nil {
		t.Errorf("the shared look-up ended with its first caller: %v", err)
	}
}
