package gate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// While the database is away, asking for the usage of a key must not keep requests with it from their answers.
func TestAKeyWithoutQuotasIsAnsweredWhileItsUsageIsRead(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.hold = make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		if used, err := g.Used(t.Context(), 1); err != nil || used[models.QuotaTotal] != 0 {
			t.Errorf("%v, %v", used, err)
		}
	})
	eventually(t, "the database to be asked", func() bool { return w.loads.Load() == 1 })
	if v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]}); err != nil || v.Code != requestlog.CodeValid {
		t.Errorf("%s, %v", v.Code, err)
	}
	close(w.hold)
	asking.Wait()
}

func TestWhoWaitForAMeterReadItOnceAndNobodyWaitsLongerThanItsRequest(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 5}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.hold = make(chan struct{})
	var checking sync.WaitGroup
	var mu sync.Mutex
	codes := map[requestlog.Code]int{}
	for range 10 {
		checking.Go(func() {
			v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[v.Code]++
		})
	}
	eventually(t, "the database to be asked", func() bool { return w.loads.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Check(ctx, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.Canceled) {
		t.Errorf("who is gone gets %v", err)
	}
	close(w.hold)
	checking.Wait()
	if codes[requestlog.CodeValid] != 5 || codes[requestlog.CodeQuotaTotal] != 5 {
		t.Errorf("%v, want 5 and 5", codes)
	}
	if n := w.loads.Load(); n > 2 { // who comes between the end of a look-up and what it gave being taken over looks again
		t.Errorf("the database was asked %d times", n)
	}
}

func TestWhoReadsAMeterForAllAndGoesAwayFailsNobody(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 50}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.hold = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var first, others sync.WaitGroup
	first.Go(func() {
		if _, err := g.Check(ctx, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.Canceled) {
			t.Errorf("who is gone gets %v", err)
		}
	})
	eventually(t, "the database to be asked", func() bool { return w.loads.Load() == 1 })
	for range 50 {
		others.Go(func() {
			if v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]}); err != nil || v.Code != requestlog.CodeValid {
				t.Errorf("%s, %v", v.Code, err)
			}
		})
	}
	cancel()
	first.Wait()
	close(w.hold)
	others.Wait()
}

// A request that does not know of the key's new quota yet adds a row while others that do read the meter.
func TestAMeterKnowsTheRowsThatCameWhileItWasRead(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	check := func() {
		if _, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0], ID: requestlog.FirstIDAt(time.Now())}); err != nil {
			t.Error(err)
		}
	}
	check()
	read := make(chan struct{})
	g.meters.load = func(ctx context.Context, keyID int64) (requestlog.KeyUsage, error) {
		used, err := w.KeyUsage(ctx, keyID)
		<-read
		return used, err
	}
	var reading sync.WaitGroup
	for reader := range int64(2) { // the second must not believe what the first one reads, which is from before the row
		reading.Go(func() {
			m, err := g.meters.lockLoaded(t.Context(), 1, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.mu.Unlock()
			if m.total != 2 {
				t.Errorf("the meter knows %d of 2", m.total)
			}
		})
		eventually(t, "the database to be asked", func() bool { return w.loads.Load() == reader+1 })
		if reader == 0 {
			check()
		}
	}
	close(read)
	reading.Wait()
}

// The same, where the meter that took the row is thrown out of memory, too, before the first answer comes.
func TestAMeterThatIsMadeAnewKnowsTheRowsThatCameWhileItWasRead(t *testing.T) {
	var stored uint64
	var m *meters
	loads := 0
	m = metersOf(shards, func(context.Context, int64) (requestlog.KeyUsage, error) {
		if loads++; loads == 1 {
			locked := m.lock(1)
			stored = 5
			locked.ticket = stored
			locked.mu.Unlock()
			m.lock(1 + shards).mu.Unlock()
		}
		return requestlog.KeyUsage{Total: int64(loads - 1)}, nil
	})
	m.stored = func() uint64 { return stored }
	locked, err := m.lockLoaded(t.Context(), 1, time.Now)
	if err != nil || locked.total != 1 {
		t.Errorf("the meter knows %d of 1 (%v)", locked.total, err)
	}
}

// A row that is dropped, because memory is full of rows that wait, is no reason to forget those that do.
func TestAMeterWithRowsThatWaitStaysInMemoryWhereOneIsDropped(t *testing.T) {
	g, w, secrets := newGate(t, shards+1, models.Caps{models.QuotaTotal: 10}, models.PlanLimits{}, Options{MaxKeys: shards})
	p := project(t, g)
	check := func(key int, remaining int64) {
		t.Helper()
		v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[key], ID: requestlog.FirstIDAt(time.Now())})
		if err != nil || v.Quotas[models.QuotaTotal].Remaining != remaining {
			t.Errorf("%s leaves %+v, %v", v.Code, v.Quotas, err)
		}
	}
	w.full.Store(true)
	check(0, 9)
	for dropped := g.recorder.Stats().Dropped; g.recorder.Stats().Dropped == dropped; { // until memory is full
		for range 1_000 {
			g.recorder.Add(requestlog.Row{})
		}
	}
	check(0, 8)
	check(shards, 9) // would like to have its place
	check(0, 7)
	w.full.Store(false)
}

// What a killed process left in its spool was admitted: no key is counted before that is in the database.
func TestWhatAKilledProcessLeftInTheSpoolCounts(t *testing.T) {
	folder := t.TempDir()
	r, err := recorder.New(recorder.Options{
		Write:      func(context.Context, []requestlog.Row) error { return errors.New("away") },
		Durability: recorder.DurabilitySync, Folder: folder, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	now := requestlog.FirstIDAt(time.Now())
	for i := range requestlog.ID(7) {
		if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: now + i, KeyID: 1, Code: requestlog.CodeValid})); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 10}, models.PlanLimits{}, Options{Spool: folder},
		func(w *world) { w.full.Store(true) })
	p := project(t, g)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.recorder.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("all is said to be written: %v", err)
	}
	if v, err := g.Check(short, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the rows are written the answer is %s, %v", v.Code, err)
	}
	w.full.Store(false)
	v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
	if err != nil || v.Code != requestlog.CodeValid || v.Quotas[models.QuotaTotal].Remaining != 2 {
		t.Errorf("%s leaves %+v, %v", v.Code, v.Quotas, err)
	}
}

// Reading a meter may take seconds. What is changed meanwhile holds for the requests that wait.
func TestWhatChangesWhileAMeterIsReadHolds(t *testing.T) {
	for _, want := range []requestlog.Code{requestlog.CodeKeyExpired, requestlog.CodeKeyRevoked, requestlog.CodeKeyInvalid, requestlog.CodeQuotaTotal} {
		clock := &lockedMoment{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 5}, models.PlanLimits{}, Options{Now: clock.now})
		p := project(t, g)
		var key *models.GateKey
		for _, key = range w.keys {
			key.ExpiresAt = clock.at.Add(time.Second)
		}
		w.used[key.KeyID] = requestlog.KeyUsage{Total: 2}
		w.hold = make(chan struct{})
		go func() {
			eventually(t, "the database to be asked", func() bool { return w.loads.Load() == 1 })
			switch want {
			case requestlog.CodeKeyExpired:
				clock.advance(2 * time.Second)
			case requestlog.CodeKeyRevoked:
				key.State = models.StateRevoked
			case requestlog.CodeKeyInvalid:
				clear(w.keys)
			case requestlog.CodeQuotaTotal:
				key.Caps[models.QuotaTotal] = 2 // as many as are used up
			}
			g.Invalidate(models.Change{Kind: "key", ID: key.KeyID})
			close(w.hold)
		}()
		v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
		if err != nil || v.Code != want || v.Status != 401 || v.Known != (want != requestlog.CodeKeyInvalid) {
			t.Errorf("%s %d, %v, want %s", v.Code, v.Status, err, want)
		}
	}
}

// The directory names a meter with each key. Where memory is full it may be another key's by the time it is locked.
func TestAMeterThatWasNamedMayBeAnothersByNow(t *testing.T) {
	m := metersOf(shards, nil)
	named := m.at(m.placeOf(1))
	for _, keyID := range []int64{1, 1 + shards, 1, 1 + shards} { // in turn, in one place
		locked := m.lockHint(named, keyID)
		if locked != named || locked.keyID.Load() != keyID {
			t.Errorf("key %d got the meter of %d", keyID, locked.keyID.Load())
		}
		locked.mu.Unlock()
	}
}

// The limit per minute of a key is in no table.
func TestWhereMemoryIsFullTheMetersOfQuietKeysGoFirst(t *testing.T) {
	const busy, alsoBusy, others = 1 * shards, 2 * shards, 3 * shards // all in one part of the memory, which is full with two
	m := metersOf(2*shards, nil)
	use := func(keyID int64) {
		locked := m.lock(keyID)
		locked.recent.add()
		locked.mu.Unlock()
	}
	use(busy)
	for i := range int64(100) {
		m.lock(others + i*shards).mu.Unlock()
		if n := m.size(); n > 2 {
			t.Fatalf("%d meters are in memory", n)
		}
	}
	if kept := m.lock(busy); kept.recent.sum != 1 {
		t.Error("what the busy key used of its minute is forgotten")
	} else {
		kept.mu.Unlock()
	}
	use(alsoBusy)
	m.lock(others).mu.Unlock() // memory stays bounded all the same
	if n := m.size(); n != 2 {
		t.Errorf("%d meters are in memory", n)
	}
	m.slot = func() uint32 { return 2 * windowSlots } // a minute later nobody is busy
	m.lock(others + shards).mu.Unlock()
	if n := m.size(); n != 2 {
		t.Errorf("%d meters are in memory", n)
	}
}

func TestInSyncModeWhatCannotBeRecordedUsesUpNothing(t *testing.T) {
	g, w, secrets := newGate(t, 2, models.Caps{models.QuotaTotal: 10}, models.PlanLimits{},
		Options{Durability: recorder.DurabilitySync})
	p := project(t, g)
	check := func(key int) (Verdict, error) {
		return g.Check(t.Context(), &Request{Project: p, Key: secrets[key], ID: requestlog.FirstIDAt(time.Now())})
	}
	if v, err := check(0); err != nil || v.Quotas[models.QuotaTotal].Remaining != 9 {
		t.Fatal(v, err)
	}
	w.full.Store(true)
	if _, err := check(1); !errors.Is(err, recorder.ErrNotRecorded) { // the one that finds out: its row is kept, and written later
		t.Fatal(err)
	}
	for range 20 {
		if _, err := check(0); !errors.Is(err, recorder.ErrNotRecorded) {
			t.Fatal(err)
		}
	}
	if v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0], DryRun: true}); err != nil || v.Code != requestlog.CodeValid {
		t.Errorf("a dry run, which is not recorded, gets %s, %v", v.Code, err)
	}
	w.full.Store(false)
	eventually(t, "rows to be taken again", func() bool { return !g.recorder.Refusing() })
	if v, err := check(0); err != nil || v.Quotas[models.QuotaTotal].Remaining != 8 {
		t.Errorf("%s leaves %+v, %v", v.Code, v.Quotas, err)
	}
	if err := g.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.used[1].Total != 2 || w.used[2].Total != 1 || len(w.rows) != 3 {
		t.Errorf("%d rows; the keys have used %d and %d, want 2 and 1", len(w.rows), w.used[1].Total, w.used[2].Total)
	}
}

// heldClock can hold one reading back after it was taken, as a busy machine does.
type heldClock struct {
	lockedMoment
	hold, took chan struct{} // nil where nothing is held back
}

func (c *heldClock) now() time.Time {
	c.mu.Lock()
	at, hold := c.at, c.hold
	c.hold = nil
	c.mu.Unlock()
	if hold != nil {
		close(c.took)
		<-hold
	}
	return at
}

// A request looks at the clock at the end of a minute and is overtaken by one of the next minute, for which old requests have left
// the window: it must not be admitted as of the moment before.
func TestARequestThatIsOvertakenIsOfTheLaterMoment(t *testing.T) {
	start := time.Date(2026, 1, 1, 12, 0, 59, 950e6, time.UTC)
	clock := &heldClock{lockedMoment: lockedMoment{at: start}}
	g, _, secrets := newGate(t, 1, models.Caps{models.QuotaDaily: 2}, models.PlanLimits{}, Options{Now: clock.now})
	p := project(t, g)
	check := func() Verdict {
		v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
		if err != nil {
			t.Error(err)
		}
		return v
	}
	check()
	check()
	clock.advance(24*time.Hour - 50*time.Millisecond) // 12:00:59.900 of the next day
	hold := make(chan struct{})
	clock.mu.Lock()
	clock.hold, clock.took = hold, make(chan struct{})
	clock.mu.Unlock()
	overtaken := make(chan Verdict)
	go func() { overtaken <- check() }()
	<-clock.took
	clock.advance(110 * time.Millisecond) // 12:01:00.010
	if v := check(); v.Code != requestlog.CodeValid {
		t.Fatal(v.Code)
	}
	close(hold)
	if v := <-overtaken; v.Code != requestlog.CodeValid || v.At.Before(start.Add(24*time.Hour)) {
		t.Errorf("%s as of %s, when the two of %s still count", v.Code, v.At, start)
	}
}
