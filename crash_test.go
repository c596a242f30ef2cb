package main_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// mayBeLost is how long before its end a killed process may have given answers that are not in the log, with batch.
const mayBeLost = 100 * time.Millisecond

func TestKillingTheProcessUnderLoadLosesWhatTheDurabilityAllowsAndNoMore(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		both := newInstance(t, url)
		for _, durability := range []string{"sync", "batch"} {
			t.Run(durability, func(t *testing.T) {
				i := both.with("CLAVIGER_LOG_DURABILITY=" + durability)
				i.t = t
				s := i.setup("--email", "ada@example.com", "--project", durability)
				const rounds, callers, enough = 20, 8, 200
				var all []answer
				for range rounds {
					p := i.serve()
					var load load
					stalled := watchStalls()
					load.start(t, callers, p.URL+"/v1/projects/"+durability+"/validate", s.Key)
					eventually(t, "enough answers", func() bool { return load.count() >= enough || !p.running() })
					time.Sleep(mayBeLost + rand.N(100*time.Millisecond)) // at another moment of a batch each time
					killed := time.Now()
					p.signal(syscall.SIGKILL)
					p.wait()
					allowed := mayBeLost + stalled() // the machine held up the server, too
					for _, a := range load.stop() {
						a.before = killed.Sub(a.at)
						a.mayBeLost = durability == "batch" && a.before < allowed
						all = append(all, a)
					}
				}
				i.serve().stop() // writes what the last one left
				i.wantEachOnce(s.ProjectID, all)
			})
		}
	})
}

// watchStalls begins to measure how long this process is kept from running where it wants to: other tests share the
// machine. What it gives is the longest of the last second.
func watchStalls() (longest func() time.Duration) {
	const tick = 2 * time.Millisecond
	type stall struct {
		at   time.Time
		took time.Duration
	}
	var mu sync.Mutex
	var stalls []stall
	end := make(chan struct{})
	go func() {
		for before := time.Now(); ; {
			select {
			case <-end:
				return
			case <-time.After(tick):
			}
			now := time.Now()
			mu.Lock()
			stalls = append(stalls, stall{now, now.Sub(before) - tick})
			mu.Unlock()
			before = now
		}
	}()
	return func() (longest time.Duration) {
		close(end)
		mu.Lock()
		defer mu.Unlock()
		for _, s := range stalls {
			if time.Since(s.at) < time.Second {
				longest = max(longest, s.took)
			}
		}
		return longest
	}
}

// answer is one that a caller got.
type answer struct {
	id        string
	at        time.Time
	before    time.Duration // the server was killed
	mayBeLost bool
}

// load is callers that ask on a connection each, until the server is gone or they are stopped.
type load struct {
	mu      sync.Mutex
	answers []answer
	calling sync.WaitGroup
	end     chan struct{}
}

// start begins the calls. An answer other than 200 fails the test: a good key is never turned away.
func (l *load) start(t *testing.T, callers int, url, key string) {
	l.end = make(chan struct{})
	for range callers {
		l.calling.Go(func() {
			caller := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer caller.CloseIdleConnections()
			for {
				select {
				case <-l.end:
					return
				default:
				}
				request, err := http.NewRequest(http.MethodGet, url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("X-API-Key", key)
				response, err := caller.Do(request)
				if err != nil {
					return
				}
				var v verdict
				err = json.NewDecoder(response.Body).Decode(&v)
				response.Body.Close()
				if err != nil {
					return // the server went in the middle of an answer
				}
				if response.StatusCode != http.StatusOK {
					t.Errorf("a call was answered with %d %+v", response.StatusCode, v)
					return
				}
				l.mu.Lock()
				l.answers = append(l.answers, answer{id: v.RequestID, at: time.Now()})
				l.mu.Unlock()
			}
		})
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// stop ends the calls, and gives what was answered.
func (l *load) stop() []answer {
	close(l.end)
	l.calling.Wait()
	return l.answers
}

// wantEachOnce fails the test where an answer has no row and may not be lost, where a row is there twice, or where the
// counts by minute say something else than the rows.
func (i instance) wantEachOnce(projectID int64, answers []answer) {
	i.t.Helper()
	rows, counted := i.recorded(projectID)
	lost, missing, oldest := 0, 0, time.Duration(0)
	for _, a := range answers {
		switch {
		case rows[a.id]:
		case a.mayBeLost:
			lost++
			oldest = max(oldest, a.before)
		default:
			missing++
			oldest = max(oldest, a.before)
		}
	}
	if missing > 0 {
		i.t.Errorf("of %d answered requests, %d have no row; the oldest came %s before the end", len(answers), missing, oldest)
	}
	if counted != len(rows) {
		i.t.Errorf("the usage counts say %d, but there are %d rows", counted, len(rows))
	}
	i.t.Logf("%d answers, %d rows, %d lost as they may be, the oldest %s before the end", len(answers), len(rows), lost, oldest)
}

// recorded reads the request ids of a project's log, and how many requests its counts by minute say. The server must not
// run on SQLite.
func (i instance) recorded(projectID int64) (rows map[string]bool, counted int) {
	i.t.Helper()
	pepper, err := models.NewPepper([]byte(strings.Repeat("p", models.PepperLength)))
	if err != nil {
		i.t.Fatal(err)
	}
	store, err := app.ConnectStore(i.t.Context(), app.StoreOptions{URL: i.database, Options: models.Options{Pepper: pepper}})
	if err != nil {
		i.t.Fatal(err)
	}
	defer store.Close()
	rows = map[string]bool{}
	admitted := map[int64]int64{} // by key
	for filter := (models.LogFilter{Limit: 5000}); ; {
		page, err := store.RequestLogs(i.t.Context(), projectID, filter)
		if err != nil {
			i.t.Fatal(err)
		}
		for _, entry := range page.Entries {
			if rows[entry.ID.String()] {
				i.t.Errorf("the request %s has two rows", entry.ID)
			}
			rows[entry.ID.String()] = true
			if entry.Code == requestlog.CodeValid {
				admitted[entry.KeyID]++
			}
			filter.Before = entry.ID
		}
		if !page.HasOlder {
			break
		}
	}
	usage, err := store.UsageByMinute(i.t.Context(), projectID, 60)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, minute := range usage {
		counted += int(minute.Admitted + minute.Rejected)
	}
	for key, n := range admitted { // what its quotas start from
		if used, err := store.Log().KeyUsage(i.t.Context(), key); err != nil || used.Total != n {
			i.t.Errorf("key %d was admitted %d times and has used %d (%v)", key, n, used.Total, err)
		}
	}
	return rows, counted
}
