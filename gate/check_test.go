package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// fakeDatabase has one project with keys, and the rows that are written.
type fakeDatabase struct {
	blockTable
	project models.GateProject
	keys    map[models.Digest]*models.GateKey
	mu      sync.Mutex
	used    map[int64]requestlog.KeyUsage
	rows    []requestlog.Row
	loads   atomic.Int64
	hold    chan struct{} // nil, or KeyUsage waits until it is closed
	full    atomic.Bool   // Write fails
}

func (w *fakeDatabase) GateProject(context.Context, string) (*models.GateProject, error) {
	return &w.project, nil
}
func (w *fakeDatabase) FindKey(_ context.Context, d models.Digest) (*models.GateKey, error) {
	return w.keys[d], nil
}
func (w *fakeDatabase) FindServiceToken(context.Context, models.Digest) (*models.ServiceToken, error) {
	return nil, nil
}
func (w *fakeDatabase) TouchServiceToken(context.Context, int64, time.Time) error { return nil }
func (w *fakeDatabase) CountUnknownKeys(context.Context, int64, []models.UnknownKeyCount) error {
	return nil
}
func (w *fakeDatabase) Subscribe(func(models.Change)) {}
func (w *fakeDatabase) KeyUsage(ctx context.Context, keyID int64) (requestlog.KeyUsage, error) {
	w.loads.Add(1)
	if w.hold != nil {
		select {
		case <-w.hold:
		case <-ctx.Done():
			return requestlog.KeyUsage{}, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.used[keyID], nil
}

// Complete looks for the rows, and changes nothing.
func (w *fakeDatabase) Complete(
	_ context.Context, _ int64, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range reports {
		if !slices.ContainsFunc(w.rows, func(row requestlog.Row) bool { return row.ID == r.ID }) {
			missing = append(missing, r.ID)
		}
	}
	return missing, nil
}

// Write stores rows and counts them as the database does.
func (w *fakeDatabase) Write(_ context.Context, rows []requestlog.Row) error {
	if w.full.Load() {
		return errors.New("the disk is full")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows = append(w.rows, rows...)
	for _, r := range rows {
		if r.Code == requestlog.CodeValid {
			u := w.used[r.KeyID]
			u.Total++
			u.Points = append(u.Points, requestlog.UsagePoint{Minute: r.ID.Time().Unix() / 60, Requests: 1})
			w.used[r.KeyID] = u
		}
	}
	return nil
}

// secretOf returns the number-th of a series of well-formed secrets.
func secretOf(t testing.TB, pepper models.Pepper, number int) (string, models.Digest) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(number), byte(number >> 8), byte(number >> 16)})
	secret, err := models.NewSecret(random, "clv", models.SecretProduction)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Plain(), pepper.Digest(secret)
}

func n(value int64) *int64 { return &value }

// newGate returns a gate, its database with keys that have the caps, and the secrets of the keys.
func newGate(
	t testing.TB, keys int, caps models.Caps, limits models.PlanLimits, o Options, prepare ...func(*fakeDatabase),
) (*Gate, *fakeDatabase, []string) {
	t.Helper()
	pepper, err := models.NewPepper([]byte(strings.Repeat("p", models.PepperLength)))
	if err != nil {
		t.Fatal(err)
	}
	w := &fakeDatabase{
		project: models.GateProject{ID: 1, Slug: "shop", Limits: limits, QuotaStatus: 401},
		keys:    map[models.Digest]*models.GateKey{}, used: map[int64]requestlog.KeyUsage{},
	}
	secrets := make([]string, keys)
	for i := range secrets {
		var digest models.Digest
		secrets[i], digest = secretOf(t, pepper, i)
		w.keys[digest] = &models.GateKey{
			ProjectID: 1, KeyID: int64(i + 1), Name: "server_prod", Type: models.TypeProduction,
			Category: "production", State: models.StateActive, Version: 1, Caps: caps,
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, p := range prepare {
		p(w)
	}
	g, err := New(w, w, pepper, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(context.Background()) })
	return g, w, secrets
}

// eventually calls holds until it returns true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func project(t testing.TB, g *Gate) *Project {
	t.Helper()
	p, err := g.Project(t.Context(), "shop")
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p
}

func TestConcurrentRequestsNeverExceedTheQuota(t *testing.T) {
	for name, caps := range map[string]models.Caps{
		"daily": {models.QuotaDaily: 10_000},
		"total": {models.QuotaTotal: 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			g, w, secrets := newGate(t, 1, caps, models.PlanLimits{}, Options{})
			p := project(t, g)
			var admitted, count atomic.Int64
			var group sync.WaitGroup
			for range 64 {
				group.Go(func() {
					for range 200 {
						id := requestlog.ID(time.Now().UnixMilli()<<21 + count.Add(1))
						v, err := g.Check(t.Context(), &Request{ID: id, Project: p, Key: secrets[0]})
						if err != nil {
							t.Error(err)
						}
						if v.Code == requestlog.CodeValid {
							admitted.Add(1)
						}
					}
				})
			}
			group.Wait()
			if admitted.Load() != 10_000 {
				t.Errorf("%d requests were admitted, want 10,000", admitted.Load())
			}
			if err := g.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if total := w.used[1].Total; total != 10_000 || len(w.rows) != 64*200 {
				t.Errorf("%d are counted and %d rows written, want 10,000 and 12,800", total, len(w.rows))
			}
		})
	}
}

// A meter that was evicted and loaded again includes all admitted requests, even if their rows are not stored yet.
func TestEvictedMetersLoseNoCounts(t *testing.T) {
	g, _, secrets := newGate(t, 2000, models.Caps{models.QuotaDaily: 5}, models.PlanLimits{}, Options{MaxKeys: 64})
	p := project(t, g)
	admitted := make([]atomic.Int64, len(secrets))
	var count atomic.Int64
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for round := range 8 {
				for i := range secrets {
					key := (i*7 + worker*250 + round) % len(secrets)
					id := requestlog.ID(time.Now().UnixMilli()<<21 + count.Add(1))
					v, err := g.Check(t.Context(), &Request{ID: id, Project: p, Key: secrets[key]})
					if err != nil {
						t.Error(err)
						return
					}
					if v.Code == requestlog.CodeValid {
						admitted[key].Add(1)
					}
				}
			}
		})
	}
	group.Wait()
	for i := range admitted {
		if got := admitted[i].Load(); got != 5 {
			t.Fatalf("key %d was admitted %d times, want 5", i, got)
		}
	}
}

// A rejected request is not counted, by no limit or quota: neither those that would have admitted it nor the other one.
func TestARejectedRequestCountsAgainstNothing(t *testing.T) {
	clock := &fakeClock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	g, _, secrets := newGate(t, 1, models.Caps{models.QuotaDaily: 3, models.QuotaMonthly: 100},
		models.PlanLimits{KeyPerMinute: n(5), ProjectPerSecond: n(1000), IPPerMinute: n(50), SessionPerMinute: n(50)},
		Options{Now: clock.now})
	p := project(t, g)
	check := func() Verdict {
		v, err := g.Check(t.Context(), &Request{
			Project: p, Key: secrets[0], Peer: Origin{IP: "192.0.2.1"}, Session: "s",
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i := range 10 {
		v := check()
		if want := i < 3; (v.Code == requestlog.CodeValid) != want {
			t.Fatalf("request %d: %s", i, v.Code)
		}
		left := max(0, 3-int64(i)-1)
		if v.Quotas[models.QuotaDaily].Remaining != left || v.Quotas[models.QuotaMonthly].Remaining != 97+left {
			t.Fatalf("request %d leaves %+v", i, v.Quotas)
		}
		for _, l := range v.Limits[:v.LimitCount] {
			if l.Limit-l.Remaining != uint32(3-left) {
				t.Fatalf("request %d leaves %+v", i, l)
			}
		}
	}
	v := check()
	if v.Code != requestlog.CodeQuotaDaily || v.Status != 401 {
		t.Fatalf("%s %d", v.Code, v.Status)
	}
	clock.at = v.Retry.Add(-time.Millisecond)
	if got := check(); got.Code != requestlog.CodeQuotaDaily {
		t.Errorf("a millisecond before Retry: %s", got.Code)
	}
	clock.at = v.Retry
	if got := check(); got.Code != requestlog.CodeValid {
		t.Errorf("at Retry: %s, want valid", got.Code)
	}
}

func TestEachLimitCountsTheRequestsOfItsAxis(t *testing.T) {
	for name, c := range map[string]struct {
		limits models.PlanLimits
		other  func(*Request, []string) // makes the request one that the limit counts apart from the first ones
		same   func(*Request, []string) // makes it one that the limit counts together with them
		window time.Duration
	}{
		"project per second": {
			limits: models.PlanLimits{ProjectPerSecond: n(2)},
			same:   func(r *Request, s []string) { r.Key, r.Peer.IP, r.Session = s[1], "192.0.2.9", "x" },
			window: time.Second,
		},
		"project per minute": {
			limits: models.PlanLimits{ProjectPerMinute: n(2)},
			same:   func(r *Request, s []string) { r.Key, r.Peer.IP, r.Session = s[1], "192.0.2.9", "x" },
			window: time.Minute,
		},
		"key": {
			limits: models.PlanLimits{KeyPerMinute: n(2)},
			other:  func(r *Request, s []string) { r.Key = s[1] },
			same:   func(r *Request, s []string) { r.Peer.IP, r.Session = "192.0.2.9", "x" },
			window: time.Minute,
		},
		"address": {
			limits: models.PlanLimits{IPPerMinute: n(2)},
			other:  func(r *Request, s []string) { r.Peer.IP = "192.0.2.9" },
			same:   func(r *Request, s []string) { r.Key, r.Session = s[1], "x" },
			window: time.Minute,
		},
		"session": {
			limits: models.PlanLimits{SessionPerMinute: n(2)},
			other:  func(r *Request, s []string) { r.Session = "" },
			same:   func(r *Request, s []string) { r.Key, r.Peer.IP = s[1], "192.0.2.9" },
			window: time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &fakeClock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			g, w, secrets := newGate(t, 3, models.Caps{}, c.limits, Options{Now: clock.now})
			for _, key := range w.keys {
				if key.KeyID == 3 {
					key.Type = models.TypeTest
				}
			}
			p := project(t, g)
			check := func(change func(*Request, []string)) Verdict {
				r := Request{Project: p, Key: secrets[0], Peer: Origin{IP: "192.0.2.1"}, Session: "s"}
				if change != nil {
					change(&r, secrets)
				}
				v, err := g.Check(t.Context(), &r)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			check(nil)
			clock.at = clock.at.Add(c.window / 2)
			check(nil)
			v := check(nil)
			if v.Code != requestlog.CodeRateLimited || v.Status != 429 || v.Limit != c.window {
				t.Fatalf("%s %d %s", v.Code, v.Status, v.Limit)
			}
			if got := check(c.same); got.Code != requestlog.CodeRateLimited {
				t.Errorf("a request that counts together got %s, want rate_limited", got.Code)
			}
			if c.other != nil {
				if got := check(c.other); got.Code != requestlog.CodeValid {
					t.Errorf("a request that counts apart got %s, want valid", got.Code)
				}
			}
			if got := check(func(r *Request, s []string) { r.Key = s[2] }); got.Code != requestlog.CodeValid {
				t.Errorf("a test key got %s, want valid: it shares no counter with production keys", got.Code)
			}
			// The second request is half a window younger than the first, so only one passes at Retry.
			clock.at = v.Retry.Add(-time.Millisecond)
			if got := check(nil); got.Code != requestlog.CodeRateLimited {
				t.Errorf("a millisecond before Retry: %s", got.Code)
			}
			clock.at = v.Retry
			if got := check(nil); got.Code != requestlog.CodeValid {
				t.Errorf("at Retry: %s, want valid", got.Code)
			}
			if got := check(nil); got.Code != requestlog.CodeRateLimited {
				t.Errorf("a second request at Retry: %s, want rate_limited", got.Code)
			}
		})
	}
}

func TestADryRunCountsAndRecordsNothing(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{models.QuotaTotal: 1}, models.PlanLimits{KeyPerMinute: n(1)}, Options{})
	p := project(t, g)
	for range 3 {
		v, err := g.Check(t.Context(), &Request{Project: p, Key: secrets[0], DryRun: true})
		if err != nil || v.Code != requestlog.CodeValid || v.Quotas[models.QuotaTotal].Remaining != 1 {
			t.Fatal(v, err)
		}
	}
	if err := g.Flush(t.Context()); err != nil || len(w.rows) != 0 {
		t.Errorf("%d rows, %v", len(w.rows), err)
	}
}

func TestACacheEntryReturnsTheKeyItWasMadeFrom(t *testing.T) {
	texts := newInternTable()
	for _, key := range []models.GateKey{
		{
			ProjectID: 1, KeyID: 2, Name: "a", Type: models.TypeProduction, Category: "production",
			State: models.StateActive, Version: 1,
		},
		{
			ProjectID: 1 << 40, KeyID: 1 << 41, Name: strings.Repeat("n", 64), Type: models.TypeTest,
			Category: "ünï", State: models.StateRevoked, Version: 7, SelfRotation: true,
			ExpiresAt: time.UnixMilli(1e12 + 1).UTC(), VersionEndsAt: time.UnixMilli(2e12 + 3).UTC(),
			Caps: models.Caps{1, 2, 3, 4},
			Restrictions: models.Restrictions{
				PlatformIOS: true, PlatformAndroid: true,
				IOSBundleID: "com.example.app", AndroidPackage: "com.example",
			},
		},
		{
			ProjectID: 1, KeyID: 2, Name: strings.Repeat("n", shortName), Type: models.TypeTest,
			Category: "production", State: models.StateActive, Version: 1,
		},
		{
			ProjectID: 1, KeyID: 2, Name: "b", Type: models.TypeProduction, Category: "production",
			State: models.StateInactive, Version: 1, Restrictions: models.Restrictions{PlatformAndroid: true},
		},
	} {
		entry := newEntry(models.Digest{}, &key, 0, 0, &texts)
		if got := entry.key(&texts); got != key {
			t.Errorf("got %+v, want %+v", got, key)
		}
	}
}

// BenchmarkCheck measures an admitted and recorded request of a key with four quotas, with all limits on.
func BenchmarkCheck(b *testing.B) {
	for _, keys := range []int{1_000, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) { benchmarkCheck(b, keys) })
	}
}

// benchmarkCheck checks so many keys in random order.
func benchmarkCheck(b *testing.B, keys int) {
	many := int64(1_000_000_000)
	g, _, secrets := newGate(b, keys, models.Caps{many, many, many, many}, models.PlanLimits{
		ProjectPerSecond: &many,
		ProjectPerMinute: &many,
		KeyPerMinute:     &many,
		IPPerMinute:      &many,
		SessionPerMinute: &many,
	}, Options{})
	g.recorder.Close(b.Context())
	var err error
	discard := func(context.Context, []requestlog.Row) error { return nil }
	g.recorder, err = recorder.New(recorder.Options{Write: discard})
	if err != nil {
		b.Fatal(err)
	}
	r := Request{
		Project: project(b, g),
		Peer:    Origin{IP: "192.0.2.1", Method: "GET", Path: "/v1/projects/shop/validate"},
	}
	rand.Shuffle(len(secrets), func(i, j int) { secrets[i], secrets[j] = secrets[j], secrets[i] })
	check := func(secret string) {
		r.Key, r.Started = secret, time.Now()
		if v, err := g.Check(b.Context(), &r); err != nil || v.Code != requestlog.CodeValid {
			b.Fatal(v, err)
		}
	}
	for _, secret := range secrets {
		check(secret)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		check(secrets[i%len(secrets)])
		i++
	}
}
