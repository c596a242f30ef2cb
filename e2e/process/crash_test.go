package process_test

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/internal/testkit/soak"
)

// mayBeLost is how long before it is killed a process with the durability batch may give answers that have no row
// afterwards: docs/durability.md.
const mayBeLost = 100 * time.Millisecond

// This test measures a time, so it does not run in parallel with others of the package.
func TestKillingTheServerUnderLoadLosesNoMoreThanTheDurabilityAllows(t *testing.T) {
	// At least two, because the second process starts with the files that the first one left.
	rounds := soak.Times(2, 20)
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
					// Each kill should come at another point of a batch.
					time.Sleep(mayBeLost + rand.N(100*time.Millisecond))
					killed := time.Now()
					p.signal(syscall.SIGKILL)
					p.wait()
					allowed := mayBeLost + stalled() // the server was probably stalled as well
					for _, a := range load.stop() {
						a.before = killed.Sub(a.at)
						a.mayBeLost = durability == "batch" && a.before < allowed
						all = append(all, a)
					}
				}
				i.serve().stop() // writes the rows that the last process left
				i.wantEachOnce(s.ProjectID, all)
			})
		}
	})
}

// watchStalls starts to measure how long this process has to wait for the processor, because other programs share the
// machine. longest ends that and returns the longest wait of the last second.
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
