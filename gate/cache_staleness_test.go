package gate

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// awayTable is a table whose database can go away.
type awayTable struct {
	*table
	away      bool
	deadlines []time.Duration // how long each look-up could have taken
}

var errAway = errors.New("the database is away")

func (t *awayTable) load(ctx context.Context, k int) (*string, error) {
	deadline, _ := ctx.Deadline()
	t.deadlines = append(t.deadlines, time.Until(deadline))
	if t.away {
		t.loads.Add(1)
		return nil, errAway
	}
	return t.table.load(ctx, k)
}

// sharedCache returns a cache of a process that receives the changes of others; the values 1 and 2 are cached.
func sharedCache(t *testing.T) (*cache[int, string], *awayTable, *fakeClock) {
	t.Helper()
	staleness, clock := syncedPolicy()
	table := &awayTable{table: newTable()}
	table.set(1, "one")
	table.set(2, "two")
	c := newCache(1000, staleness, strconv.Itoa, table.load)
	get(t, c, 1)
	get(t, c, 2)
	table.loads.Store(0)
	table.deadlines = nil
	return c, table, clock
}

func TestWhileDisconnectedAStaleValueIsReadAgain(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.set(1, "new")
	clock.advance(staleFor)
	if got := get(t, c, 1); got != "new" {
		t.Errorf("got %q", got)
	}
	get(t, c, 1)
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
}

func TestWhileDisconnectedAnUnknownNameIsReadAgainAsSoon(t *testing.T) {
	c, table, clock := sharedCache(t)
	get(t, c, 3)
	c.staleness.disconnected()
	table.set(3, "made by another process")
	clock.advance(staleFor)
	if got := get(t, c, 3); got == "" {
		t.Error("what another process created is not found after staleFor")
	}
}

func TestAfterReconnectingEachValueIsReadOnce(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.set(1, "changed while disconnected")
	clock.advance(time.Minute)
	since := clock.at
	c.staleness.syncedUntil(since, since)
	clock.advance(time.Millisecond)
	for range 3 {
		if got := get(t, c, 1); got != "changed while disconnected" {
			t.Errorf("got %q", got)
		}
	}
	clock.staySynced(c.staleness, since, time.Hour)
	get(t, c, 1)
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
}

func TestAValueThatIsDeletedIsNotReturnedWhenTheDatabaseIsAway(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.mu.Lock()
	delete(table.values, 1)
	table.mu.Unlock()
	clock.advance(staleFor)
	for range 2 {
		if got := get(t, c, 1); got != "" {
			t.Errorf("got %q", got)
		}
	}
	table.away = true
	clock.advance(staleFor)
	if v, err := c.get(t.Context(), 1); v != nil || !errors.Is(err, errAway) {
		t.Errorf("after the deletion, with the database away, got %v, %v", v, err)
	}
}

func TestWhileTheDatabaseIsAwayStaleValuesAreReturned(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.away = true
	calls := 0
	for range 1000 { // ten seconds of requests
		clock.advance(10 * time.Millisecond)
		if get(t, c, 1) != "one" || get(t, c, 2) != "two" {
			t.Fatal("a cached value is not returned")
		}
		calls += 2
	}
	// A caller that queries the database may wait for its time limit, so only few may.
	if n := table.loads.Load(); n > 45 || n < 10 {
		t.Errorf("%d of %d calls queried a database that is away, want 10 to 45", n, calls)
	}
	for _, d := range table.deadlines {
		if d > knownTimeout {
			t.Fatalf("a call for a cached value could have waited %v", d)
		}
	}
	if v, err := c.get(t.Context(), 3); v != nil || !errors.Is(err, errAway) {
		t.Errorf("a value that is not cached: got %v, %v", v, err)
	}

	table.away = false
	table.set(1, "new")
	clock.advance(knownTimeout + retryAfter)
	if got := get(t, c, 1); got != "new" {
		t.Errorf("after the database came back got %q, want new", got)
	}
}

func TestWhileTheDatabaseIsAwayAnInvalidatedValueIsNotReturned(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	clock.advance(staleFor)
	table.away = true
	c.invalidate(all)
	if v, err := c.get(t.Context(), 1); v != nil || !errors.Is(err, errAway) {
		t.Errorf("after invalidate got %v, %v", v, err)
	}
}

func TestADatabaseThatHangsDelaysOneCallerAtATime(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.away = true
	clock.advance(staleFor)
	get(t, c, 1) // notices that the database is away
	clock.advance(retryAfter)
	entered, hold := make(chan struct{}), make(chan struct{})
	var queries atomic.Int32
	c.load = func(context.Context, int) (*string, error) {
		queries.Add(1)
		close(entered)
		<-hold
		return nil, errAway
	}
	prober := make(chan string)
	go func() { prober <- get(t, c, 1) }()
	<-entered
	for range 100 {
		get(t, c, 2) // would hang if it queried the database
	}
	close(hold)
	if got := <-prober; got != "one" {
		t.Errorf("the caller that queried got %q, want one", got)
	}
	if n := queries.Load(); n != 1 {
		t.Errorf("%d callers queried the database, want 1", n)
	}
}
