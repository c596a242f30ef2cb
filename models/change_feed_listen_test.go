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

// listener records the calls of a Listener and a subscriber.
type listener struct {
	mu sync.Mutex
	record
}

type record struct {
	changes     []models.Change
	synced      int     // calls of SyncedUntil
	disconnects []error // errors of calls of Disconnected
}

func (l *listener) SyncedUntil(since, asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced++
}

func (l *listener) Disconnected(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disconnects = append(l.disconnects, err)
}

func (l *listener) changed(c models.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, c)
}

// state returns a copy of what was recorded so far.
func (l *listener) state() record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return record{changes: slices.Clone(l.changes), synced: l.synced, disconnects: slices.Clone(l.disconnects)}
}

// until waits until holds returns true, and returns the state.
func (l *listener) until(t *testing.T, what string, holds func(s record) bool) record {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s := l.state()
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 20 s: %d changes, %d times synced, disconnected: %v",
				what, len(s.changes), s.synced, s.disconnects)
		}
	}
}

func (l *listener) waitSynced(t *testing.T) {
	t.Helper()
	n := l.state().synced
	l.until(t, "an answer of the connection", func(s record) bool { return s.synced > n })
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
	store.Subscribe(l.changed)
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() { store.Listen(ctx, l) })
	t.Cleanup(func() {
		cancel()
		listening.Wait()
	})
	return l
}

func TestListenReturnsAtOnceOnSQLite(t *testing.T) {
	store := testkit.Store(t, t.TempDir()+"/claviger.db", testkit.NewClock(), nil)
	store.Listen(t.Context(), nil) // returns
}

func TestSubscribersInEveryProcessAreCalledForACommittedChange(t *testing.T) {
	address := testkit.Postgres(t)
	here, listenerHere := listen(t, address)
	_, listenerThere := listen(t, address)
	listenerHere.waitSynced(t)
	listenerThere.waitSynced(t)

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
			n := len(s.changes)
			return n > 0 && s.changes[n-1].Kind == kind && s.changes[n-1].ID == id
		}
	}
	there := listenerThere.until(t, "the label", last("category", label.ID)).changes
	local := listenerHere.until(t, "the label", last("category", label.ID)).changes
	listenerHere.waitSynced(t) // its own notices have come by now
	if again := listenerHere.state().changes; len(again) != len(local) {
		t.Errorf("a process was notified of its own changes: %+v", again)
	}
	for i := range there {
		if !there[i].Remote || !there[i].At.Equal(testkit.NewClock().Now()) {
			t.Errorf("%+v lacks the time of the change, or is not marked as remote", there[i])
		}
		there[i].Remote, there[i].At = false, time.Time{}
	}
	var committed []models.Change
	for _, c := range local {
		if c.Remote {
			t.Errorf("%+v is marked as remote, but this process made it", c)
		}
		if !c.At.IsZero() {
			c.At = time.Time{}
			committed = append(committed, c)
		}
	}
	if !slices.Equal(there, committed) {
		t.Errorf("the other process got %+v, want %+v", there, committed)
	}
}

// A process that is notified earlier would read the old state and cache it for good.
func TestNoProcessIsNotifiedBeforeTheCommit(t *testing.T) {
	address := testkit.Postgres(t)
	_, there := listen(t, address)
	there.waitSynced(t)
	statements, early := 0, 0
	during := func() {}
	here := testkit.Store(t, address, testkit.NewClock(), func() { during() })
	project, _, _ := newProject(t, here, signUp(t, here, "ada@example.com"), "shop")
	there.until(t, "the project", func(s record) bool {
		return slices.ContainsFunc(s.changes, func(c models.Change) bool { return c.Kind == "project" })
	})
	there.waitSynced(t)
	before := len(there.state().changes)
	during = func() { // runs after each statement of the transaction
		there.waitSynced(t)
		statements++
		early += len(there.state().changes) - before
	}
	if _, err := here.CreateCategory(t.Context(), project.ID, tester, "label"); err != nil {
		t.Fatal(err)
	}
	if early > 0 || statements < 3 {
		t.Errorf("%d notifications came within %d statements, want 0 within at least 3", early, statements)
	}
	there.until(t, "the label", func(s record) bool { return len(s.changes) > before })
}

// If the reply to COMMIT is lost, the change may take effect after the call that made it has failed.
func TestAProcessIsNotifiedOfItsOwnChangeThatTakesEffectAfterItsCallFailed(t *testing.T) {
	address := testkit.Postgres(t)
	proxy := testkit.NewProxy(t, address)
	name, during := testkit.Schema(t, address), func() {}
	store := testkit.Store(t, named(t, proxy.URL, name), testkit.NewClock(), func() { during() })
	l := listenOn(t, store)
	l.waitSynced(t)
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
			return slices.ContainsFunc(
				s.changes, func(c models.Change) bool { return c.Kind == "category" && c.Remote == remote },
			)
		}
	}
	if s := l.state(); !label(false)(s) || label(true)(s) {
		t.Fatalf("got the changes %+v, want the label, not remote", s.changes)
	}
	proxy.Others(testkit.Open)
	l.until(t, "the label", label(true))
}

func TestInstancesInOtherSchemasAreNotNotified(t *testing.T) {
	_, other := listen(t, testkit.Postgres(t))
	address := testkit.Postgres(t)
	here, _ := listen(t, address)
	_, same := listen(t, address)
	other.waitSynced(t)
	same.waitSynced(t)
	signUp(t, here, "ada@example.com")
	same.until(t, "the account", func(s record) bool { return len(s.changes) > 0 })
	other.waitSynced(t)
	if s := other.state(); len(s.changes) > 0 {
		t.Errorf("got the changes %+v, want none", s.changes)
	}
}

func TestALostConnectionIsReportedAndReplaced(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, p *testkit.Proxy, address string){
		"the server ends it": func(t *testing.T, _ *testkit.Proxy, address string) {
			db := openRaw(t, address)
			var ended bool
			err := db.QueryRow(
				"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
				testkit.Schema(t, address)+" listener",
			).Scan(&ended)
			if err != nil || !ended {
				t.Fatal(ended, err)
			}
		},
		"the network cuts it": func(_ *testing.T, p *testkit.Proxy, _ string) { p.Listening(testkit.Cut) },
		// Without any error: the connection only stops answering.
		"the network swallows it": func(_ *testing.T, p *testkit.Proxy, _ string) { p.Listening(testkit.Held) },
	} {
		t.Run(name, func(t *testing.T) {
			address := testkit.Postgres(t)
			here := testkit.Store(t, address, testkit.NewClock(), nil)
			proxy := testkit.NewProxy(t, address)
			there, l := listen(t, named(t, proxy.URL, testkit.Schema(t, address)))
			l.waitSynced(t)

			lost := time.Now()
			lose(t, proxy, address)
			s := l.until(t, "the loss", func(s record) bool { return len(s.disconnects) > 0 })
			if took := time.Since(lost); took > 5*time.Second { // half a second; the rest is for a machine that is busy
				t.Errorf("the loss was noticed after %v", took)
			}
			if s.disconnects[0] == nil || len(s.disconnects) > 1 {
				t.Errorf("the reasons are %v", s.disconnects)
			}
			user := signUp(t, here, "ada@example.com") // a change of which the other process gets no notification
			n := l.state().synced

			proxy.Listening(testkit.Open)
			l.until(t, "the connection to be back", func(s record) bool { return s.synced > n })
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

func TestAFailureToConnectIsReportedOnceAndRetried(t *testing.T) {
	address := testkit.Postgres(t)
	proxy := testkit.NewProxy(t, address)
	proxy.Listening(testkit.Cut)
	_, l := listen(t, proxy.URL)
	l.until(t, "the failure", func(s record) bool { return len(s.disconnects) > 0 })
	time.Sleep(500 * time.Millisecond) // for several attempts
	if s := l.state(); len(s.disconnects) != 1 || s.synced != 0 {
		t.Errorf("synced %d times, disconnected: %v; want 0 times and one error", s.synced, s.disconnects)
	}
	proxy.Listening(testkit.Open)
	l.waitSynced(t)
	proxy.Listening(testkit.Cut)
	l.until(t, "the second loss", func(s record) bool { return len(s.disconnects) == 2 })
}

func TestListenReturnsWhenItsContextEnds(t *testing.T) {
	for name, link := range map[string]testkit.Link{
		"connected": testkit.Open,
		"cut":       testkit.Cut,
		"held":      testkit.Held,
	} {
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
					t.Error("Listen returned before its context ended")
				}
				if s := l.state(); link == testkit.Open && len(s.disconnects) > 0 {
					t.Errorf("the end of the context was reported as a loss: %v", s.disconnects)
				}
			case <-time.After(10 * time.Second):
				t.Error("Listen did not return after its context ended")
			}
		})
	}
}

// named adds an application_name to the URL of a database.
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

func TestTheListeningConnectionHasItsOwnApplicationName(t *testing.T) {
	address := testkit.Postgres(t)
	_, l := listen(t, named(t, address, testkit.Schema(t, address)))
	l.waitSynced(t)
	var n int
	err := openRaw(t, address).QueryRow(
		"SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1", testkit.Schema(t, address)+" listener",
	).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d listeners of that name, %v", n, err)
	}
}
