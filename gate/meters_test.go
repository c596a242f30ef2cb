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

// While the database is away, reading the usage of a key must not delay requests with that key.
func TestAKeyWithoutQuotasIsAnsweredWhileItsUsageIsRead(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.hold = make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		if used, err := g.Used(t.Context(), 1); err != nil || used[models.QuotaTotal] != 0 {
			t.Errorf("%v, %v", used, err)
		}
	})
	eventually(t, "the database to be read", func() bool { return w.loads.Load() == 1 })
	v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
	if err != nil || v.Code != requestlog.CodeValid {
		t.Errorf("got %s (%v), want valid", v.Code, err)
	}
	close(w.hold)
	reading.Wait()
}

func TestConcurrentRequestsShareTheReadOfAMeterAndStopWaitingWhenCancelled(t *testing.T) {
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
	eventually(t, "the database to be read", func() bool { return w.loads.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Check(ctx, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request got %v, want %v", err, context.Canceled)
	}
	close(w.hold)
	checking.Wait()
	if codes[requestlog.CodeValid] != 5 || codes[requestlog.CodeQuotaTotal] != 5 {
		t.Errorf("the codes are %v, want 5 admitted and 5 rejected by the quota", codes)
	}
	// A request that comes after a read has ended and before the meter is filled reads again.
	if n := w.loads.Load(); n > 2 {
		t.Errorf("the usage was read %d times, want 1 or 2", n)
	}
}

func TestACancelledReaderOfAMeterDoesNotFailTheOthers(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 50}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.hold = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var first, others sync.WaitGroup
	first.Go(func() {
		if _, err := g.Check(ctx, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled request got %v, want %v", err, context.Canceled)
		}
	})
	eventually(t, "the database to be read", func() bool { return w.loads.Load() == 1 })
	for range 50 {
		others.Go(func() {
			v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
			if err != nil || v.Code != requestlog.CodeValid {
				t.Errorf("got %s (%v), want valid", v.Code, err)
			}
		})
	}
	cancel()
	first.Wait()
	close(w.hold)
	others.Wait()
}

// A request that was checked before the key got its quota adds a row, while later ones read the meter.
func TestAMeterIncludesRowsThatCameWhileItWasRead(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	check := func() {
		r := Request{Project: p, Key: secrets[0], ID: requestlog.FirstIDAt(time.Now())}
		if _, err := g.Check(t.Context(), &r); err != nil {
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
	for reader := range int64(2) { // the second must not use what the first one reads, which is from before the row
		reading.Go(func() {
			m, err := g.meters.lockLoaded(t.Context(), 1, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.mu.Unlock()
			if m.total != 2 {
				t.Errorf("the meter counts %d, want 2", m.total)
			}
		})
		eventually(t, "the database to be read", func() bool { return w.loads.Load() == reader+1 })
		if reader == 0 {
			check()
		}
	}
	close(read)
	reading.Wait()
}

// As above, and the meter that counted the row is evicted before the first read returns.
func TestAMeterThatWasEvictedWhileItWasReadIncludesTheRowsThatCame(t *testing.T) {
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
		t.Errorf("the meter counts %d, want 1 (%v)", locked.total, err)
	}
}

// If a row is dropped because too many wait, the key's earlier rows still wait, so its meter must not be evicted.
func TestAMeterWithWaitingRowsStaysInMemoryAfterARowIsDropped(t *testing.T) {
	g, w, secrets := newGate(
		t, shards+1, models.Caps{models.QuotaTotal: 10}, models.PlanLimits{}, Options{MaxKeys: shards},
	)
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
	check(shards, 9) // its shard is full with the first key's meter
	check(0, 7)
	w.full.Store(false)
}

// Rows in the spool are of admitted requests, so no meter may be loaded before they are in the database.
func TestRowsThatAKilledProcessLeftInTheSpoolCount(t *testing.T) {
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
		row := requestlog.Row{ID: now + i, KeyID: 1, Code: requestlog.CodeValid}
		if err := r.Wait(t.Context(), r.Add(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 10}, models.PlanLimits{}, Options{Spool: folder},
		func(w *fakeDatabase) { w.full.Store(true) })
	p := project(t, g)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.recorder.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the rows are written Flush returned %v", err)
	}
	if v, err := g.Check(short, &Request{Project: p, Key: secrets[0]}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the rows are written Check returned %s, %v", v.Code, err)
	}
	w.full.Store(false)
	v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0]})
	if err != nil || v.Code != requestlog.CodeValid || v.Quotas[models.QuotaTotal].Remaining != 2 {
		t.Errorf("%s leaves %+v, %v", v.Code, v.Quotas, err)
	}
}

// Reading a meter may take seconds. A change meanwhile takes effect for the requests that wait.
func TestAChangeWhileAMeterIsReadTakesEffect(t *testing.T) {
	for _, want := range []requestlog.Code{
		requestlog.CodeKeyExpired, requestlog.CodeKeyRevoked, requestlog.CodeKeyInvalid, requestlog.CodeQuotaTotal,
	} {
		clock := &lockedClock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 5}, models.PlanLimits{}, Options{Now: clock.now})
		p := project(t, g)
		var key *models.GateKey
		for _, key = range w.keys {
			key.ExpiresAt = clock.at.Add(time.Second)
		}
		w.used[key.KeyID] = requestlog.KeyUsage{Total: 2}
		w.hold = make(chan struct{})
		go func() {
			eventually(t, "the database to be read", func() bool { return w.loads.Load() == 1 })
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

// The key cache has a hint at each key's meter. If memory is full, that meter may serve another key when it is locked.
func TestLockHintFallsBackIfTheMeterServesAnotherKey(t *testing.T) {
	m := metersOf(shards, nil)
	hint := m.at(m.placeOf(1))
	for _, keyID := range []int64{1, 1 + shards, 1, 1 + shards} { // in turn, in one place
		locked := m.lockHint(hint, keyID)
		if locked != hint || locked.keyID.Load() != keyID {
			t.Errorf("key %d got the meter of %d", keyID, locked.keyID.Load())
		}
		locked.mu.Unlock()
	}
}

// A key's count for the limit per minute is in no table, so evicting its meter resets it.
func TestMetersOfQuietKeysAreEvictedFirst(t *testing.T) {
	const busy, alsoBusy, others = 1 * shards, 2 * shards, 3 * shards // all in one shard, which is full with two
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
			t.Fatalf("%d meters are in memory, want at most 2", n)
		}
	}
	if kept := m.lock(busy); kept.recent.sum != 1 {
		t.Error("the busy key's requests of the minute are lost")
	} else {
		kept.mu.Unlock()
	}
	use(alsoBusy)
	m.lock(others).mu.Unlock() // a busy meter is evicted, so that memory stays bounded
	if n := m.size(); n != 2 {
		t.Errorf("%d meters are in memory, want 2", n)
	}
	m.slot = func() uint32 { return 2 * windowSlots } // a minute later no key is busy
	m.lock(others + shards).mu.Unlock()
	if n := m.size(); n != 2 {
		t.Errorf("%d meters are in memory, want 2", n)
	}
}

func TestInSyncModeARequestThatCannotBeRecordedCountsAgainstNothing(t *testing.T) {
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
	// This request notices the failure: its row is kept, and written later.
	if _, err := check(1); !errors.Is(err, recorder.ErrNotRecorded) {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := check(0); !errors.Is(err, recorder.ErrNotRecorded) {
			t.Fatal(err)
		}
	}
	v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0], DryRun: true})
	if err != nil || v.Code != requestlog.CodeValid {
		t.Errorf("a dry run, which is not recorded, got %s (%v), want valid", v.Code, err)
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

// heldClock can delay the return of one reading, as a busy machine may.
type heldClock struct {
	lockedClock
	hold, took chan struct{} // nil if no reading is delayed
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

// A request reads the clock at the end of a minute. It is overtaken by a request of the next minute, when old requests
// have left the window. It must not be admitted at the time it read.
func TestAnOvertakenRequestIsJudgedAtTheLaterTime(t *testing.T) {
	start := time.Date(2026, 1, 1, 12, 0, 59, 950e6, time.UTC)
	clock := &heldClock{lockedClock: lockedClock{at: start}}
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
		t.Errorf("got %s at %s, want valid at a time when the two requests of %s no longer count", v.Code, v.At, start)
	}
}
