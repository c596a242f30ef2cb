package models_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// listener writes down what a store tells and how well it hears.
type listener struct {
	mu sync.Mutex
	record
}

type record struct {
	changes []models.Change
	heard   int // calls of Heard
	deaf    []error
}

func (l *listener) SyncedUntil(since, asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard++
}

func (l *listener) Disconnected(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = append(l.deaf, err)
}

func (l *listener) told(c models.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, c)
}

// state gives what was written down so far.
func (l *listener) state() record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return record{changes: slices.Clone(l.changes), heard: l.heard, deaf: slices.Clone(l.deaf)}
}

// until returns when the state is as wanted.
func (l *listener) until(t *testing.T, what string, holds func(s record) bool) record {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s := l.state()
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %d changes, %d times heard, deaf: %v", what, len(s.changes), s.heard, s.deaf)
		}
	}
}

func (l *listener) hears(t *testing.T) {
	t.Helper()
	n := l.state().heard
	l.until(t, "an answer of the connection", func(s record) bool { return s.heard > n })
}

// listen opens another store on the database at url, as another process would, and listens until the test ends.
func listen(t *testing.T, url string) (*models.Store, *listener) {
	t.Helper()
	store := testkit.Store(t, url, testkit.NewClock(), nil)
	return store, listenOn(t, store)
}

// listenOn makes the store listen until the test ends.
func listenOn(t *testing.T, store *models.Store) *listener {
	t.Helper()
	l := &listener{}
	store.Subscribe(l.told)
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() { store.Listen(ctx, l) })
	t.Cleanup(func() {
		cancel()
		listening.Wait()
	})
	return l
}

func TestOneProcessOnSQLiteHasNobodyToListenTo(t *testing.T) {
	store := testkit.Store(t, t.TempDir()+"/claviger.db", testkit.NewClock(), nil)
	store.Listen(t.Context(), nil) // returns
}

func TestAChangeIsToldInEveryProcessOnceItIsCommitted(t *testing.T) {
	address := testkit.Postgres(t)
	here, heardHere := listen(t, address)
	_, heardThere := listen(t, address)
	heardHere.hears(t)
	heardThere.hears(t)

	project, key, _ := newProject(t, here, signUp(t, here, "ada@example.com"), "shop")
	// A new label is made before the name is found to be taken: neither is committed.
	taken := keyInput(key.Name)
	taken.Category = "not to be"
	if _, _, err := here.CreateKey(t.Context(), project.ID, tester, taken); err == nil {
		t.Fatal("the change did not fail")
	}
	label, err := here.CreateCategory(t.Context(), project.ID, tester, "label")
	if err != nil {
		t.Fatal(err)
	}

	last := func(kind string, id int64) func(s record) bool {
		return func(s record) bool {
			return len(s.changes) > 0 && s.changes[len(s.changes)-1].Kind == kind && s.changes[len(s.changes)-1].ID == id
		}
	}
	there := heardThere.until(t, "the label", last("category", label.ID)).changes
	local := heardHere.until(t, "the label", last("category", label.ID)).changes
	heardHere.hears(t) // its own notices have come by now
	if again := heardHere.state().changes; len(again) != len(local) {
		t.Errorf("a process is told twice of what it changed: %+v", again)
	}
	for i := range there {
		if !there[i].Remote || !there[i].At.Equal(testkit.NewClock().Now()) {
			t.Errorf("%+v does not say when and that another process made it", there[i])
		}
		there[i].Remote, there[i].At = false, time.Time{}
	}
	var committed []models.Change
	for _, c := range local {
		if c.Remote {
			t.Errorf("%+v is not from another process", c)
		}
		if !c.At.IsZero() {
			c.At = time.Time{}
			committed = append(committed, c)
		}
	}
	if !slices.Equal(there, committed) {
		t.Errorf("the other process was told %+v, not %+v", there, committed)
	}
}

// Who heard of a change earlier would read what was before it, and keep that for good.
func TestNobodyHearsOfAChangeBeforeItIsCommitted(t *testing.T) {
	address := testkit.Postgres(t)
	_, there := listen(t, address)
	there.hears(t)
	statements, early := 0, 0
	during := func() {}
	here := testkit.Store(t, address, testkit.NewClock(), func() { during() })
	project, _, _ := newProject(t, here, signUp(t, here, "ada@example.com"), "shop")
	there.until(t, "the project", func(s record) bool {
		return slices.ContainsFunc(s.changes, func(c models.Change) bool { return c.Kind == "project" })
	})
	there.hears(t)
	before := len(there.state().changes)
	during = func() { // runs after each statement of the transaction
		there.hears(t)
		statements++
		early += len(there.state().changes) - before
	}
	if _, err := here.CreateCategory(t.Context(), project.ID, tester, "label"); err != nil {
		t.Fatal(err)
	}
	if early > 0 || statements < 3 {
		t.Errorf("%d notices came within %d statements", early, statements)
	}
	there.until(t, "the label", func(s record) bool { return len(s.changes) > before })
}

// Where the answer to a commit is lost, the change may take effect after the call that made it has failed.
func TestAChangeThatTakesEffectAfterItsCallFailedIsToldOfInItsOwnProcess(t *testing.T) {
	address := testkit.Postgres(t)
	proxy := testkit.NewProxy(t, address)
	name, during := testkit.Schema(t, address), func() {}
	store := testkit.Store(t, named(t, proxy.URL, name), testkit.NewClock(), func() { during() })
	l := listenOn(t, store)
	l.hears(t)
	project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	db := openRaw(t, address)
	during = func() {
		var notified int
		err := db.QueryRow(`SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1
			AND query LIKE 'SELECT pg_notify%' AND state = 'idle in transaction'`, name).Scan(&notified)
		if err != nil {
			t.Error(err)
		}
		if notified > 0 {
			proxy.Others(testkit.Held) // the commit comes next
			go func() {
				proxy.WaitHeld()
				cancel()
			}()
		}
	}
	if _, err := store.CreateCategory(ctx, project.ID, tester, "label"); err == nil {
		t.Fatal("the change did not fail")
	}
	during = func() {}
	label := func(remote bool) func(s record) bool {
		return func(s record) bool {
			return slices.ContainsFunc(s.changes, func(c models.Change) bool { return c.Kind == "category" && c.Remote == remote })
		}
	}
	if s := l.state(); !label(false)(s) || label(true)(s) {
		t.Fatalf("told: %+v", s.changes)
	}
	proxy.Others(testkit.Open)
	l.until(t, "the label", label(true))
}

func TestOtherInstancesInTheDatabaseAreNotToldOf(t *testing.T) {
	_, other := listen(t, testkit.Postgres(t))
	address := testkit.Postgres(t)
	here, _ := listen(t, address)
	_, same := listen(t, address)
	other.hears(t)
	same.hears(t)
	signUp(t, here, "ada@example.com")
	same.until(t, "the account", func(s record) bool { return len(s.changes) > 0 })
	other.hears(t)
	if s := other.state(); len(s.changes) > 0 {
		t.Errorf("told: %+v", s.changes)
	}
}

func TestALostConnectionIsNoticedAndMadeAgain(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, p *testkit.Proxy, address string){
		"the server ends it": func(t *testing.T, _ *testkit.Proxy, address string) {
			db := openRaw(t, address)
			var ended bool
			err := db.QueryRow("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", testkit.Schema(t, address)+" listener").Scan(&ended)
			if err != nil || !ended {
				t.Fatal(ended, err)
			}
		},
		"the network cuts it": func(_ *testing.T, p *testkit.Proxy, _ string) { p.Listening(testkit.Cut) },
		// Nothing says that it is dead: only its silence.
		"the network swallows it": func(_ *testing.T, p *testkit.Proxy, _ string) { p.Listening(testkit.Held) },
	} {
		t.Run(name, func(t *testing.T) {
			address := testkit.Postgres(t)
			here := testkit.Store(t, address, testkit.NewClock(), nil)
			proxy := testkit.NewProxy(t, address)
			there, l := listen(t, named(t, proxy.URL, testkit.Schema(t, address)))
			l.hears(t)

			lost := time.Now()
			lose(t, proxy, address)
			s := l.until(t, "the loss", func(s record) bool { return len(s.deaf) > 0 })
			if took := time.Since(lost); took > 5*time.Second { // half a second; the rest is for a machine that is busy
				t.Errorf("the loss was noticed after %v", took)
			}
			if s.deaf[0] == nil || len(s.deaf) > 1 {
				t.Errorf("the reasons are %v", s.deaf)
			}
			user := signUp(t, here, "ada@example.com") // what nobody can hear of
			n := l.state().heard

			proxy.Listening(testkit.Open)
			l.until(t, "the connection to be back", func(s record) bool { return s.heard > n })
			newProject(t, here, user, "shop")
			l.until(t, "the next notice", func(s record) bool {
				return slices.ContainsFunc(s.changes, func(c models.Change) bool { return c.Kind == "project" })
			})
			if err := there.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhileTheConnectionCannotBeMadeItIsSaidOnceAndTriedOn(t *testing.T) {
	address := testkit.Postgres(t)
	proxy := testkit.NewProxy(t, address)
	proxy.Listening(testkit.Cut)
	_, l := listen(t, proxy.URL)
	l.until(t, "the failure", func(s record) bool { return len(s.deaf) > 0 })
	time.Sleep(500 * time.Millisecond) // for several attempts
	if s := l.state(); len(s.deaf) != 1 || s.heard != 0 {
		t.Errorf("heard %d times, deaf: %v", s.heard, s.deaf)
	}
	proxy.Listening(testkit.Open)
	l.hears(t)
	proxy.Listening(testkit.Cut)
	l.until(t, "the second loss", func(s record) bool { return len(s.deaf) == 2 })
}

func TestListeningEndsAtOnceAlsoWhenNobodyAnswers(t *testing.T) {
	for name, link := range map[string]testkit.Link{"connected": testkit.Open, "cut": testkit.Cut, "held": testkit.Held} {
		t.Run(name, func(t *testing.T) {
			proxy := testkit.NewProxy(t, testkit.Postgres(t))
			store := testkit.Store(t, proxy.URL, testkit.NewClock(), nil)
			proxy.Listening(link)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			ended, l := make(chan struct{}), &listener{}
			go func() {
				store.Listen(ctx, l)
				close(ended)
			}()
			select {
			case <-ended:
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Error("it ended by itself")
				}
				if s := l.state(); link == testkit.Open && len(s.deaf) > 0 {
					t.Errorf("that it ends is told as a loss: %v", s.deaf)
				}
			case <-time.After(10 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

// named adds to the address of a database what Postgres shows the connections as.
func named(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("application_name", name)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestAConnectionSaysWhatItIsFor(t *testing.T) {
	address := testkit.Postgres(t)
	_, l := listen(t, named(t, address, testkit.Schema(t, address)))
	l.hears(t)
	var n int
	err := openRaw(t, address).QueryRow("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1", testkit.Schema(t, address)+" listener").Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d listeners of that name, %v", n, err)
	}
}
