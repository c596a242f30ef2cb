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

// sharedCache is a cache of a process that hears of the others' changes, with the values 1 and 2 read.
func sharedCache(t *testing.T) (*cache[int, string], *awayTable, *moment) {
	t.Helper()
	staleness, clock := listening()
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

func TestWithoutNoticesAChangeOfAnotherProcessIsSeenByReadingAgain(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.set(1, "new")
	clock.pass(staleFor)
	if got := get(t, c, 1); got != "new" {
		t.Errorf("got %q", got)
	}
	get(t, c, 1)
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups: it is read again each time", n)
	}
}

func TestWithoutNoticesAnUnknownNameIsReadAgainAsSoon(t *testing.T) {
	c, table, clock := sharedCache(t)
	get(t, c, 3)
	c.staleness.disconnected()
	table.set(3, "made by another process")
	clock.pass(staleFor)
	if got := get(t, c, 3); got == "" {
		t.Error("what another process made is not seen in time")
	}
}

func TestAfterTheNoticesComeBackEachValueIsReadOnce(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.set(1, "changed while deaf")
	clock.pass(time.Minute)
	since := clock.at
	c.staleness.syncedUntil(since, since)
	clock.pass(time.Millisecond)
	for range 3 {
		if got := get(t, c, 1); got != "changed while deaf" {
			t.Errorf("got %q", got)
		}
	}
	clock.hearOn(c.staleness, since, time.Hour)
	get(t, c, 1)
	if n := table.loads.Load(); n != 1 {
		t.Errorf("%d look-ups", n)
	}
}

func TestAValueThatIsGoneWhenReadAgainIsGone(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.mu.Lock()
	delete(table.values, 1)
	table.mu.Unlock()
	clock.pass(staleFor)
	for range 2 {
		if got := get(t, c, 1); got != "" {
			t.Errorf("got %q", got)
		}
	}
	table.away = true
	clock.pass(staleFor)
	if v, err := c.get(t.Context(), 1); v != nil || !errors.Is(err, errAway) {
		t.Errorf("it came back when the database went away: %v, %v", v, err)
	}
}

func TestWithTheDatabaseAwayWhatIsKnownIsStillAnswered(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.away = true
	asks := 0
	for range 1000 { // ten seconds of requests
		clock.pass(10 * time.Millisecond)
		if get(t, c, 1) != "one" || get(t, c, 2) != "two" {
			t.Fatal("a known value is not answered")
		}
		asks += 2
	}
	// Who asks may wait for a time-out: nearly nobody may.
	if n := table.loads.Load(); n > 45 || n < 10 {
		t.Errorf("%d of %d requests asked a database that is away", n, asks)
	}
	for _, d := range table.deadlines {
		if d > knownTimeout {
			t.Fatalf("a request for a known value could have waited %v", d)
		}
	}
	if v, err := c.get(t.Context(), 3); v != nil || !errors.Is(err, errAway) {
		t.Errorf("what is not known is answered with %v, %v", v, err)
	}

	table.away = false
	table.set(1, "new")
	clock.pass(knownTimeout + retryAfter)
	if got := get(t, c, 1); got != "new" {
		t.Errorf("the database is back, and still the answer is %q", got)
	}
}

func TestWithTheDatabaseAwayAForgottenValueIsNotAnswered(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	clock.pass(staleFor)
	table.away = true
	c.invalidate(all)
	if v, err := c.get(t.Context(), 1); v != nil || !errors.Is(err, errAway) {
		t.Errorf("what changed is answered as before: %v, %v", v, err)
	}
}

func TestADatabaseThatHangsDelaysOneCallerAtATime(t *testing.T) {
	c, table, clock := sharedCache(t)
	c.staleness.disconnected()
	table.away = true
	clock.pass(staleFor)
	get(t, c, 1) // finds out
	clock.pass(retryAfter)
	entered, hold := make(chan struct{}), make(chan struct{})
	var asking atomic.Int32
	c.load = func(context.Context, int) (*string, error) {
		asking.Add(1)
		close(entered)
		<-hold
		return nil, errAway
	}
	prober := make(chan string)
	go func() { prober <- get(t, c, 1) }()
	<-entered
	for range 100 {
		get(t, c, 2) // would hang where it asked
	}
	close(hold)
	if got := <-prober; got != "one" {
		t.Errorf("who asked got %q", got)
	}
	if n := asking.Load(); n != 1 {
		t.Errorf("%d asked", n)
	}
}
