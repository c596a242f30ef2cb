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
	"github.com/claviger/claviger/models"
)

// promised is how soon a change holds in the other processes: product.md, section 3. The tests of it run with no other
// test of the package beside them.
const promised = time.Second

// pair is two processes on one Postgres: here changes are made, there keys are validated. What there hears goes through
// a proxy.
type pair struct {
	t           *testing.T
	here, there *process
	proxy       *testkit.Proxy
	metrics     string // address of there's
	schema      string
	keys        []madeKey
	cookie      string
	database    *sql.DB
}

const pairProject = "first"

// newPair starts the processes, with a project of so many keys.
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
	p.there = here.atAnotherAddr().with("CLAVIGER_DATABASE_URL="+p.proxy.URL+"&application_name="+p.schema,
		"CLAVIGER_METRICS_ADDR="+p.metrics).serve()
	p.cookie = p.here.signIn(s.Email, s.Password)
	p.untilHears(true)
	return p
}

// metric is a line of there's metrics, as it is written there.
func (p *pair) metric(name string) string {
	p.t.Helper()
	for line := range strings.Lines(ask(p.t, "GET", "http://"+p.metrics+"/metrics", "").Body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (p *pair) untilHears(hears bool) {
	p.t.Helper()
	want := map[bool]string{true: "1", false: "0"}[hears]
	eventually(p.t, "claviger_changes_heard "+want, func() bool { return p.metric("claviger_changes_heard") == want })
}

// saysOnce reads the log of there, which may come a moment after what it tells of.
func (p *pair) saysOnce(text string) {
	p.t.Helper()
	said := func() int { return strings.Count(p.there.Stderr.String(), text) }
	eventually(p.t, "the log to say: "+text, func() bool { return said() > 0 })
	if n := said(); n != 1 {
		p.t.Errorf("the log says %d times: %s", n, text)
	}
}

// deactivate is done when here says that it is.
func (p *pair) deactivate(k madeKey) {
	p.t.Helper()
	path := fmt.Sprintf("%s/projects/%s/keys/%d/deactivate", p.here.URL, pairProject, k.id)
	r := ask(p.t, "POST", path, url.Values{}.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "same-origin", "Cookie", p.cookie)
	if r.Status != 303 {
		p.t.Fatalf("deactivating gave %d: %s", r.Status, r.Body)
	}
}

// refused asks there about the key until it is refused. No request that begins later than was promised may be answered
// as before.
func (p *pair) refused(k madeKey) {
	for since := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		late := time.Since(since)
		v := p.there.validate(pairProject, k.secret, "")
		if v.Code == "key_inactive" {
			return
		}
		if v.Code != "valid" || late > promised {
			p.t.Errorf("%v after it was deactivated the key is answered with %+v", late, v)
			return
		}
	}
}

// rounds deactivates each key while there knows it as valid, several at a time, after what before does. Each must be
// refused within the time that is promised.
func (p *pair) rounds(before func()) {
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
					p.t.Errorf("before it is deactivated the key is %+v", v)
				}
				before()
				p.deactivate(k)
				p.refused(k)
				done.Add(1)
			}
		})
	}
	working.Wait()
	if n := int(done.Load()); n != len(p.keys) {
		p.t.Errorf("%d of %d keys were tried", n, len(p.keys))
	}
}

func TestAKeyDeactivatedInOneProcessIsRefusedByTheOtherWithinASecond(t *testing.T) {
	p := newPair(t, soak(40, 100))
	p.rounds(func() {})
	// On a machine that is so busy that the connection answers late, some changes are seen by reading again.
	if n, err := strconv.Atoi(p.metric(`claviger_change_effect_seconds_count{origin="remote"}`)); err != nil ||
		n < len(p.keys)/2 {
		t.Errorf("of %d changes %d came by a notice (%v)", len(p.keys), n, err)
	}
	p.untilHears(true)
}

func TestAKeyIsRefusedAsSoonWhenTheListeningConnectionIsDown(t *testing.T) {
	for name, link := range map[string]testkit.Link{"cut": testkit.Cut, "swallowed by the network": testkit.Held} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, soak(24, 100))
			p.proxy.Listening(link) // and the first keys at once, before anybody can have noticed
			p.rounds(func() {})
			p.untilHears(false)
			if n := p.metric(`claviger_change_effect_seconds_count{origin="remote"}`); n != "" && n != "0" {
				t.Errorf("%s notices came through", n)
			}
			p.saysOnce("changes of other processes do not arrive")
			p.proxy.Listening(testkit.Open)
			p.untilHears(true)
			p.saysOnce("changes of other processes arrive again")
		})
	}
}

// The connection comes and goes: a notice may fall between two of them.
func TestAKeyIsRefusedAsSoonWhileTheListeningConnectionIsLostAgainAndAgain(t *testing.T) {
	p := newPair(t, soak(40, 100))
	p.rounds(func() {
		if _, err := p.database.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "+
			"= $1", p.schema+" listener"); err != nil {
			t.Error(err)
		}
	})
	p.untilHears(true)
}

func TestWithTheDatabaseAwayKnownKeysAreAnsweredWithoutAWait(t *testing.T) {
	for name, link := range map[string]testkit.Link{"cut": testkit.Cut, "swallowed by the network": testkit.Held} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, 5)
			for _, k := range p.keys {
				p.there.validate(pairProject, k.secret, "")
			}
			p.proxy.All(link)
			p.untilHears(false)
			slow, asked := 0, 0
			for began := time.Now(); time.Since(began) < 3*time.Second; asked++ {
				time.Sleep(2 * time.Millisecond)
				at := time.Now()
				if v := p.there.validate(pairProject, p.keys[asked%len(p.keys)].secret, ""); v.Code != "valid" {
					t.Fatalf("a known key is answered with %+v", v)
				}
				if time.Since(at) > 200*time.Millisecond {
					slow++
				}
			}
			// One at a time asks whether the database is back, and may wait for its time-out: the others must not.
			if slow > asked/10 {
				t.Errorf("%d of %d answers took long", slow, asked)
			}

			p.deactivate(p.keys[0])
			p.proxy.All(testkit.Open)
			p.untilHears(true)
			p.refused(p.keys[0])
		})
	}
}
