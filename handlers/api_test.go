package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/handlers"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// client asks the management API of a project with a service token.
type client struct {
	app   *testkit.App
	root  string
	token string
}

func newClient(t *testing.T, app *testkit.App, project *models.Project, scopes ...models.Scope) client {
	t.Helper()
	if len(scopes) == 0 {
		scopes = models.AllScopes
	}
	_, secret, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "ci", scopes)
	if err != nil {
		t.Fatal(err)
	}
	return client{app, "/v1/projects/" + project.Slug, secret.Plain()}
}

func (c client) ask(method, path, body string, headers ...string) testkit.Reply {
	c.app.T.Helper()
	return c.app.Call(method, c.root+path, body, append([]string{"Authorization", "Bearer " + c.token}, headers...)...)
}

// field is the message about a member.
func field(r testkit.Reply, name string) string {
	fields, _ := r.Body["fields"].(map[string]any)
	text, _ := fields[name].(string)
	return text
}

// rows of a list.
func rows(r testkit.Reply) []map[string]any {
	data, _ := r.Body["data"].([]any)
	list := make([]map[string]any, len(data))
	for i := range data {
		list[i], _ = data[i].(map[string]any)
	}
	return list
}

// A new route is covered by itself: whatever it does, it does nothing for who has no token of the project with its scope.
func TestEveryAPIRouteRefusesAStranger(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		w, _ := newWorld(t, app)
		bob, _ := app.SignUp("bob@example.com")
		his, _, _ := app.Project(bob, "his")
		foreign := newClient(t, app, his)
		revoked := newClient(t, app, w.project)
		app.Exec("UPDATE service_tokens SET revoked_at = ? WHERE id = (SELECT MAX(id) FROM service_tokens)", app.Clock.Now())
		app.Gate.Forget(models.Change{Kind: "service_token"})
		for _, route := range app.Handlers.APIRoutes() {
			if route.Scope == handlers.NoToken {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(models.AllScopes), func(s models.Scope) bool { return s == route.Scope })
			lacking := newClient(t, app, w.project, others...)
			for _, project := range []string{"shop", fmt.Sprint(w.project.ID)} {
				path := w.path(handlers.Route{Path: strings.Replace(route.Path, ":version", "1", 1)}, project)
				call := func(token string, headers ...string) testkit.Reply {
					if token != "" {
						headers = append(headers, "Authorization", "Bearer "+token)
					}
					return app.Call(route.Method, path, `{"name":"x","type":"test","into":1}`, headers...)
				}
				for _, c := range []struct {
					what         string
					reply        testkit.Reply
					status       int
					code, header string
				}{
					{"no token", call(""), 401, "token_missing", "Bearer"},
					{"a key in place of a token", call("", "X-API-Key", "clv_prod_x"), 401, "token_missing", "Bearer"},
					{"nonsense", call("nonsense"), 401, "token_invalid", `Bearer error="invalid_token"`},
					{"another project's token", call(foreign.token), 401, "token_invalid", `Bearer error="invalid_token"`},
					{"a revoked token", call(revoked.token), 401, "token_invalid", `Bearer error="invalid_token"`},
					{"every scope but the right one", call(lacking.token), 403, "token_scope", ""},
				} {
					if c.reply.Status != c.status || c.reply.Code() != c.code || c.reply.Header.Get("WWW-Authenticate") != c.header {
						t.Errorf("%s %s with %s: %d %v %q", route.Method, path, c.what, c.reply.Status, c.reply.Body, c.reply.Header.Get("WWW-Authenticate"))
					}
					if c.code == "token_scope" && (!strings.Contains(fmt.Sprint(c.reply.Body["error"]), string(route.Scope)) || field(c.reply, "scope") != string(route.Scope)) {
						t.Errorf("%s does not name the scope: %v", path, c.reply.Body)
					}
					if len(c.reply.Body) == 0 || c.reply.Body["request_id"] == "" || c.reply.Body["error"] == "" {
						t.Errorf("%s: %v", path, c.reply.Body)
					}
				}
			}
			// A token of one's own project opens nothing in another one.
			if strings.Count(route.Path, ":") > 1 {
				path := w.path(handlers.Route{Path: strings.Replace(route.Path, ":version", "1", 1)}, "his")
				body := ""
				if route.Method == http.MethodPatch {
					body = `{"name":"x"}`
				} else if strings.HasSuffix(path, "/merge") {
					body = `{"into":1}`
				}
				if reply := app.Call(route.Method, path, body, "Authorization", "Bearer "+foreign.token); reply.Status != 404 {
					t.Errorf("%s %s through the stranger's own project: %d %v", route.Method, path, reply.Status, reply.Body)
				}
			}
		}
		if key, err := app.Store.Key(t.Context(), w.project.ID, w.key.ID); err != nil || key.State != models.StateActive || key.Name != "one" || key.Version != 1 {
			t.Errorf("a stranger changed something: %+v %v", key, err)
		}
		if page, err := app.Store.Keys(t.Context(), w.project.ID, models.KeyFilter{Limit: 10}); err != nil || len(page.Keys) != 2 {
			t.Errorf("a stranger made something: %d keys, %v", len(page.Keys), err)
		}
	})
}

func TestUnknownAddressesAndMethodsOfTheAPIAreAnsweredInJSON(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
		for _, c := range []struct {
			method, path string
			status       int
			code, allow  string
		}{
			{"GET", "/v1/nothing", 404, "not_found", ""},
			{"GET", "/v1/projects/shop", 404, "not_found", ""},
			{"POST", "/v1/projects/shop/nothing", 404, "not_found", ""},
			{"PUT", "/v1/projects/shop/keys", 405, "method_not_allowed", "GET, POST"},
			{"DELETE", "/v1/projects/shop/logs/x", 405, "method_not_allowed", "GET"},
			{"GET", "/v1/projects/shop/keys/rotate", 405, "method_not_allowed", "POST"},
			{"POST", "/v1/projects/shop/keys/1", 405, "method_not_allowed", "GET, PATCH, DELETE"},
			{"GET", "/v1/projects/shop/keys/x", 404, "not_found", ""},
			{"GET", "/v1/projects/shop/keys/99999999999999999999", 404, "not_found", ""},
			{"GET", "/v1/projects/shop/logs/x", 404, "not_found", ""},
			{"PATCH", "/v1/projects/shop/categories/x", 404, "not_found", ""},
			{"GET", "/v1/projects/nowhere/keys", 404, "project_unknown", ""},
		} {
			reply := app.Call(c.method, c.path, "", "Authorization", "Bearer "+api.token)
			if reply.Status != c.status || reply.Code() != c.code || reply.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %d %v, Allow %q", c.method, c.path, reply.Status, reply.Body, reply.Header.Get("Allow"))
			}
		}
	})
}

func TestAWrongRequestSaysWhatIsWrongWhere(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, key, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
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
			{"POST", "/keys", `{"name":"a b","type":"x","category":"","quotas":{"daily":0,"total":-1},"expires_at":"2020-01-01T00:00:00Z",` +
				`"platforms":["ios"],"self_rotation":true,"android_package":"x"}`, 422, "invalid",
				[]string{"name", "type", "category", "quotas.daily", "quotas.total", "expires_at", "self_rotation", "android_package"}},
			{"POST", "/keys", `{"name":"a b","type":"test","platforms":["windows"],"expires_at":"tomorrow"}`, 422, "invalid", []string{"name", "platforms", "expires_at"}},
			{"PATCH", path, `{"type":"test"}`, 422, "invalid", []string{"type"}},
			{"PATCH", path, `{"name":null}`, 422, "invalid", []string{"name"}},
			{"PATCH", path, `{"expires_at":"2027-01-01T00:00:00Z"}`, 422, "invalid", []string{"expires_at"}}, // the default key
			{"PATCH", path, `{"id":5}`, 400, "bad_request", []string{"id"}},
			{"POST", path + "/rotate", `{"grace":"2h"}`, 422, "invalid", []string{"grace"}},
			{"POST", path + "/rotate", `{"version":-1}`, 422, "invalid", []string{"version"}},
			{"GET", "/keys?limit=0", "", 400, "bad_request", []string{"limit"}},
			{"GET", "/keys?limit=x&cursor=y&status=z&type=z&page=2", "", 400, "bad_request", []string{"limit", "cursor", "status", "type", "page"}},
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
			reply := api.ask(c.method, c.path, c.body)
			fields, _ := reply.Body["fields"].(map[string]any)
			if reply.Status != c.status || reply.Code() != c.code || len(fields) != len(c.fields) {
				t.Errorf("%s %s %.80s: %d %v", c.method, c.path, c.body, reply.Status, reply.Body)
			}
			for _, name := range c.fields {
				if field(reply, name) == "" {
					t.Errorf("%s %s %.80s: nothing about %s in %v", c.method, c.path, c.body, name, fields)
				}
			}
		}
		if reply := api.ask("POST", "/keys", "name=x", "Content-Type", "application/x-www-form-urlencoded"); reply.Status != 415 {
			t.Errorf("a form: %d %v", reply.Status, reply.Body)
		}
	})
}

func TestAKeyLivesItsWholeLifeThroughTheAPI(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
		made := api.ask("POST", "/keys", `{"name":"server","type":"test","category":"partner","quotas":{"daily":5,"weekly":20},"expires_at":"2027-01-01T00:00:00+02:00"}`)
		secret, _ := made.Body["secret"].(string)
		if made.Status != 201 || !strings.HasPrefix(secret, "clv_test_") || made.Header.Get("Cache-Control") != "no-store" ||
			made.Body["created_by"] != "ci" || made.Body["expires_at"] != "2026-12-31T22:00:00Z" || made.Body["prefix"] != "clv_test" {
			t.Fatalf("%d %v %v", made.Status, made.Body, made.Header)
		}
		path := fmt.Sprintf("/keys/%v", made.Body["id"])
		if location := made.Header.Get("Location"); location != api.root+path {
			t.Errorf("Location %q", location)
		}
		read := api.ask("GET", path, "")
		for name, want := range made.Body {
			if name != "secret" && name != "replayed" && fmt.Sprint(read.Body[name]) != fmt.Sprint(want) {
				t.Errorf("%s is %v in the answer that made the key, and %v when it is read", name, want, read.Body[name])
			}
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" { // after the reading, which would tell of it
			t.Errorf("the new key is %s", code)
		}
		changed := api.ask("PATCH", path, `{"description":"new","quotas":{"daily":null,"monthly":100}}`)
		if got := fmt.Sprint(changed.Body["quotas"]); got != "map[daily:<nil> monthly:100 total:<nil> weekly:20]" ||
			changed.Body["description"] != "new" || changed.Body["category"] != "partner" || changed.Body["expires_at"] != "2026-12-31T22:00:00Z" {
			t.Errorf("%d %v", changed.Status, changed.Body)
		}
		if reply := api.ask("PATCH", path, `{"quotas":null,"expires_at":null,"description":null}`); fmt.Sprint(reply.Body["quotas"]) != "map[daily:<nil> monthly:<nil> total:<nil> weekly:<nil>]" ||
			reply.Body["expires_at"] != nil || reply.Body["description"] != "" {
			t.Errorf("null does not clear: %v", reply.Body)
		}
		rotated := api.ask("POST", path+"/rotate", `{"grace":"1h","version":1}`)
		fresh, _ := rotated.Body["secret"].(string)
		if rotated.Status != 200 || rotated.Body["version"] != 2.0 || rotated.Header.Get("Cache-Control") != "no-store" ||
			app.Validate("shop", fresh).Code() != "valid" || app.Validate("shop", secret).Code() != "valid" {
			t.Errorf("%d %v", rotated.Status, rotated.Body)
		}
		if reply := api.ask("POST", path+"/rotate", `{"version":1}`); reply.Status != 409 {
			t.Errorf("a rotation that knows an older version: %d %v", reply.Status, reply.Body)
		}
		versions := rows(api.ask("GET", path+"/versions", ""))
		if len(versions) != 2 || versions[0]["status"] != "current" || versions[1]["status"] != "retiring" || versions[1]["created_by"] != "ci" {
			t.Errorf("%v", versions)
		}
		api.ask("POST", path+"/versions/1/end", `{"in":"24h"}`)
		app.Clock.Advance(2 * time.Hour)
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("with more time the old secret is %s", code)
		}
		api.ask("POST", path+"/versions/1/end", "")
		if code := app.Validate("shop", secret).Code(); code != "key_revoked" {
			t.Errorf("after its end the old secret is %s", code)
		}
		app.Flush()
		if entries := rows(api.ask("GET", "/logs?key=server&code=key_revoked", "")); len(entries) != 1 || entries[0]["version"] != 1.0 {
			t.Errorf("%v", entries)
		}
		if entries := rows(api.ask("GET", "/logs?from=2026-03-14T11:00:00Z", "")); len(entries) != 2 {
			t.Errorf("%v", entries)
		}
		// The dashboard and its log name the token.
		if text := b.Get("/projects/shop" + path).Text(); !strings.Contains(text, "ci") {
			t.Error("the page does not say who made the key")
		}
		if text := b.Get("/projects/shop/actions?action=key.rotate").Text(); !strings.Contains(text, "ci") || !strings.Contains(text, "service token") {
			t.Errorf("the action log says %s", text)
		}
	})
}

func TestListsOfTheAPIAreFilteredAndPaged(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
		for i := range 5 {
			in := models.KeyInput{Name: fmt.Sprintf("key_%d", i), Type: models.TypeTest, Category: "partner"}
			_, secret := app.Key(project, in)
			app.Clock.Advance(time.Minute)
			app.Validate("shop", secret)
		}
		app.Flush()
		for list, names := range map[string]struct{ name, want string }{
			"/keys?type=test&category=partner&status=active&q=key&limit=2": {"name", "key_4 key_3 key_2 key_1 key_0"},
			"/logs?category=partner&limit=2":                               {"key_name", "key_4 key_3 key_2 key_1 key_0"},
		} {
			var seen []string
			cursor, pages := "", 0
			for ; pages < 10; pages++ {
				reply := api.ask("GET", list+cursor, "")
				for _, row := range rows(reply) {
					seen = append(seen, fmt.Sprint(row[names.name]))
				}
				if reply.Body["next_cursor"] == nil {
					break
				}
				cursor = fmt.Sprintf("&cursor=%v", reply.Body["next_cursor"])
			}
			if strings.Join(seen, " ") != names.want || pages != 2 {
				t.Errorf("%s: %v in %d pages", list, seen, pages+1)
			}
		}
		for list, n := range map[string]int{"/keys": 6, "/keys?status=revoked": 0, "/keys?type=production": 1, "/keys?q=key_3": 1, "/logs?key=key_3": 1, "/logs?code=key_expired": 0} {
			if got := len(rows(api.ask("GET", list, ""))); got != n {
				t.Errorf("%s lists %d, want %d", list, got, n)
			}
		}
		counts := map[string]any{}
		for _, row := range rows(api.ask("GET", "/categories", "")) {
			counts[fmt.Sprint(row["name"])] = row["keys"]
		}
		if fmt.Sprint(counts) != "map[development:0 partner:5 production:1 staging:0]" {
			t.Errorf("%v", counts)
		}
	})
}

func TestTwoCallersWhoChangeDifferentFieldsKeepBothChanges(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
		key, _ := app.Key(project, models.KeyInput{Name: "one"})
		path := fmt.Sprintf("/keys/%d", key.ID)
		for round := range 5 {
			var both sync.WaitGroup
			for _, body := range []string{fmt.Sprintf(`{"description":"round %d"}`, round), fmt.Sprintf(`{"quotas":{"daily":%d}}`, round+1)} {
				both.Go(func() { api.ask("PATCH", path, body) })
			}
			both.Wait()
			reply := api.ask("GET", path, "")
			quotas, _ := reply.Body["quotas"].(map[string]any)
			if reply.Body["description"] != fmt.Sprintf("round %d", round) || quotas["daily"] != float64(round+1) {
				t.Fatalf("round %d: %v", round, reply.Body)
			}
		}
	})
}

func TestAServiceTokenHasSoManyRequestsInAMinute(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		busy, other := newClient(t, app, project), newClient(t, app, project)
		first := busy.ask("GET", "/categories", "")
		if first.Header.Get("RateLimit") != `"api";r=599;t=1` || first.Header.Get("RateLimit-Policy") != `"api";q=600;w=60` {
			t.Errorf("%v", first.Header)
		}
		for range 599 {
			if reply := busy.ask("GET", "/categories", ""); reply.Status != http.StatusOK {
				t.Fatalf("%d %v", reply.Status, reply.Body)
			}
		}
		reply := busy.ask("GET", "/categories", "")
		if reply.Status != 429 || reply.Code() != "rate_limited" || reply.Header.Get("Retry-After") != "1" || !strings.Contains(reply.Header.Get("RateLimit"), "r=0;t=60") {
			t.Errorf("%d %v %v", reply.Status, reply.Body, reply.Header)
		}
		if reply := other.ask("GET", "/categories", ""); reply.Status != 200 {
			t.Errorf("another token is held up: %d", reply.Status)
		}
		app.Clock.Advance(time.Second)
		for n := range 11 {
			if reply, want := busy.ask("GET", "/categories", ""), n < 10; (reply.Status == 200) != want {
				t.Errorf("request %d after a second gives %d", n+1, reply.Status)
			}
		}
	})
}

func TestTheUseOfATokenByTheAPIIsNoted(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := newClient(t, app, project)
		api.ask("GET", "/keys", "")
		app.Flush()
		list, err := app.Store.ServiceTokens(t.Context(), project.ID)
		if err != nil || list[0].LastUsedAt == nil || !list[0].LastUsedAt.Equal(app.Clock.Now()) {
			t.Errorf("%+v %v", list, err)
		}
	})
}
