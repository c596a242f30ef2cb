package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// stock is a store with whatever is asked for, which counts what is asked.
type stock struct {
	blockTable
	asked map[string]int
	tell  func(models.Change)
}

func (s *stock) GateProject(_ context.Context, ref string) (*models.GateProject, error) {
	s.asked["project"]++
	return &models.GateProject{ID: 1, Slug: ref}, nil
}

func (s *stock) KeyUsage(context.Context, int64) (requestlog.KeyUsage, error) {
	return requestlog.KeyUsage{}, nil
}

func (s *stock) FindKey(context.Context, models.Digest) (*models.GateKey, error) {
	s.asked["key"]++
	return &models.GateKey{ProjectID: 1, KeyID: 2, State: models.StateActive}, nil
}

func (s *stock) FindServiceToken(context.Context, models.Digest) (*models.ServiceToken, error) {
	s.asked["token"]++
	return &models.ServiceToken{ID: 3, ProjectID: 1, Scopes: string(models.ScopeValidate)}, nil
}

func (s *stock) Write(context.Context, []requestlog.Row) error { return nil }
func (s *stock) Complete(context.Context, int64, []requestlog.Report) ([]requestlog.ID, error) {
	return nil, nil
}
func (s *stock) TouchServiceToken(context.Context, int64, time.Time) error { return nil }
func (s *stock) CountUnknownKeys(context.Context, int64, []models.UnknownKeyCount) error {
	return nil
}
func (s *stock) Subscribe(fn func(models.Change)) { s.tell = fn }

// newStocked makes a gate over a stock, which closes with the test.
func newStocked(t *testing.T, o Options) (*Gate, *stock) {
	t.Helper()
	pepper, err := models.NewPepper([]byte(strings.Repeat("pepper of tests ", 2)))
	if err != nil {
		t.Fatal(err)
	}
	store := &stock{asked: map[string]int{}}
	g, err := New(store, store, pepper, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(context.Background()) })
	return g, store
}

// use looks each kind of thing up, once.
func use(t *testing.T, g *Gate) {
	t.Helper()
	_, err := g.Project(t.Context(), "shop")
	_, _, keyErr := g.keys.get(t.Context(), models.Digest{1})
	_, tokenErr := g.tokens.get(t.Context(), models.Digest{1})
	if err := errors.Join(err, keyErr, tokenErr); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeMakesTheGateAskAboutWhatItConcerns(t *testing.T) {
	for name, c := range map[string]struct {
		change models.Change
		asks   string // in the order project, key, token
	}{
		"a key":                {models.Change{Kind: "key", ID: 2, ProjectID: 1}, "key"},
		"another key":          {models.Change{Kind: "key", ID: 9, ProjectID: 1}, ""},
		"a label":              {models.Change{Kind: "category", ID: 7, ProjectID: 1}, "key"},
		"a token":              {models.Change{Kind: "service_token", ID: 3, ProjectID: 1}, "token"},
		"the project":          {models.Change{Kind: "project", ID: 1, ProjectID: 1}, "project"},
		"a plan":               {models.Change{Kind: "plan", ID: 4}, "project"},
		"nobody knows what":    {models.Change{Kind: models.Everything}, "project key token"},
		"an account":           {models.Change{Kind: "account", ID: 1}, ""},
		"what is not known of": {models.Change{Kind: "of a later version", ID: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, store := newStocked(t, Options{})
			use(t, g)
			use(t, g)
			clear(store.asked)
			store.tell(c.change)
			use(t, g)
			var asks []string
			for _, kind := range []string{"project", "key", "token"} {
				if store.asked[kind] > 0 {
					asks = append(asks, kind)
				}
			}
			if got := strings.Join(asks, " "); got != c.asks {
				t.Errorf("it asks about %q, not %q", got, c.asks)
			}
		})
	}
}

func TestTheTimeFromAChangeToItsEffectIsTold(t *testing.T) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	type effect struct {
		took   time.Duration
		remote bool
	}
	var told []effect
	_, store := newStocked(t, Options{Now: clock.now, OnPropagated: func(took time.Duration, remote bool) { told = append(told, effect{took, remote}) }})
	made := clock.at
	clock.pass(7 * time.Millisecond)
	store.tell(models.Change{Kind: "key", ID: 2, At: made})
	store.tell(models.Change{Kind: "key", ID: 2, At: made, Remote: true})
	store.tell(models.Change{Kind: "key", ID: 2, At: clock.at.Add(time.Minute), Remote: true}) // its clock is ahead
	store.tell(models.Change{Kind: "key", ID: 2})                                              // did not come to a commit
	want := []effect{{7 * time.Millisecond, false}, {7 * time.Millisecond, true}, {0, true}}
	if len(told) != len(want) || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] {
		t.Errorf("told %v, not %v", told, want)
	}
}

func TestALossOfNoticesIsLoggedOnceAndSoIsTheirReturn(t *testing.T) {
	clock := &moment{at: time.Unix(1_000_000, 0)}
	var log bytes.Buffer
	g, store := newStocked(t, Options{Now: clock.now, Shared: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	hear := func() {
		since := clock.at
		clock.pass(time.Millisecond)
		g.SyncedUntil(since, clock.at)
		clock.pass(time.Millisecond)
	}
	hear()
	use(t, g)
	if log.Len() > 0 || !g.Stats().ChangeFeedConnected {
		t.Errorf("hears: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
	for range 3 {
		g.Disconnected(errors.New("cut off"))
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "cut off") || g.Stats().ChangeFeedConnected {
		t.Errorf("hears: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
	clock.pass(staleFor)
	clear(store.asked)
	use(t, g)
	if len(store.asked) != 3 {
		t.Errorf("while it is deaf it asks only about %v", store.asked)
	}
	log.Reset()
	hear()
	hear()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "again") || !g.Stats().ChangeFeedConnected {
		t.Errorf("hears: %v, log: %s", g.Stats().ChangeFeedConnected, log.String())
	}
}
