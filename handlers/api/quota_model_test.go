package api_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/internal/testkit/soak"
	"github.com/claviger/claviger/models"
)

// admissions are the moments at which requests were admitted: the plainest way to say what a quota or a limit allows.
type admissions []time.Time

// within counts those of the window that ends at now.
func (a admissions) within(window time.Duration, now time.Time) (n int64) {
	for i := len(a) - 1; i >= 0 && a[i].After(now.Add(-window)); i-- {
		n++
	}
	return n
}

// rule is a quota or a limit of the model.
type rule struct {
	code     string
	window   time.Duration
	late     time.Duration // how long an old request may stay in the window beyond its time
	cap      int64
	admitted *admissions
}

// The service as a whole against the model: no window ever holds more than its cap, nothing is turned away for longer
// than it may be, and a restart changes nothing about quotas. Requests come in bursts, after quiet hours and after
// days, with keys that share limits; the log is tidied and the process starts anew in between.
func TestQuotasAndLimitsAgreeWithAModel(t *testing.T) {
	codes := map[string]int{}
	for seed := range uint64(soak.Times(2, 20)) {
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T,
				url string) {
				agreesWithModel(t, url, rand.New(rand.NewPCG(seed, 7)), codes)
			})
		})
	}
	t.Log(codes)
	for _, code := range strings.Fields("valid rate_limited quota_daily quota_weekly quota_monthly quota_total") {
		if codes[code] < 100 {
			t.Errorf("too few requests were answered %s, so that it says little of it: %v", code, codes)
		}
	}
}

func agreesWithModel(t *testing.T, url string, random *rand.Rand, codes map[string]int) {
	const requests, second, slug = 2000, time.Second, "shop"
	app := testkit.NewApp(t, url)
	user, _ := app.SignUp("ada@example.com")
	project, _, _ := app.Project(user, slug)
	perSecond, perMinute, perKey, perSession := 3+random.Int64N(3), 8+random.Int64N(8), 5+random.Int64N(5),
		4+random.Int64N(5)
	limits(t, app, project, models.Overrides{
		models.LimitProjectPerSecond: &perSecond, models.LimitProjectPerMinute: &perMinute,
		models.LimitKeyPerMinute: &perKey, models.LimitSessionPerMinute: &perSession,
	})

	type modelKey struct {
		secret   string
		id       int64
		test     int // 1 for a test key
		rules    []rule
		admitted admissions
	}
	keys := make([]*modelKey, 4)
	for i := range keys {
		daily, weekly, monthly, total := 4+random.Int64N(20), 20+random.Int64N(40), 50+random.Int64N(60),
			400+random.Int64N(150)
		if i == 2 {
			total = 30 + random.Int64N(40)
		}
		in := models.KeyInput{Name: "key_" + strconv.Itoa(i), Quotas: models.Quotas{Daily: &daily, Weekly: &weekly,
			Monthly: &monthly, Total: &total}}
		k := &modelKey{}
		if i == 3 {
			in.Type, k.test = models.TypeTest, 1
		}
		key, secret := app.Key(project, in)
		k.secret, k.id = secret, key.ID
		for _, q := range []struct {
			code string
			days int
			cap  int64
		}{{"quota_daily", 1, daily}, {"quota_weekly", 7, weekly}, {"quota_monthly", 30, monthly},
			{"quota_total", 36500, total}} {
			window := time.Duration(q.days) * 24 * time.Hour
			late := window / 1440
			if q.code == "quota_total" {
				late = 0
			}
			k.rules = append(k.rules, rule{q.code, window, late, q.cap, &k.admitted})
		}
		keys[i] = k
	}

	// What limits count is in memory alone: a restart begins anew.
	var bySecond, byMinute [2]*admissions
	var byKey map[string]*admissions
	var bySession map[string]*admissions
	forget := func() {
		bySecond, byMinute = [2]*admissions{{}, {}}, [2]*admissions{{}, {}}
		byKey, bySession = map[string]*admissions{}, map[string]*admissions{}
	}
	forget()
	of := func(m map[string]*admissions, name string) *admissions {
		if m[name] == nil {
			m[name] = &admissions{}
		}
		return m[name]
	}

	for range requests {
		pause := []time.Duration{
			time.Duration(random.Int64N(int64(200 * time.Millisecond))),
			time.Duration(random.Int64N(int64(20 * second))),
			time.Duration(random.Int64N(int64(30 * time.Minute))), time.Duration(random.Int64N(int64(8 * time.Hour))),
			time.Duration(random.Int64N(int64(5 * 24 * time.Hour))),
		}[min(4, int(random.ExpFloat64()*.7))].Truncate(time.Millisecond)
		switch random.IntN(150) {
		case 0:
			now := app.Clock.Now()
			app.Stop()
			app = testkit.NewApp(t, url)
			app.Clock.Advance(now.Sub(app.Clock.Now()))
			forget()
		case 1:
			app.Flush()
			for more, err := true, error(nil); more; {
				if more, err = app.Store.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		key, session := keys[random.IntN(len(keys))], []string{"", "a", "b"}[random.IntN(3)]
		limited := []rule{
			{"rate_limited", second, second / 12, perSecond, bySecond[key.test]},
			{"rate_limited", time.Minute, 5 * second, perMinute, byMinute[key.test]},
			{"rate_limited", time.Minute, 5 * second, perKey, of(byKey, key.secret)},
		}
		if session != "" {
			limited = append(limited, rule{"rate_limited", time.Minute, 5 * second, perSession,
				of(bySession, strconv.Itoa(key.test)+session)})
		}
		rules := append(limited, key.rules...)
		if r := rules[random.IntN(len(rules))]; len(*r.admitted) > 0 && random.IntN(4) == 0 {
			// One of the moments that matter: the last at which an old request counts, or the first at which it must
			// not.
			old := (*r.admitted)[len(*r.admitted)-1-random.IntN(min(int(r.cap), len(*r.admitted)))]
			at := old.Add(r.window - time.Millisecond)
			if random.IntN(2) == 0 {
				at = old.Add(r.window + r.late)
			}
			if wait := at.Sub(app.Clock.Now()); wait > 0 && wait < 36*time.Hour {
				pause = wait
			}
		}
		app.Clock.Advance(pause)
		now := app.Clock.Now()
		code := app.Validate(slug, key.secret, "X-Session-ID", session).Code()
		codes[code]++
		allowed := code == "valid"
		for _, r := range rules {
			if code == "valid" && r.admitted.within(r.window, now) >= r.cap {
				t.Fatalf("at %s, key %d was admitted although the last %s hold %d (%s)", now, key.id, r.window, r.cap,
					r.code)
			}
			allowed = allowed || code == r.code && r.admitted.within(r.window+r.late, now) >= r.cap
		}
		if !allowed {
			t.Fatalf("at %s, key %d was answered %s although nothing of that name is used up", now, key.id, code)
		}
		if code != "valid" {
			continue
		}
		key.admitted = append(key.admitted, now)
		for _, r := range limited {
			*r.admitted = append(*r.admitted, now)
		}
	}
	app.Flush()
	for _, key := range keys {
		if used, err := app.Store.Log().KeyUsage(t.Context(), key.id); err != nil ||
			used.Total != int64(len(key.admitted)) {
			t.Errorf("the database counts %d of key %d, admitted were %d (%v)", used.Total, key.id, len(key.admitted),
				err)
		}
	}
}
