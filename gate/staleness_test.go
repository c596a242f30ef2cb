package gate

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listening is the staleness of a process that has just begun to hear of the others' changes.
func listening() (*stalenessPolicy, *moment) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(true, clock.now)
	clock.pass(time.Second)
	staleness.syncedUntil(clock.at, clock.at)
	clock.pass(time.Millisecond)
	return staleness, clock
}

func (m *moment) pass(d time.Duration) { m.at = m.at.Add(d) }

// hearOn lets time pass in which the listening connection answers.
func (m *moment) hearOn(t *stalenessPolicy, since time.Time, d time.Duration) {
	const step = 200 * time.Millisecond
	for ; d > 0; d -= step {
		t.syncedUntil(since, m.at)
		m.pass(min(step, d))
	}
}

func TestOneProcessBelievesWhatItReadForGood(t *testing.T) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(false, clock.now)
	readAt := staleness.moment()
	clock.pass(1000 * time.Hour)
	if !staleness.fresh(readAt) {
		t.Error("it asks again although nobody else can have changed anything")
	}
}

func TestWhileNoticesArriveWhatWasReadIsNotReadAgain(t *testing.T) {
	staleness, clock := listening()
	since, readAt := clock.at.Add(-time.Millisecond), staleness.moment()
	clock.hearOn(staleness, since, time.Hour)
	if !staleness.fresh(readAt) {
		t.Error("it is not believed although every change is told")
	}
}

func TestWhileDeafWhatWasReadIsBelievedForAMomentOnly(t *testing.T) {
	staleness, clock := listening()
	readAt := staleness.moment()
	clock.pass(time.Millisecond)
	staleness.disconnected()
	if staleness.isSynced() {
		t.Error("it says that it hears")
	}
	clock.pass(staleFor - 2*time.Millisecond)
	if !staleness.fresh(readAt) {
		t.Error("it was read less than a quarter of a second ago and is read again")
	}
	clock.pass(time.Millisecond)
	if staleness.fresh(readAt) {
		t.Error("it is still believed")
	}
}

func TestBeforeTheFirstNoticesCanArriveNothingIsBelievedForLong(t *testing.T) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	staleness := newStalenessPolicy(true, clock.now)
	readAt := staleness.moment()
	clock.pass(staleFor)
	if staleness.fresh(readAt) || staleness.isSynced() {
		t.Error("it is believed")
	}
}

// The process may have stood still, and with it whoever would have said that it is deaf.
func TestSilenceOfTheListenerCountsAsDeaf(t *testing.T) {
	staleness, clock := listening()
	readAt := staleness.moment()
	clock.pass(syncLifetime - 2*time.Millisecond)
	if !staleness.fresh(readAt) || !staleness.isSynced() {
		t.Error("it is deaf between two questions")
	}
	clock.pass(time.Millisecond)
	if staleness.fresh(readAt) || staleness.isSynced() {
		t.Error("it believes although nothing was heard")
	}
}

func TestWhatWasReadBeforeTheConnectionCameBackIsReadAgain(t *testing.T) {
	staleness, clock := listening()
	before := staleness.moment()
	staleness.disconnected()
	clock.pass(staleFor)
	during := staleness.moment()
	clock.pass(staleFor)
	since := clock.at
	staleness.syncedUntil(since, since)
	for name, readAt := range map[string]int64{"before the loss": before, "while deaf": during} {
		if staleness.fresh(readAt) {
			t.Errorf("what was read %s is believed: its change may have been missed", name)
		}
	}
	clock.pass(time.Millisecond)
	after := staleness.moment()
	clock.hearOn(staleness, since, time.Minute)
	if !staleness.fresh(after) {
		t.Error("what was read after it is not believed")
	}
}

func TestALookUpInTheMillisecondOfTheReturnIsNotBelievedForLong(t *testing.T) {
	staleness, clock := listening()
	readAt := staleness.moment()
	clock.pass(900 * time.Microsecond) // still the same millisecond, but after the look-up
	since := clock.at
	clock.hearOn(staleness, since, time.Second)
	if staleness.fresh(readAt) {
		t.Error("it may be from before")
	}
}

func TestADatabaseThatFailedIsAskedByOneAtATime(t *testing.T) {
	staleness, clock := listening()
	for range 2 {
		if !staleness.mayQuery() {
			t.Fatal("a database that answers may not be asked")
		}
	}
	staleness.queryDone(errors.New("away"))
	if staleness.mayQuery() {
		t.Error("it is asked again at once")
	}
	for range 3 {
		clock.pass(retryAfter)
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
			t.Fatalf("%d callers ask at once", n)
		}
		clock.pass(knownTimeout)
		if staleness.mayQuery() {
			t.Error("a second one asks while the first may still wait")
		}
		staleness.queryDone(errors.New("away"))
	}
	staleness.queryDone(nil)
	for range 2 {
		if !staleness.mayQuery() {
			t.Error("it answers again and may not be asked")
		}
	}
}

func TestACallerThatNeverTellsTheOutcomeDoesNotKeepTheDatabaseAway(t *testing.T) {
	staleness, clock := listening()
	staleness.queryDone(errors.New("away"))
	clock.pass(retryAfter)
	staleness.mayQuery()
	clock.pass(knownTimeout + retryAfter)
	if !staleness.mayQuery() {
		t.Error("nobody asks any more")
	}
}
