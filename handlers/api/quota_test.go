package api_test

import (
	"fmt"
	"net/http"
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

func number(n int64) *int64 { return &n }

// dig walks into a JSON object.
func dig(t *testing.T, body map[string]any, path ...string) any {
	t.Helper()
	var at any = body
	for _, name := range path {
		object, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("%v has no %v", body, path)
		}
		at = object[name]
	}
	return at
}

// limits gives a project figures of its own.
func limits(t *testing.T, app *testkit.App, project *models.Project, overrides models.Overrides) {
	t.Helper()
	if _, err := app.Store.ChangeProjectPlan(t.Context(), tester, project.ID, project.PlanID, overrides); err != nil {
		t.Fatal(err)
	}
}

func TestAQuotaRejectsByItsNameAndSaysWhenItFrees(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, browser := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, secret := app.Key(project,
			models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: number(2), Total: number(3)}})

		for i := range 2 {
			reply := app.Validate("shop", secret)
			if reply.Status != 200 || dig(t, reply.Body, "quotas", "daily", "remaining") != float64(1-i) ||
				dig(t, reply.Body, "quotas", "daily", "limit") != 2.0 ||
				dig(t, reply.Body, "quotas", "total", "remaining") != float64(2-i) ||
				dig(t, reply.Body, "quotas", "weekly") != nil {
				t.Fatalf("%d %v", reply.Status, reply.Body)
			}
		}
		reply := app.Validate("shop", secret)
		if reply.Status != 401 || reply.Code() != "quota_daily" ||
			reply.Body["error"] != "Rate limit exceeded: quota daily" {
			t.Fatalf("%d %v", reply.Status, reply.Body)
		}
		resets, err := time.Parse(time.RFC3339, fmt.Sprint(dig(t, reply.Body, "quotas", "daily", "resets_at")))
		if err != nil {
			t.Fatal(err)
		}
		seconds, _ := strconv.Atoi(reply.Header.Get("Retry-After"))
		if wait := resets.Sub(app.Clock.Now()); wait < 24*time.Hour || wait > 24*time.Hour+time.Minute ||
			time.Duration(seconds)*time.Second < wait {
			t.Errorf("frees in %s, Retry-After %d", wait, seconds)
		}
		if page := browser.Get(testkit.KeyPath(project, key)); !strings.Contains(page.Text(),
			"2 of 2 in 24 hours2 of 3 in total") {
			t.Errorf("the page of the key says %s", page.Text())
		}
		// The project may choose 429, and it holds for the next request.
		browser.Post("/projects/shop/settings", url.Values{
			"name": {"shop"}, "key_prefix": {"clv"}, "quota_status": {"429"},
		})
		if reply = app.Validate("shop", secret); reply.Status != 429 || reply.Code() != "quota_daily" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		app.Clock.Advance(resets.Sub(app.Clock.Now()))
		if reply = app.Validate("shop", secret); reply.Status != 200 {
			t.Errorf("at the announced moment: %d %v", reply.Status, reply.Body)
		}
		// The total is final.
		app.Clock.Advance(60 * 24 * time.Hour)
		reply = app.Validate("shop", secret)
		if reply.Code() != "quota_total" || dig(t, reply.Body, "quotas", "total", "resets_at") != nil ||
			reply.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v %v", reply.Status, reply.Body, reply.Header)
		}
	})
}

// A quota that is set later counts what was admitted before it: in no window of its length are more admitted than the
// cap.
func TestAQuotaThatIsSetLaterCountsWhatWasBefore(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, secret := app.Key(project, models.KeyInput{Name: "one"})
		for range 5 {
			app.Validate("shop", secret)
		}
		// Some of the five rows may not be stored yet.
		_, err := app.Store.UpdateKey(t.Context(), project.ID, key.ID, tester,
			models.KeyInput{Name: "one", Category: "production", Quotas: models.Quotas{Daily: number(6)}})
		if err != nil {
			t.Fatal(err)
		}
		if reply := app.Validate("shop", secret); reply.Status != 200 ||
			dig(t, reply.Body, "quotas", "daily", "remaining") != 0.0 {
			t.Errorf("the sixth: %d %v", reply.Status, reply.Body)
		}
		if reply := app.Validate("shop", secret); reply.Code() != "quota_daily" {
			t.Errorf("the seventh: %d %v", reply.Status, reply.Body)
		}
	})
}

func TestARestartNeitherForgetsNorInventsUsage(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		first := testkit.NewApp(t, url)
		user, _ := first.SignUp("ada@example.com")
		project, _, _ := first.Project(user, "shop")
		_, secret := first.Key(project,
			models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: number(10), Weekly: number(12),
				Total: number(14)}})
		for range 4 {
			first.Validate("shop", secret)
		}
		first.Clock.Advance(20 * time.Hour)
		for range 3 {
			first.Validate("shop", secret)
		}
		first.Flush()
		first.Stop()

		second := testkit.NewApp(t, url)
		second.Clock.Advance(23 * time.Hour)
		reply := second.Validate("shop", secret)
		if dig(t, reply.Body, "quotas", "daily", "remaining") != 2.0 ||
			dig(t, reply.Body, "quotas", "weekly", "remaining") != 4.0 ||
			dig(t, reply.Body, "quotas", "total", "remaining") != 6.0 {
			t.Errorf("%v", reply.Body["quotas"])
		}
		second.Clock.Advance(90 * time.Minute)
		reply = second.Validate("shop", secret)
		if dig(t, reply.Body, "quotas", "daily", "remaining") != 5.0 ||
			dig(t, reply.Body, "quotas", "weekly", "remaining") != 3.0 {
			t.Errorf("a day after the first four: %v", reply.Body["quotas"])
		}
	})
}

// All versions of a key count together.
func TestARotatedKeyKeepsItsQuota(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, old := app.Key(project, models.KeyInput{Name: "one", Quotas: models.Quotas{Monthly: number(3)}})
		app.Validate("shop", old)
		_, secret, err := app.Store.RotateKey(t.Context(), project.ID, key.ID, tester, 0, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		app.Validate("shop", secret.Plain())
		app.Validate("shop", old)
		for _, s := range []string{old, secret.Plain()} {
			if code := app.Validate("shop", s).Code(); code != "quota_monthly" {
				t.Errorf("%s", code)
			}
		}
	})
}

func TestExactlyTheQuotaIsAdmittedOverHTTP(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		each := soak.Times(40, 160)
		quota := int64(64 * (each - 4))
		_, secret := app.Key(project, models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: &quota}})
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		var admitted, other atomic.Int64
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				for range each {
					request, _ := http.NewRequest(http.MethodGet, app.URL+"/v1/projects/shop/validate", nil)
					request.Header.Set("X-API-Key", secret)
					response, err := client.Do(request)
					if err != nil {
						t.Error(err)
						return
					}
					response.Body.Close()
					switch response.StatusCode {
					case 200:
						admitted.Add(1)
					case 401:
					default:
						other.Add(1)
					}
				}
			})
		}
		group.Wait()
		if admitted.Load() != quota || other.Load() != 0 {
			t.Errorf("%d admitted of %d, %d neither", admitted.Load(), quota, other.Load())
		}
	})
}

// Of limits that are both used up, the headers describe the one that a client has to wait for.
func TestOfTwoLimitsThatAreUsedUpTheOneThatFreesLastIsNamed(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		limits(t, app, project, models.Overrides{models.LimitKeyPerMinute: number(3),
			models.LimitProjectPerSecond: number(3)})
		for range 3 {
			app.Validate("shop", secret)
		}
		header := app.Validate("shop", secret).Header
		if got, want := header.Get("X-RateLimit-Reset"), header.Get("Retry-After"); got != want || got == "" {
			t.Errorf("X-RateLimit-Reset is %q, Retry-After %q", got, want)
		}
	})
}

func TestAPlanLimitAnswers429WithItsHeaders(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		if header := app.Validate("shop", secret).Header; header.Get("RateLimit") != "" ||
			header.Get("X-RateLimit-Limit") != "" {
			t.Errorf("a plan without limits says %v", header)
		}
		limits(t, app, project, models.Overrides{models.LimitKeyPerMinute: number(3),
			models.LimitProjectPerSecond: number(100)})
		for i := range 3 {
			header := app.Validate("shop", secret).Header
			for name, want := range map[string]string{
				"RateLimit-Policy": `"project-second";q=100;w=1, "key-minute";q=3;w=60`, "X-RateLimit-Limit": "3",
				"X-RateLimit-Remaining": strconv.Itoa(2 - i),
				"RateLimit": fmt.Sprintf(`"project-second";r=%d;t=2, "key-minute";r=%d;t=%s`, 99-i, 2-i,
					header.Get("X-RateLimit-Reset")),
			} {
				if got := header.Get(name); got != want {
					t.Errorf("request %d: %s is %s, want %s", i, name, got, want)
				}
			}
		}
		reply := app.Validate("shop", secret)
		if reply.Status != 429 || reply.Code() != "rate_limited" ||
			reply.Body["error"] != "You exceeded the per-minute rate limit on your subscription" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		wait, _ := strconv.Atoi(reply.Header.Get("Retry-After"))
		if wait < 60 || wait > 65 || reply.Header.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("%v", reply.Header)
		}
		limits(t, app, project, models.Overrides{models.LimitProjectPerSecond: number(1)})
		app.Clock.Advance(time.Minute)
		app.Validate("shop", secret)
		if reply = app.Validate("shop", secret); reply.Body["error"] != "You exceeded the per-second rate limit on "+
			"your subscription" || reply.Header.Get("Retry-After") != "2" {
			t.Errorf("%v %v", reply.Body, reply.Header)
		}
	})
}

func TestExplainAndDryRunNeedAServiceTokenAndCountNothing(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		bearer := []string{"Authorization", "Bearer " + result.ServiceToken.Plain()}
		key, secret := app.Key(result.Project, models.KeyInput{Name: "one", Quotas: models.Quotas{Total: number(1)}})
		ask := func(body string, headers ...string) testkit.Reply {
			return app.Call("POST", "/v1/projects/shop/validate", body, headers...)
		}
		for _, body := range []string{`{"key":"` + secret + `","dry_run":true}`, `{"key":"` + secret +
			`","explain":true}`} {
			reply := ask(body)
			if _, checks := reply.Body["checks"]; checks || reply.Status != 401 || reply.Code() != "token_missing" {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
		}
		for range 2 {
			reply := ask(`{"key":"`+secret+`","dry_run":true,"explain":true}`, bearer...)
			if reply.Status != 200 || dig(t, reply.Body, "quotas", "total", "remaining") != 1.0 {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
			for _, check := range reply.Body["checks"].([]any) {
				if check.(map[string]any)["outcome"] != "passed" {
					t.Errorf("%v", check)
				}
			}
		}
		app.Flush()
		if page, err := app.Store.RequestLogs(t.Context(), result.Project.ID,
			models.LogFilter{Limit: 10}); err != nil || len(page.Entries) != 0 {
			t.Errorf("%d rows, %v", len(page.Entries), err)
		}
		app.ChangeState(key, models.ActionDeactivate)
		reply := ask(`{"key":"`+secret+`","dry_run":true,"explain":true}`, bearer...)
		want := map[string]string{"key_known": "passed", "key_not_revoked": "passed", "key_active": "failed",
			"key_not_expired": "not_reached", "quotas": "not_reached"}
		for _, item := range reply.Body["checks"].([]any) {
			check := item.(map[string]any)
			if outcome, listed := want[check["check"].(string)]; listed && outcome != check["outcome"] {
				t.Errorf("%v, want %s", check, outcome)
			}
			if check["outcome"] == "failed" && check["change"] != "Activate the key." {
				t.Errorf("%v", check)
			}
		}
		if reply.Code() != "key_inactive" || len(reply.Body["checks"].([]any)) < len(want) {
			t.Errorf("%v", reply.Body)
		}
	})
}

func TestAKeyReadsItsOwnUsageAndThatCostsNothing(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, secret := app.Key(project, models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: number(5)}})
		app.Validate("shop", secret)
		app.Validate("shop", secret)
		for range 2 {
			reply := app.Call("GET", "/v1/usage", "", "X-API-Key", secret)
			if reply.Status != 200 || dig(t, reply.Body, "key", "name") != "one" ||
				dig(t, reply.Body, "quotas", "daily", "used") != 2.0 ||
				dig(t, reply.Body, "quotas", "daily", "remaining") != 3.0 ||
				dig(t, reply.Body, "quotas", "monthly", "used") != 2.0 ||
				dig(t, reply.Body, "quotas", "monthly", "limit") != nil ||
				dig(t, reply.Body, "quotas", "total", "used") != 2.0 {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
		}
		for name, c := range map[string]struct{ key, code string }{
			"none": {"", "key_missing"}, "unknown": {testkit.UnknownSecret(t, 1), "key_invalid"},
			"a typo": {secret[1:], "key_invalid"},
		} {
			if reply := app.Call("GET", "/v1/usage", "", "X-API-Key", c.key); reply.Status != 401 ||
				reply.Code() != c.code {
				t.Errorf("%s: %d %v", name, reply.Status, reply.Body)
			}
		}
		app.ChangeState(key, models.ActionDeactivate)
		if reply := app.Call("GET", "/v1/usage", "",
			"Authorization", "Bearer "+secret); reply.Code() != "key_inactive" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
	})
}

// What was used before a limit was lowered is more than it: both headers name the moment at which a request passes
// again.
func TestALoweredLimitSaysWhenItFrees(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		limits(t, app, project, models.Overrides{models.LimitKeyPerMinute: number(10)})
		for range 10 {
			app.Validate("shop", secret)
			app.Clock.Advance(5 * time.Second)
		}
		limits(t, app, project, models.Overrides{models.LimitKeyPerMinute: number(2)})
		reply := app.Validate("shop", secret)
		wait, err := strconv.Atoi(reply.Header.Get("Retry-After"))
		if err != nil || reply.Status != 429 || reply.Header.Get("X-RateLimit-Reset") != strconv.Itoa(wait) {
			t.Fatalf("%d %v", reply.Status, reply.Header)
		}
		app.Clock.Advance(time.Duration(wait-1) * time.Second)
		if code := app.Validate("shop", secret).Code(); code != "rate_limited" {
			t.Errorf("a second before: %s", code)
		}
		app.Clock.Advance(time.Second)
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("at the announced moment: %s", code)
		}
	})
}
