package gate

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listening is the trust of a process that has just begun to hear of the others' changes.
func listening() (*stalenessPolicy, *moment) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	trust := newStalenessPolicy(true, clock.now)
	clock.pass(time.Second)
	trust.syncedUntil(clock.at, clock.at)
	clock.pass(time.Millisecond)
	return trust, clock
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
	trust := newStalenessPolicy(false, clock.now)
	readAt := trust.moment()
	clock.pass(1000 * time.Hour)
	if !trust.fresh(readAt) {
		t.Error("it asks again although nobody else can have changed anything")
	}
}

func TestWhileNoticesArriveWhatWasReadIsNotReadAgain(t *testing.T) {
	trust, clock := listening()
	since, readAt := clock.at.Add(-time.Millisecond), trust.moment()
	clock.hearOn(trust, since, time.Hour)
	if !trust.fresh(readAt) {
		t.Error("it is not believed although every change is told")
	}
}

func TestWhileDeafWhatWasReadIsBelievedForAMomentOnly(t *testing.T) {
	trust, clock := listening()
	readAt := trust.moment()
	clock.pass(time.Millisecond)
	trust.disconnected()
	if trust.isSynced() {
		t.Error("it says that it hears")
	}
	clock.pass(staleFor - 2*time.Millisecond)
	if !trust.fresh(readAt) {
		t.Error("it was read less than a quarter of a second ago and is read again")
	}
	clock.pass(time.Millisecond)
	if trust.fresh(readAt) {
		t.Error("it is still believed")
	}
}

func TestBeforeTheFirstNoticesCanArriveNothingIsBelievedForLong(t *testing.T) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	trust := newStalenessPolicy(true, clock.now)
	readAt := trust.moment()
	clock.pass(staleFor)
	if trust.fresh(readAt) || trust.isSynced() {
		t.Error("it is believed")
	}
}

// The process may have stood still, and with it whoever would have said that it is deaf.
func TestSilenceOfTheListenerCountsAsDeaf(t *testing.T) {
	trust, clock := listening()
	readAt := trust.moment()
	clock.pass(syncLifetime - 2*time.Millisecond)
	if !trust.fresh(readAt) || !trust.isSynced() {
		t.Error("it is deaf between two questions")
	}
	clock.pass(time.Millisecond)
	if trust.fresh(readAt) || trust.isSynced() {
		t.Error("it believes although nothing was heard")
	}
}

func TestWhatWasReadBeforeTheConnectionCameBackIsReadAgain(t *testing.T) {
	trust, clock := listening()
	before := trust.moment()
	trust.disconnected()
	clock.pass(staleFor)
	during := trust.moment()
	clock.pass(staleFor)
	since := clock.at
	trust.syncedUntil(since, since)
	for name, readAt := range map[string]int64{"before the loss": before, "while deaf": during} {
		if trust.fresh(readAt) {
			t.Errorf("what was read %s is believed: its change may have been missed", name)
		}
	}
	clock.pass(time.Millisecond)
	after := trust.moment()
	clock.hearOn(trust, since, time.Minute)
	if !trust.fresh(after) {
		t.Error("what was read after it is not believed")
	}
}

func TestALookUpInTheMillisecondOfTheReturnIsNotBelievedForLong(t *testing.T) {
	trust, clock := listening()
	readAt := trust.moment()
	clock.pass(900 * time.Microsecond) // still the same millisecond, but after the look-up
	since := clock.at
	clock.hearOn(trust, since, time.Second)
	if trust.fresh(readAt) {
		t.Error("it may be from before")
	}
}

func TestADatabaseThatFailedIsAskedByOneAtATime(t *testing.T) {
	trust, clock := listening()
	for range 2 {
		if !trust.mayAsk() {
			t.Fatal("a database that answers may not be asked")
		}
	}
	trust.asked(errors.New("away"))
	if trust.mayAsk() {
		t.Error("it is asked again at once")
	}
	for range 3 {
		clock.pass(retryAfter)
		var allowed atomic.Int32
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if trust.mayAsk() {
					allowed.Add(1)
				}
			})
		}
		group.Wait()
		if n := allowed.Load(); n != 1 {
			t.Fatalf("%d callers ask at once", n)
		}
		clock.pass(knownTimeout)
		if trust.mayAsk() {
			t.Error("a second one asks while the first may still wait")
		}
		trust.asked(errors.New("away"))
	}
	trust.asked(nil)
	for range 2 {
		if !trust.mayAsk() {
			t.Error("it answers again and may not be asked")
		}
	}
}

func TestACallerThatNeverTellsTheOutcomeDoesNotKeepTheDatabaseAway(t *testing.T) {
	trust, clock := listening()
	trust.asked(errors.New("away"))
	clock.pass(retryAfter)
	trust.mayAsk()
	clock.pass(knownTimeout + retryAfter)
	if !trust.mayAsk() {
		t.Error("nobody asks any more")
	}
}
