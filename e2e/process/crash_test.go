package process_test

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
)

// mayBeLost is how long before its end a killed process may have given answers that are not in the log, with batch.
const mayBeLost = 100 * time.Millisecond

// What may be lost is a stretch of time, so no other test of the package runs beside this one.
func TestKillingTheProcessUnderLoadLosesWhatTheDurabilityAllowsAndNoMore(t *testing.T) {
	// The second process starts with what the first one left.
	rounds := soak(2, 20)
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		both := newInstance(t, url)
		for _, durability := range []string{"sync", "batch"} {
			t.Run(durability, func(t *testing.T) {
				i := both.with("CLAVIGER_LOG_DURABILITY=" + durability)
				i.t = t
				s := i.setup("--email", "ada@example.com", "--project", durability)
				const callers, enough = 8, 200
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
