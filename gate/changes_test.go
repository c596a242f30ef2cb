package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// stubStore is a store that finds whatever is looked up, and counts the look-ups.
type stubStore struct {
	blockTable
	reads  map[string]int // by kind
	notify func(models.Change)
}

func (s *stubStore) GateProject(_ context.Context, ref string) (*models.GateProject, error) {
	s.reads["project"]++
	return &models.GateProject{ID: 1, Slug: ref}, nil
}

func (s *stubStore) KeyUsage(context.Context, int64) (requestlog.KeyUsage, error) {
	return requestlog.KeyUsage{}, nil
}

func (s *stubStore) FindKey(context.Context, models.Digest) (*models.GateKey, error) {
	s.reads["key"]++
	return &models.GateKey{ProjectID: 1, KeyID: 2, State: models.StateActive}, nil
}

func (s *stubStore) FindServiceToken(context.Context, models.Digest) (*models.ServiceToken, error) {
	s.reads["token"]++
	return &models.ServiceToken{ID: 3, ProjectID: 1, Scopes: string(models.ScopeValidate)}, nil
}

func (s *stubStore) Write(context.Context, []requestlog.Row) error { return nil }
func (s *stubStore) Complete(context.Context, int64, []requestlog.Report) ([]requestlog.ID, error) {
	return nil, nil
}
func (s *stubStore) TouchServiceToken(context.Context, int64, time.Time) error { return nil }
func (s *stubStore) CountUnknownKeys(context.Context, int64, []models.UnknownKeyCount) error {
	return nil
}
func (s *stubStore) Subscribe(fn func(models.Change)) { s.notify = fn }

// newStubGate returns a gate with a stubStore. The gate is closed at the end of the test.
func newStubGate(t *testing.T, o Options) (*Gate, *stubStore) {
	t.Helper()
	pepper, err := models.NewPepper([]byte(strings.Repeat("pepper of tests ", 2)))
	if err != nil {
		t.Fatal(err)
	}
	store := &stubStore{reads: map[string]int{}}
	g, err := New(store, store, pepper, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(context.Background()) })
	return g, store
}

// use looks up a project, a key and a token.
func use(t *testing.T, g *Gate) {
	t.Helper()
	_, err := g.Project(t.Context(), "shop")
	_, _, keyErr := g.keys.get(t.Context(), models.Digest{1})
	_, tokenErr := g.tokens.get(t.Context(), models.Digest{1})
	if err := errors.Join(err, keyErr, tokenErr); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeMakesTheGateReadTheChangedObjectsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change models.Change
		reads  string // in the order project, key, token
	}{
		"a key":                     {models.Change{Kind: "key", ID: 2, ProjectID: 1}, "key"},
		"another key":               {models.Change{Kind: "key", ID: 9, ProjectID: 1}, ""},
		"a label":                   {models.Change{Kind: "category", ID: 7, ProjectID: 1}, "key"},
		"a token":                   {models.Change{Kind: "service_token", ID: 3, ProjectID: 1}, "token"},
		"the project":               {models.Change{Kind: "project", ID: 1, ProjectID: 1}, "project"},
		"a plan":                    {models.Change{Kind: "plan", ID: 4}, "project"},
		"unknown changes":           {models.Change{Kind: models.Everything}, "project key token"},
		"an account":                {models.Change{Kind: "account", ID: 1}, ""},
		"a kind of a later version": {models.Change{Kind: "of a later version", ID: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, store := newStubGate(t, Options{})
			use(t, g)
			use(t, g)
			clear(store.reads)
			store.notify(c.change)
			use(t, g)
			var reads []string
			for _, kind := range []string{"project", "key", "token"} {
				if store.reads[kind] > 0 {
					reads = append(reads, kind)
				}
			}
			if got := strings.Join(reads, " "); got != c.reads {
				t.Errorf("the gate read %q again, want %q", got, c.reads)
			}
		})
	}
}

func TestOnPropagatedGetsThePropagationLatency(t *testing.T) {
	clock := &fakeClock{at: time.Unix(1_000_000, 0)}
	type propagation struct {
		took   time.Duration
		remote bool
	}
	var got []propagation
	_, store := newStubGate(t, Options{Now: clock.now, OnPropagated: func(took time.Duration, remote bool) {
		got = append(got, propagation{took, remote})
	}})
	made := clock.at
	clock.advance(7 * time.Millisecond)
	store.notify(models.Change{Kind: "key", ID: 2, At: made})
	store.notify(models.Change{Kind: "key", ID: 2, At: made, Remote: true})
	store.notify(models.Change{Kind: "key", ID: 2, At: clock.at.Add(time.Minute), Remote: true}) // its clock is ahead
	store.notify(models.Change{Kind: "key", ID: 2})                                              // was not committed
	want := []propagation{{7 * time.Millisecond, false}, {7 * time.Millisecond, true}, {0, true}}
	if !slices.Equal(got, want) {
		t.Errorf("OnPropagated got %v, want %v", got, want)
	}
}

func TestDisconnectingAndReconnectingAreLoggedOnce(t *testing.T) {
	clock := &fakeClock{at: time.Unix(1_000_000, 0)}
	var log bytes.Buffer
	g, store := newStubGate(t, Options{Now: clock.now, Shared: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	sync := func() {
		since := clock.at
		clock.advance(time.Millisecond)
		g.SyncedUntil(since, clock.at)
		clock.advance(time.Millisecond)
	}
	sync()
	use(t, g)
	if log.Len() > 0 || !g.Stats().ChangeFeedConnected {
		t.Errorf("connected: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
	for range 3 {
		g.Disconnected(errors.New("cut off"))
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "cut off") ||
		g.Stats().ChangeFeedConnected {
		t.Errorf("connected: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
	clock.advance(staleFor)
	clear(store.reads)
	use(t, g)
	if len(store.reads) != 3 {
		t.Errorf("while disconnected the gate read only %v again, want project, key and token", store.reads)
	}
	log.Reset()
	sync()
	sync()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "again") ||
		!g.Stats().ChangeFeedConnected {
		t.Errorf("connected: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
}
