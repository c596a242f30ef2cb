package process_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answer is the reply to a validate request.
type answer struct {
	id        string
	at        time.Time
	before    time.Duration // how long before the server was killed it came
	mayBeLost bool          // its row may be missing from the log
}

// load sends validate requests from several callers, each on its own connection, until it is stopped or the server is
// gone.
type load struct {
	pause   time.Duration // of each caller after each request
	whole   bool          // a reply that ends in the middle fails the test
	mu      sync.Mutex
	answers []answer
	calling sync.WaitGroup
	end     chan struct{}
}

// start starts the callers. A reply other than 200 fails the test, because a valid key must never be rejected. After
// [load.stop], start can be called again for another server.
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
				if err != nil && !l.whole {
					return // the server ended in the middle of a reply
				}
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("validate answered %d %+v (%v), want 200", response.StatusCode, v, err)
					return
				}
				l.mu.Lock()
				l.answers = append(l.answers, answer{id: v.RequestID, at: time.Now()})
				l.mu.Unlock()
				time.Sleep(l.pause)
			}
		})
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// stop waits for the end of the callers and returns the answers since the first start.
func (l *load) stop() []answer {
	close(l.end)
	l.calling.Wait()
	return l.answers
}

// hands is how many goroutines of [process.load] create keys. Each creates one key after the other.
const hands = 3

// load creates keys and validates one, from several goroutines at once, until stop is called. made counts the keys.
func (p *process) load(s setupReply, cookie string) (made *atomic.Int64, stop func()) {
	p.t.Helper()
	made = &atomic.Int64{}
	var over atomic.Bool
	var working sync.WaitGroup
	for hand := range hands {
		working.Go(func() {
			for n := 0; !over.Load(); n++ {
				form := url.Values{
					"name": {fmt.Sprintf("key_%d_%d", hand, n)}, "type": {"test"}, "category": {"staging"},
				}
				r := ask(p.t, http.MethodPost, p.URL+"/projects/"+s.Project+"/keys", form.Encode(),
					"Content-Type", "application/x-www-form-urlencoded",
					"Sec-Fetch-Site", "same-origin",
					"Cookie", cookie)
				if r.Status != http.StatusCreated {
					p.t.Errorf("creating a key answered %d, want 201", r.Status)
					return
				}
				made.Add(1)
			}
		})
	}
	for range hands {
		working.Go(func() {
			for !over.Load() {
				if v := p.validate(s.Project, s.Key, ""); v.Code != "valid" {
					p.t.Errorf("validate answered %+v, want valid", v)
					return
				}
			}
		})
	}
	return made, func() {
		over.Store(true)
		working.Wait()
	}
}
