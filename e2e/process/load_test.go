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

// answer is one that a caller got.
type answer struct {
	id        string
	at        time.Time
	before    time.Duration // the server was killed
	mayBeLost bool
}

// load sends validate requests from several callers, each on its own connection, until it is stopped or the server is
// gone.
type load struct {
	pause   time.Duration // of each caller after each request
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

// stop ends the calls, and gives what was answered.
func (l *load) stop() []answer {
	close(l.end)
	l.calling.Wait()
	return l.answers
}

// hands is how many goroutines of [process.load] make keys, each one after the other.
const hands = 3

// load makes keys and validates one, from several hands at once, until stop. made counts the keys.
func (p *process) load(s setupReply, cookie string) (made *atomic.Int64, stop func()) {
	p.t.Helper()
	made = &atomic.Int64{}
	var over atomic.Bool
	var working sync.WaitGroup
	for hand := range hands {
		working.Go(func() {
			for n := 0; !over.Load(); n++ {
				r := ask(p.t, http.MethodPost, p.URL+"/projects/"+s.Project+"/keys",
					url.Values{"name": {fmt.Sprintf("key_%d_%d", hand, n)}, "type": {"test"},
						"category": {"staging"}}.Encode(),
					"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin",
					"Cookie", cookie)
				if r.Status != http.StatusCreated {
					p.t.Errorf("making a key gave %d", r.Status)
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
					p.t.Errorf("a call was answered with %+v", v)
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
