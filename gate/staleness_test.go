package gate

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// syncedPolicy returns the policy of a process that has just begun to receive the changes of others.
func syncedPolicy() (*stalenessPolicy, *fakeClock) {
	clock := &fakeClock{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(true, clock.now)
	clock.advance(time.Second)
	staleness.syncedUntil(clock.at, clock.at)
	clock.advance(time.Millisecond)
	return staleness, clock
}

func (m *fakeClock) advance(d time.Duration) { m.at = m.at.Add(d) }

// staySynced lets time pass in which the listening connection answers.
func (m *fakeClock) staySynced(t *stalenessPolicy, since time.Time, d time.Duration) {
	const step = 200 * time.Millisecond
	for ; d > 0; d -= step {
		t.syncedUntil(since, m.at)
		m.advance(min(step, d))
	}
}

func TestInASingleProcessReadsStayFresh(t *testing.T) {
	clock := &fakeClock{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(false, clock.now)
	readAt := staleness.moment()
	clock.advance(1000 * time.Hour)
	if !staleness.fresh(readAt) {
		t.Error("the read is stale although no other process can have changed anything")
	}
}

func TestWhileSyncedReadsStayFresh(t *testing.T) {
	staleness, clock := syncedPolicy()
	since, readAt := clock.at.Add(-time.Millisecond), staleness.moment()
	clock.staySynced(staleness, since, time.Hour)
	if !staleness.fresh(readAt) {
		t.Error("the read is stale although every change arrives")
	}
}

func TestWhileDisconnectedReadsAreFreshForAMomentOnly(t *testing.T) {
	staleness, clock := syncedPolicy()
	readAt := staleness.moment()
	clock.advance(time.Millisecond)
	staleness.disconnected()
	if staleness.isSynced() {
		t.Error("isSynced is true while disconnected")
	}
	clock.advance(staleFor - 2*time.Millisecond)
	if !staleness.fresh(readAt) {
		t.Error("the read is stale after less than staleFor")
	}
	clock.advance(time.Millisecond)
	if staleness.fresh(readAt) {
		t.Error("the read is fresh after more than staleFor")
	}
}

func TestBeforeTheFirstSyncReadsAreFreshForAMomentOnly(t *testing.T) {
	clock := &fakeClock{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(true, clock.now)
	readAt := staleness.moment()
	clock.advance(staleFor)
	if staleness.fresh(readAt) || staleness.isSynced() {
		t.Error("the read is fresh, or the policy synced, before the first sync")
	}
}

// The process may have been suspended, and with it the goroutine that would have called disconnected.
func TestWithoutAnswersThePolicyIsNoLongerSynced(t *testing.T) {
	staleness, clock := syncedPolicy()
	readAt := staleness.moment()
	clock.advance(syncLifetime - 2*time.Millisecond)
	if !staleness.fresh(readAt) || !staleness.isSynced() {
		t.Error("the policy is not synced, or the read is stale, between two answers")
	}
	clock.advance(time.Millisecond)
	if staleness.fresh(readAt) || staleness.isSynced() {
		t.Error("the policy is synced, or the read is fresh, without an answer for syncLifetime")
	}
}

func TestReadsFromBeforeTheReconnectionAreStale(t *testing.T) {
	staleness, clock := syncedPolicy()
	before := staleness.moment()
	staleness.disconnected()
	clock.advance(staleFor)
	during := staleness.moment()
	clock.advance(staleFor)
	since := clock.at
	staleness.syncedUntil(since, since)
	for name, readAt := range map[string]int64{"before the disconnection": before, "while disconnected": during} {
		if staleness.fresh(readAt) {
			t.Errorf("a read from %s is fresh: a change may have been missed", name)
		}
	}
	clock.advance(time.Millisecond)
	after := staleness.moment()
	clock.staySynced(staleness, since, time.Minute)
	if !staleness.fresh(after) {
		t.Error("a read from after the reconnection is stale")
	}
}

func TestAReadInTheMillisecondOfTheReconnectionBecomesStale(t *testing.T) {
	staleness, clock := syncedPolicy()
	readAt := staleness.moment()
	clock.advance(900 * time.Microsecond) // the same millisecond, but after the look-up
	since := clock.at
	clock.staySynced(staleness, since, time.Second)
	if staleness.fresh(readAt) {
		t.Error("the read is fresh: it may be from before the reconnection")
	}
}

func TestADatabaseThatFailedIsQueriedByOneCallerAtATime(t *testing.T) {
	staleness, clock := syncedPolicy()
	for range 2 {
		if !staleness.mayQuery() {
			t.Fatal("mayQuery is false while the database answers")
		}
	}
	staleness.queryDone(errors.New("away"))
	if staleness.mayQuery() {
		t.Error("mayQuery is true right after a failure")
	}
	for range 3 {
		clock.advance(retryAfter)
		var allowed atomic.Int32
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if staleness.mayQuery() {
					allowed.Add(1)
				}
			})
		}
		group.Wait()
		if n := allowed.Load(); n != 1 {
			t.Fatalf("%d of 20 callers may query, want 1", n)
		}
		clock.advance(knownTimeout)
		if staleness.mayQuery() {
			t.Error("a second caller may query while the first may still be waiting")
		}
		staleness.queryDone(errors.New("away"))
	}
	staleness.queryDone(nil)
	for range 2 {
		if !staleness.mayQuery() {
			t.Error("mayQuery is false after the database answered again")
		}
	}
}

func TestACallerThatNeverCallsQueryDoneDoesNotStopLaterQueries(t *testing.T) {
	staleness, clock := syncedPolicy()
	staleness.queryDone(errors.New("away"))
	clock.advance(retryAfter)
	staleness.mayQuery()
	clock.advance(knownTimeout + retryAfter)
	if !staleness.mayQuery() {
		t.Error("mayQuery stays false if queryDone is not called")
	}
}
