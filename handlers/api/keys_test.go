package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestAnInvalidRequestNamesTheWrongFields(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, key, _ := app.Project(user, "shop")
		api := app.Client(project)
		path := fmt.Sprintf("/keys/%d", key.ID)
		for _, c := range []struct {
			method, path, body string
			status             int
			code               string
			fields             []string
		}{
			{"POST", "/keys", `{"name":`, 400, "bad_request", nil},
			{"POST", "/keys", `[]`, 400, "bad_request", nil},
			{"POST", "/keys", `{} {}`, 400, "bad_request", nil},
			{"POST", "/keys", `{"nmae":"x"}`, 400, "bad_request", []string{"nmae"}},
			{"POST", "/keys", `{"name":1}`, 400, "bad_request", []string{"name"}},
			{"POST", "/keys", `{"platforms":"ios"}`, 400, "bad_request", []string{"platforms"}},
			{"POST", "/keys", `{"quotas":{"daily":1.5}}`, 400, "bad_request", []string{"quotas.daily"}},
			{"POST", "/keys", `{"quotas":[]}`, 400, "bad_request", []string{"quotas"}},
			{"POST", "/keys", ``, 422, "invalid", []string{"name", "type"}},
			{"POST", "/keys", `{"name":"a ` +
				`b","type":"x","category":"","quotas":{"daily":0,"total":-1},"expires_at":"2020-01-01T00:00:00Z",` +
				`"platforms":["ios"],"self_rotation":true,"android_package":"x"}`, 422, "invalid",
				[]string{"name", "type", "category", "quotas.daily", "quotas.total", "expires_at", "self_rotation",
					"android_package"}},
			{"POST", "/keys", `{"name":"a b","type":"test","platforms":["windows"],"expires_at":"tomorrow"}`, 422,
				"invalid", []string{"name", "platforms", "expires_at"}},
			{"PATCH", path, `{"type":"test"}`, 422, "invalid", []string{"type"}},
			{"PATCH", path, `{"name":null}`, 422, "invalid", []string{"name"}},
			// the default key
			{"PATCH", path, `{"expires_at":"2027-01-01T00:00:00Z"}`, 422, "invalid", []string{"expires_at"}},
			{"PATCH", path, `{"id":5}`, 400, "bad_request", []string{"id"}},
			{"POST", path + "/rotate", `{"grace":"2h"}`, 422, "invalid", []string{"grace"}},
			{"POST", path + "/rotate", `{"version":-1}`, 422, "invalid", []string{"version"}},
			{"GET", "/keys?limit=0", "", 400, "bad_request", []string{"limit"}},
			{"GET", "/keys?limit=x&cursor=y&status=z&type=z&page=2", "", 400, "bad_request",
				[]string{"limit", "cursor", "status", "type", "page"}},
			{"GET", "/keys?q=a&q=b", "", 400, "bad_request", []string{"q"}},
			{"GET", "/logs?from=yesterday&to=2026-01-01&code=fine&key=nobody&cursor=5&key_id=0", "", 400, "bad_request",
				[]string{"from", "to", "code", "key", "cursor", "key_id"}},
			// A filter that is dropped would show what was not asked for.
			{"GET", "/logs?key=server;", "", 400, "bad_request", []string{"query"}},
			{"GET", "/logs?key=%zz", "", 400, "bad_request", []string{"query"}},
			{"GET", "/logs?code=%00", "", 400, "bad_request", []string{"code"}},
			{"GET", "/keys?q=" + strings.Repeat("x", 546), "", 400, "bad_request", []string{"q"}},
			{"POST", "/categories", `{"name":" "}`, 422, "invalid", []string{"name"}},
			{"POST", "/keys", `{"name":"` + strings.Repeat("x", 20_000) + `"}`, 413, "too_large", nil},
		} {
			reply := api.Ask(c.method, c.path, c.body)
			fields, _ := reply.Body["fields"].(map[string]any)
			if reply.Status != c.status || reply.Code() != c.code || len(fields) != len(c.fields) {
				t.Errorf("%s %s %.80s: %d %v", c.method, c.path, c.body, reply.Status, reply.Body)
			}
			for _, name := range c.fields {
				if reply.Field(name) == "" {
					t.Errorf("%s %s %.80s: nothing about %s in %v", c.method, c.path, c.body, name, fields)
				}
			}
		}
		if reply := api.Ask("POST", "/keys", "name=x",
			"Content-Type", "application/x-www-form-urlencoded"); reply.Status != 415 {
			t.Errorf("a form: %d %v", reply.Status, reply.Body)
		}
	})
}

func TestAKeyLivesItsWholeLifeThroughTheAPI(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		made := api.Ask("POST", "/keys",
			`{"name":"server","type":"test","category":"partner","quotas":{"daily":5,"weekly":20},`+
				`"expires_at":"2027-01-01T00:00:00+02:00"}`)
		secret, _ := made.Body["secret"].(string)
		if made.Status != 201 || !strings.HasPrefix(secret, "clv_test_") ||
			made.Header.Get("Cache-Control") != "no-store" ||
			made.Body["created_by"] != "ci" || made.Body["expires_at"] != "2026-12-31T22:00:00Z" ||
			made.Body["prefix"] != "clv_test" {
			t.Fatalf("%d %v %v", made.Status, made.Body, made.Header)
		}
		path := fmt.Sprintf("/keys/%v", made.Body["id"])
		if location := made.Header.Get("Location"); location != "/v1/projects/shop"+path {
			t.Errorf("Location %q", location)
		}
		read := api.Ask("GET", path, "")
		for name, want := range made.Body {
			if name != "secret" && name != "replayed" && fmt.Sprint(read.Body[name]) != fmt.Sprint(want) {
				t.Errorf("%s is %v in the answer that made the key, and %v when it is read", name, want,
					read.Body[name])
			}
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" { // after the reading, which would tell of it
			t.Errorf("the new key is %s", code)
		}
		changed := api.Ask("PATCH", path, `{"description":"new","quotas":{"daily":null,"monthly":100}}`)
		if got := fmt.Sprint(changed.Body["quotas"]); got != "map[daily:<nil> monthly:100 total:<nil> weekly:20]" ||
			changed.Body["description"] != "new" || changed.Body["category"] != "partner" ||
			changed.Body["expires_at"] != "2026-12-31T22:00:00Z" {
			t.Errorf("%d %v", changed.Status, changed.Body)
		}
		const noQuotas = "map[daily:<nil> monthly:<nil> total:<nil> weekly:<nil>]"
		cleared := api.Ask("PATCH", path, `{"quotas":null,"expires_at":null,"description":null}`).Body
		if fmt.Sprint(cleared["quotas"]) != noQuotas || cleared["expires_at"] != nil || cleared["description"] != "" {
			t.Errorf("null does not clear: %v", cleared)
		}
		rotated := api.Ask("POST", path+"/rotate", `{"grace":"1h","version":1}`)
		fresh, _ := rotated.Body["secret"].(string)
		if rotated.Status != 200 || rotated.Body["version"] != 2.0 ||
			rotated.Header.Get("Cache-Control") != "no-store" ||
			app.Validate("shop", fresh).Code() != "valid" || app.Validate("shop", secret).Code() != "valid" {
			t.Errorf("%d %v", rotated.Status, rotated.Body)
		}
		if reply := api.Ask("POST", path+"/rotate", `{"version":1}`); reply.Status != 409 {
			t.Errorf("a rotation that knows an older version: %d %v", reply.Status, reply.Body)
		}
		versions := api.Ask("GET", path+"/versions", "").Rows()
		if len(versions) != 2 || versions[0]["status"] != "current" || versions[1]["status"] != "retiring" ||
			versions[1]["created_by"] != "ci" {
			t.Errorf("%v", versions)
		}
		api.Ask("POST", path+"/versions/1/end", `{"in":"24h"}`)
		app.Clock.Advance(2 * time.Hour)
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("with more time the old secret is %s", code)
		}
		api.Ask("POST", path+"/versions/1/end", "")
		if code := app.Validate("shop", secret).Code(); code != "key_revoked" {
			t.Errorf("after its end the old secret is %s", code)
		}
		app.Flush()
		if entries := api.Ask("GET", "/logs?key=server&code=key_revoked", "").Rows(); len(entries) != 1 ||
			entries[0]["version"] != 1.0 {
			t.Errorf("%v", entries)
		}
		if entries := api.Ask("GET", "/logs?from=2026-03-14T11:00:00Z", "").Rows(); len(entries) != 2 {
			t.Errorf("%v", entries)
		}
		// The dashboard and its log name the token.
		if text := b.Get("/projects/shop" + path).Text(); !strings.Contains(text, "ci") {
			t.Error("the page does not say who made the key")
		}
		if text := b.Get("/projects/shop/audit?action=key.rotate").Text(); !strings.Contains(text, "ci") ||
			!strings.Contains(text, "service token") {
			t.Errorf("the audit log says %s", text)
		}
	})
}

func TestTwoCallersWhoChangeDifferentFieldsKeepBothChanges(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		key, _ := app.Key(project, models.KeyInput{Name: "one"})
		path := fmt.Sprintf("/keys/%d", key.ID)
		for round := range 5 {
			var both sync.WaitGroup
			for _, body := range []string{fmt.Sprintf(`{"description":"round %d"}`, round),
				fmt.Sprintf(`{"quotas":{"daily":%d}}`, round+1)} {
				both.Go(func() { api.Ask("PATCH", path, body) })
			}
			both.Wait()
			reply := api.Ask("GET", path, "")
			quotas, _ := reply.Body["quotas"].(map[string]any)
			if reply.Body["description"] != fmt.Sprintf("round %d", round) || quotas["daily"] != float64(round+1) {
				t.Fatalf("round %d: %v", round, reply.Body)
			}
		}
	})
}
