package process_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/internal/testkit/soak"
	"github.com/claviger/claviger/models"
)

// promised is the time within which a change takes effect in other processes: docs/running.md. Tests of it do not
// run in parallel with other tests of the package.
const promised = time.Second

// pair is two processes on one Postgres. Changes are made in the process here, keys are validated in the process there,
// which connects to Postgres through a proxy.
type pair struct {
	t           *testing.T
	here, there *process
	proxy       *testkit.Proxy
	metrics     string // address of the metrics of there
	schema      string
	keys        []madeKey
	cookie      string // of a session in here
	database    *sql.DB
}

const pairProject = "first"

// newPair starts the two processes, with a project that has that many keys.
func newPair(t *testing.T, keys int) *pair {
	t.Helper()
	address := testkit.Postgres(t)
	here := newInstance(t, address)
	s := here.setup("--email", "ada@example.com", "--project", pairProject)
	p := &pair{t: t, proxy: testkit.NewProxy(t, address), metrics: freeAddr(t), schema: testkit.Schema(t, address)}

	p.database = here.openDatabase()
	if _, err := p.database.Exec("UPDATE projects SET plan_id = (SELECT MAX(id) FROM plans)"); err != nil {
		t.Fatal(err)
	}
	p.keys = here.createKeys(s.ProjectID, keys, models.KeyInput{})

	p.here = here.serve()
	there := here.atAnotherAddr().with(
		"CLAVIGER_DATABASE_URL="+p.proxy.URL+"&application_name="+p.schema,
		"CLAVIGER_METRICS_ADDR="+p.metrics,
	)
	p.there = there.serve()
	p.cookie = p.here.signIn(s.Email, s.Password)
	p.waitForSync(true)
	return p
}

// metric returns the value of a metric of there as text, or "" if there is no such metric.
func (p *pair) metric(name string) string {
	p.t.Helper()
	for line := range strings.Lines(ask(p.t, "GET", "http://"+p.metrics+"/metrics", "").Body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// waitForSync waits until there receives changes of other processes, or with false until it knows that it does not.
func (p *pair) waitForSync(receives bool) {
	p.t.Helper()
	want := map[bool]string{true: "1", false: "0"}[receives]
	eventually(p.t, "claviger_change_feed_connected "+want,
		func() bool { return p.metric("claviger_change_feed_connected") == want })
}

// wantLogged waits until there has logged text, and fails the test if that was more than once.
func (p *pair) wantLogged(text string) {
	p.t.Helper()
	count := func() int { return strings.Count(p.there.Stderr.String(), text) }
	eventually(p.t, "the log line: "+text, func() bool { return count() > 0 })
	if n := count(); n != 1 {
		p.t.Errorf("there are %d log lines, want one: %s", n, text)
	}
}

// deactivate deactivates the key in here.
func (p *pair) deactivate(k madeKey) {
	p.t.Helper()
	path := fmt.Sprintf("%s/projects/%s/keys/%d/deactivate", p.here.URL, pairProject, k.id)
	r := ask(p.t, "POST", path, url.Values{}.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "same-origin", "Cookie", p.cookie)
	if r.Status != 303 {
		p.t.Fatalf("deactivating answered %d, want 303: %s", r.Status, r.Body)
	}
}

// waitForRejection validates a deactivated key in there until it is rejected. A request that begins later than promised
// must not be admitted.
func (p *pair) waitForRejection(k madeKey) {
	for since := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		late := time.Since(since)
		v := p.there.validate(pairProject, k.secret, "")
		if v.Code == "key_inactive" {
			return
		}
		if v.Code != "valid" || late > promised {
			p.t.Errorf("%v after it was deactivated the key gets %+v, want key_inactive", late, v)
			return
		}
	}
}

// deactivateAll deactivates all keys, several at a time, each after a call of before. At that time there has the key in
// memory as valid, and must reject it within the promised time.
func (p *pair) deactivateAll(before func()) {
	p.t.Helper()
	queue := make(chan madeKey, len(p.keys))
	for _, k := range p.keys {
		queue <- k
	}
	close(queue)
	var done atomic.Int32
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for k := range queue {
				if v := p.there.validate(pairProject, k.secret, ""); v.Code != "valid" {
					p.t.Errorf("before it is deactivated the key gets %+v, want valid", v)
				}
				before()
				p.deactivate(k)
				p.waitForRejection(k)
				done.Add(1)
			}
		})
	}
	working.Wait()
	if n := int(done.Load()); n != len(p.keys) {
		p.t.Errorf("%d of %d keys were deactivated", n, len(p.keys))
	}
}

func TestAKeyDeactivatedInOneProcessIsRejectedByTheOtherWithinASecond(t *testing.T) {
	p := newPair(t, soak.Times(40, 100))
	p.deactivateAll(func() {})
	// If the machine is so busy that the connection answers late, keys are read again instead.
	n, err := strconv.Atoi(p.metric(`claviger_change_propagation_seconds_count{origin="remote"}`))
	if err != nil || n < len(p.keys)/2 {
		t.Errorf("of %d changes %d arrived by notification (%v), want at least half", len(p.keys), n, err)
	}
	p.waitForSync(true)
}

func TestAKeyIsRejectedWithinASecondWhenTheListeningConnectionIsDown(t *testing.T) {
	for name, link := range map[string]testkit.Link{"cut": testkit.Cut, "silent": testkit.Held} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, soak.Times(24, 100))
			p.proxy.Listening(link) // the first keys are deactivated at once, before there can know of the failure
			p.deactivateAll(func() {})
			p.waitForSync(false)
			if n := p.metric(`claviger_change_propagation_seconds_count{origin="remote"}`); n != "" && n != "0" {
				t.Errorf("%s notifications arrived, want none", n)
			}
			p.wantLogged("changes of other processes do not arrive")
			p.proxy.Listening(testkit.Open)
			p.waitForSync(true)
			p.wantLogged("changes of other processes arrive again")
		})
	}
}

// A notification may be sent between two connections.
func TestAKeyIsRejectedWithinASecondWhileTheListeningConnectionIsLostRepeatedly(t *testing.T) {
	p := newPair(t, soak.Times(40, 100))
	p.deactivateAll(func() {
		_, err := p.database.Exec(`
			SELECT pg_terminate_backend(pid)
			FROM pg_stat_activity
			WHERE application_name = $1`, p.schema+" listener")
		if err != nil {
			t.Error(err)
		}
	})
	p.waitForSync(true)
}

func TestDuringADatabaseOutageKnownKeysAreAnsweredWithoutDelay(t *testing.T) {
	for name, link := range map[string]testkit.Link{"cut": testkit.Cut, "silent": testkit.Held} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, 5)
			for _, k := range p.keys {
				p.there.validate(pairProject, k.secret, "")
			}
			p.proxy.All(link)
			p.waitForSync(false)
			slow, asked := 0, 0
			for began := time.Now(); time.Since(began) < 3*time.Second; asked++ {
				time.Sleep(2 * time.Millisecond)
				at := time.Now()
				if v := p.there.validate(pairProject, p.keys[asked%len(p.keys)].secret, ""); v.Code != "valid" {
					t.Fatalf("a known key gets %+v, want valid", v)
				}
				if time.Since(at) > 200*time.Millisecond {
					slow++
				}
			}
			// Now and then a request finds out whether the database is back, and may wait until that times out.
			if slow > asked/10 {
				t.Errorf("%d of %d answers took more than 200 ms, want at most a tenth", slow, asked)
			}

			p.deactivate(p.keys[0])
			p.proxy.All(testkit.Open)
			p.waitForSync(true)
			p.waitForRejection(p.keys[0])
		})
	}
}
