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

// outage returns how long the database is unreachable: long enough for many attempts to connect. The environment
// variable OUTAGE sets another time, such as 5m.
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

// mostMemory is how much memory the process may use during an outage, in MB. The rows wait in files.
const mostMemory = 400

func TestDuringADatabaseOutageKnownKeysStayValidAndNoRequestIsLost(t *testing.T) {
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
				// The pause leaves time of the processor to the tests that run in parallel.
				load := load{pause: 5 * time.Millisecond}
				load.start(t, 8, p.URL+"/v1/projects/"+project+"/validate", s.Key)
				eventually(t, "answers", func() bool { return load.count() > 500 })

				proxy.All(link)
				began, before, most := time.Now(), load.count(), 0
				for length := outage(t); time.Since(began) < length; time.Sleep(100 * time.Millisecond) {
					most = max(most, p.memory())
				}
				during := load.count() - before
				lag, retries := (outage(t) - time.Second).Seconds(), 1.0
				if link == testkit.Held { // the first attempt still waits for an answer
					retries = 0
				}
				for name, least := range map[string]float64{
					"waiting_rows":  100,
					"spooled_rows":  100,
					"spooled_bytes": 100,
					"lag_seconds":   lag,
					"retries_total": retries,
				} {
					if got := metric(t, metricsAddr, "claviger_recorder_"+name); got < least {
						t.Errorf("during the outage %s is %g, want at least %g", name, got, least)
					}
				}
				if r := p.get("/readyz"); r.Status != http.StatusServiceUnavailable {
					t.Errorf("during the outage /readyz answered %d, want 503: %s", r.Status, r.Body)
				}
				if link == testkit.Cut { // with Held, the server would wait for seconds
					list := ask(t, http.MethodGet, p.URL+"/v1/projects/"+project+"/keys", "",
						"Authorization", "Bearer "+s.ServiceToken)
					if list.Status != http.StatusServiceUnavailable || list.Header.Get("Retry-After") == "" {
						t.Errorf("during the outage the API answered %d with Retry-After %q, want 503 and a time: %s",
							list.Status, list.Header.Get("Retry-After"), list.Body)
					}
					page := p.get("/signin")
					if page.Status >= 500 && page.Status != http.StatusServiceUnavailable {
						t.Errorf("during the outage /signin answered %d, want no server error but 503", page.Status)
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
						t.Fatalf("%g rows still wait, and none was written for %s", waiting, patience)
					}
				}
				t.Logf("all rows were written after %s", time.Since(ended))
				for _, name := range []string{
					"spooled_rows", "spooled_bytes", "lag_seconds", `rows_total{outcome="dropped"}`,
				} {
					if got := metric(t, metricsAddr, "claviger_recorder_"+name); got != 0 {
						t.Errorf("after the outage %s is %g, want 0", name, got)
					}
				}
				p.stop()
				i.wantEachOnce(s.ProjectID, answers)
				if during == 0 {
					t.Error("no request was answered during the outage")
				}
				if most > mostMemory && !raced() {
					t.Errorf("the process used up to %d MB, want at most %d", most, mostMemory)
				}
				t.Logf("%d requests were answered during the outage, with up to %d MB", during, most)
			})
		}
	}
}

// memory returns the resident memory of the process in MB, or 0 if the system has no /proc.
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
