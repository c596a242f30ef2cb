package process_test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
)

// outage is how long the database is away: long enough for many attempts to reach it. OUTAGE sets another time.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mostMemory is what the process may occupy at any moment of an outage, in MB. The rows of it go to a file.
const mostMemory = 400

func TestWhileTheDatabaseIsAwayKnownKeysAreAnsweredAndNoRequestIsLost(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]testkit.Link{"refused": testkit.Cut, "silent": testkit.Held} {
		for _, durability := range []string{"batch", "sync"} {
			t.Run(name+", "+durability, func(t *testing.T) {
				t.Parallel()
				proxy := testkit.NewProxy(t, testkit.Postgres(t))
				metricsAddr := freeAddr(t)
				i := newInstance(t, proxy.URL).with("CLAVIGER_LOG_DURABILITY="+durability,
					"CLAVIGER_METRICS_ADDR="+metricsAddr)
				const project = "first"
				s := i.setup("--email", "ada@example.com", "--project", project)
				p := i.serve()
				// The pause leaves the machine time for the tests beside this one.
				load := load{pause: 2 * time.Millisecond}
				load.start(t, 8, p.URL+"/v1/projects/"+project+"/validate", s.Key)
				eventually(t, "answers", func() bool { return load.count() > 500 })

				proxy.All(link)
				began, before, most := time.Now(), load.count(), 0
				for length := outage(t); time.Since(began) < length; time.Sleep(100 * time.Millisecond) {
					most = max(most, p.memory())
				}
				during := load.count() - before
				lag, retries := (outage(t) - time.Second).Seconds(), 1.0
				if link == testkit.Held { // the first attempt still waits for its answer
					retries = 0
				}
				for name, least := range map[string]float64{"waiting_rows": 100, "spooled_rows": 100,
					"spooled_bytes": 100, "lag_seconds": lag, "retries_total": retries} {
					if got := metric(t, metricsAddr, "claviger_recorder_"+name); got < least {
						t.Errorf("meanwhile %s is %g, want at least %g", name, got, least)
					}
				}
				if r := p.get("/readyz"); r.Status != http.StatusServiceUnavailable {
					t.Errorf("/readyz gave %d: %s", r.Status, r.Body)
				}
				if link == testkit.Cut { // else it takes seconds to find out
					list := ask(t, http.MethodGet, p.URL+"/v1/projects/"+project+"/keys", "",
						"Authorization", "Bearer "+s.ServiceToken)
					if page := p.get("/signin"); list.Status != http.StatusServiceUnavailable ||
						list.Header.Get("Retry-After") == "" || page.Status >= 500 &&
						page.Status != http.StatusServiceUnavailable {
						t.Errorf("the API gave %d: %s, and the page of signing in %d", list.Status, list.Body,
							page.Status)
					}
				}
				proxy.All(testkit.Open)
				eventually(t, "the process to be ready again",
					func() bool { return p.get("/readyz").Status == http.StatusOK })
				answers := load.stop()
				ended := time.Now()
				for least, fell := math.Inf(1), ended; least > 0; time.Sleep(10 * time.Millisecond) {
					if waiting := metric(t, metricsAddr, "claviger_recorder_waiting_rows"); waiting < least {
						least, fell = waiting, time.Now()
					} else if time.Since(fell) > patience {
						t.Fatalf("%g rows still wait", waiting)
					}
				}
				t.Logf("%s later all rows were written", time.Since(ended))
				for _, name := range []string{"spooled_rows", "spooled_bytes", "lag_seconds",
					`rows_total{outcome="dropped"}`} {
					if got := metric(t, metricsAddr, "claviger_recorder_"+name); got != 0 {
						t.Errorf("afterwards %s is %g", name, got)
					}
				}
				p.stop()
				i.wantEachOnce(s.ProjectID, answers)
				if during == 0 || most > mostMemory && !raced() {
					t.Errorf("meanwhile %d requests were answered, and the process occupied up to %d MB", during, most)
				}
				t.Logf("%d requests were answered meanwhile; up to %d MB", during, most)
			})
		}
	}
}

// memory is what the process occupies, in MB; 0 where the system does not tell.
func (p *process) memory() int {
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.command.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.Atoi(fields[0])
	return kilobytes >> 10
}
