package gate

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit/soak"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// reference is a list of the times of admitted requests. The meters must agree with it.
type reference struct{ admitted []time.Time }

// within counts the requests admitted in the window that ends at now.
func (r *reference) within(window time.Duration, now time.Time) (n int64) {
	for i := len(r.admitted) - 1; i >= 0 && r.admitted[i].After(now.Add(-window)); i-- {
		n++
	}
	return n
}

// usage is what a database with counts by minute would return.
func (r *reference) usage() requestlog.KeyUsage {
	u := requestlog.KeyUsage{Total: int64(len(r.admitted))}
	for _, at := range r.admitted {
		minute := at.Unix() / 60
		if last := len(u.Points) - 1; last >= 0 && u.Points[last].Minute == minute {
			u.Points[last].Requests++
		} else {
			u.Points = append(u.Points, requestlog.UsagePoint{Minute: minute, Requests: 1})
		}
	}
	return u
}

// counter is a single meter, used as the gate uses it.
type counter struct {
	*meter
	all *meters
}

func newCounter(used requestlog.KeyUsage, now time.Time) counter {
	all := metersOf(10, func(context.Context, int64) (requestlog.KeyUsage, error) { return used, nil })
	locked, err := all.lockLoaded(context.Background(), 1, func() time.Time { return now })
	if err != nil {
		panic(err)
	}
	return counter{locked, all}
}

// metersOf returns meters of keys without waiting rows.
func metersOf(limit int, load func(context.Context, int64) (requestlog.KeyUsage, error)) *meters {
	zero := func() uint64 { return 0 }
	wait := func(context.Context, uint64) error { return nil }
	return newMeters(limit, load, zero, wait, func() uint32 { return 0 })
}

func (c counter) advance(now time.Time) { c.all.advance(c.meter, minuteOf(now)) }

func (c counter) frees(q models.Quota, limit int64) time.Time { return c.all.frees(c.meter, q, limit) }

// copy returns a meter with the same state.
func (c counter) copy() counter {
	all := metersOf(10, nil)
	twin := all.lock(1)
	place := twin.place
	twin.ticket, twin.loaded, twin.large, twin.length = c.ticket, c.loaded, c.large, c.length
	twin.minute, twin.last, twin.total, twin.sum, twin.packed = c.minute, c.last, c.total, c.sum, c.packed
	all.shardOf(1).large[place] = slices.Clone(c.all.shardOf(1).large[c.place])
	return counter{twin, all}
}

// A quota is never exceeded in any window, and an old request counts at most 1/1440 of the window too long, however the
// requests come and whenever the process restarts.
func TestQuotasAreNeverExceededAndBecomeFreeInTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(soak.Times(3, 60)) {
		random := rand.New(rand.NewPCG(seed, 1))
		caps := models.Caps{
			models.QuotaDaily:   1 + random.Int64N(40),
			models.QuotaWeekly:  1 + random.Int64N(120),
			models.QuotaMonthly: 1 + random.Int64N(300),
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(random.Int64N(int64(24 * time.Hour))))
		var ref reference
		s := newCounter(requestlog.KeyUsage{}, now)
		for range 3000 {
			// Bursts, quiet hours, and sometimes days.
			now = now.Add([]time.Duration{
				time.Duration(random.Int64N(int64(time.Second))), time.Duration(random.Int64N(int64(10 * time.Minute))),
				time.Duration(random.Int64N(int64(3 * time.Hour))), time.Duration(random.Int64N(int64(60 * time.Hour))),
			}[min(3, int(random.ExpFloat64()*1.2))])
			if random.IntN(50) == 0 { // a restart
				s = newCounter(ref.usage(), now)
			}
			s.advance(now)
			admit := true
			for q, limit := range caps[:windowCount] {
				window := models.QuotaWindows[q]
				least, most := ref.within(window.Length, now), ref.within(window.Length+window.Length/1440, now)
				if used := s.used(models.Quota(q)); used < least || used > most {
					t.Fatalf("seed %d: %s counts %d, want %d to %d", seed, models.Quota(q), used, least, most)
				}
				if s.used(models.Quota(q)) >= limit {
					admit = false
					checkFrees(t, s, models.Quota(q), limit)
				}
			}
			if admit {
				s.add()
				ref.admitted = append(ref.admitted, now)
			}
			if s.total != int64(len(ref.admitted)) {
				t.Fatalf("seed %d: the total is %d, want %d", seed, s.total, len(ref.admitted))
			}
		}
	}
}

// checkFrees checks the time that frees returns: a minute before it the quota is still used up, and at it no longer.
func checkFrees(t *testing.T, s counter, q models.Quota, limit int64) {
	t.Helper()
	frees := s.frees(q, limit)
	later := s.copy()
	later.advance(frees.Add(-time.Minute))
	if later.used(q) < limit {
		t.Fatalf("%s is free a minute before %s, which frees returned", q, frees)
	}
	later.advance(frees)
	if later.used(q) >= limit {
		t.Fatalf("%s is not free at %s, which frees returned", q, frees)
	}
}

func TestAfterTheClockIsSetBackNothingIsFreedTwice(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newCounter(requestlog.KeyUsage{}, now)
	s.add()
	s.advance(now.Add(-8 * time.Hour))
	s.add()
	s.advance(now.Add(24 * time.Hour))
	if got := s.used(models.QuotaDaily); got != 2 {
		t.Errorf("%d are counted, want 2", got)
	}
	s.advance(now.Add(24*time.Hour + time.Minute))
	if got := s.used(models.QuotaDaily); got != 0 {
		t.Errorf("%d are counted after a day, want 0", got)
	}
}

// Rows are in the future if the clock was ahead when they were written.
func TestAPointInTheFutureMakesNoOtherLeaveTooEarly(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	s := newCounter(requestlog.KeyUsage{Total: 6, Points: []requestlog.UsagePoint{
		{Minute: now.Add(-22*time.Hour).Unix() / 60, Requests: 5},
		{Minute: now.Add(3*time.Hour).Unix() / 60, Requests: 1},
	}}, now)
	for after, want := range map[time.Duration]int64{
		0:                          6,
		2*time.Hour - time.Minute:  6,
		3 * time.Hour:              1,
		24*time.Hour + time.Minute: 0,
	} {
		later := s.copy()
		later.advance(now.Add(after))
		if got := later.used(models.QuotaDaily); got != want {
			t.Errorf("after %s %d are counted, want %d", after, got, want)
		}
	}
}

func TestABusyKeyHasFewPoints(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newCounter(requestlog.KeyUsage{}, now)
	const days = 32
	for range days * 720 {
		now = now.Add(2 * time.Minute)
		s.advance(now)
		s.add()
	}
	var points series
	s.all.unpack(s.meter, &points)
	if len(points.points) > 4000 {
		t.Errorf("the series has %d points, want at most 4000", len(points.points))
	}
	if s.sum[models.QuotaDaily] != 720+1 || s.total != days*720 {
		t.Errorf("%d in a day and %d in all, want 721 and 23040", s.sum[models.QuotaDaily], s.total)
	}
	// A key that has become quiet needs no more memory than others.
	s.advance(now.Add(40 * 24 * time.Hour))
	if s.large || len(s.all.shardOf(1).large) != 0 {
		t.Error("a key that has become quiet still has points outside of its meter")
	}
}

func FuzzSeries(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 255, 0, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var ref reference
		s := newCounter(requestlog.KeyUsage{}, now)
		for i, step := range steps[:min(len(steps), 400)] {
			now = now.Add(time.Duration(step) * time.Duration(1+i%7*i%300) * 17 * time.Second)
			s.advance(now)
			full := false
			for q := range windowCount {
				w, limit := models.QuotaWindows[q], int64(1+steps[0]%16)*int64(1+2*q)
				used := s.used(models.Quota(q))
				if used < ref.within(w.Length, now) || used > ref.within(w.Length+w.Length/1440, now) {
					t.Fatalf("%s counts %d", models.Quota(q), used)
				}
				if used >= limit {
					full = true
					checkFrees(t, s, models.Quota(q), limit)
				}
			}
			if !full {
				s.add()
				ref.admitted = append(ref.admitted, now)
			}
		}
	})
}
