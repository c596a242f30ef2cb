package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// New routes are covered automatically: they must refuse callers without a token of the project with their scope.
func TestEveryAPIRouteRefusesAStranger(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, _ := app.World()
		bob, _ := app.SignUp("bob@example.com")
		his, _, _ := app.Project(bob, "his")
		foreign := app.Client(his)
		revoked := app.Client(w.Project)
		app.Exec("UPDATE service_tokens SET revoked_at = ? WHERE id = (SELECT MAX(id) FROM service_tokens)",
			app.Clock.Now())
		app.Gate.Invalidate(models.Change{Kind: "service_token"})
		for _, route := range app.Handlers.API.Routes() {
			if route.Scope == api.NoToken {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(models.AllScopes),
				func(s models.Scope) bool { return s == route.Scope })
			lacking := app.Client(w.Project, others...)
			for _, project := range []string{"shop", fmt.Sprint(w.Project.ID)} {
				path := w.Path(route.Path, project, "")
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
					{"another project's token", call(foreign.Token), 401, "token_invalid",
						`Bearer error="invalid_token"`},
					{"a revoked token", call(revoked.Token), 401, "token_invalid", `Bearer error="invalid_token"`},
					{"every scope but the right one", call(lacking.Token), 403, "token_scope", ""},
				} {
					if c.reply.Status != c.status || c.reply.Code() != c.code ||
						c.reply.Header.Get("WWW-Authenticate") != c.header {
						t.Errorf("%s %s with %s: %d %v %q", route.Method, path, c.what, c.reply.Status, c.reply.Body,
							c.reply.Header.Get("WWW-Authenticate"))
					}
					if c.code == "token_scope" && (!strings.Contains(fmt.Sprint(c.reply.Body["error"]),
						string(route.Scope)) || c.reply.Field("scope") != string(route.Scope)) {
						t.Errorf("%s does not name the scope: %v", path, c.reply.Body)
					}
					if len(c.reply.Body) == 0 || c.reply.Body["request_id"] == "" || c.reply.Body["error"] == "" {
						t.Errorf("%s: %v", path, c.reply.Body)
					}
				}
			}
			// A token of one's own project opens nothing in another one.
			if strings.Count(route.Path, ":") > 1 {
				path := w.Path(route.Path, "his", "")
				body := ""
				if route.Method == http.MethodPatch {
					body = `{"name":"x"}`
				} else if strings.HasSuffix(path, "/merge") {
					body = `{"into":1}`
				}
				if reply := app.Call(route.Method, path, body,
					"Authorization", "Bearer "+foreign.Token); reply.Status != 404 {
					t.Errorf("%s %s through the stranger's own project: %d %v", route.Method, path, reply.Status,
						reply.Body)
				}
			}
		}
		if key, err := app.Store.Key(t.Context(), w.Project.ID, w.Key.ID); err != nil ||
			key.State != models.StateActive || key.Name != "one" || key.Version != 1 {
			t.Errorf("a stranger changed something: %+v %v", key, err)
		}
		if page, err := app.Store.Keys(t.Context(), w.Project.ID, models.KeyFilter{Limit: 10}); err != nil ||
			len(page.Keys) != 2 {
			t.Errorf("a stranger made something: %d keys, %v", len(page.Keys), err)
		}
	})
}

func TestUnknownAddressesAndMethodsOfTheAPIAreAnsweredInJSON(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
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
			reply := app.Call(c.method, c.path, "", "Authorization", "Bearer "+api.Token)
			if reply.Status != c.status || reply.Code() != c.code || reply.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %d %v, Allow %q", c.method, c.path, reply.Status, reply.Body,
					reply.Header.Get("Allow"))
			}
		}
	})
}

func TestTheRateOfAServiceTokenIsLimited(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		busy, other := app.Client(project), app.Client(project)
		first := busy.Ask("GET", "/categories", "")
		if first.Header.Get("RateLimit") != `"api";r=599;t=1` ||
			first.Header.Get("RateLimit-Policy") != `"api";q=600;w=60` {
			t.Errorf("%v", first.Header)
		}
		for range 599 {
			if reply := busy.Ask("GET", "/categories", ""); reply.Status != http.StatusOK {
				t.Fatalf("%d %v", reply.Status, reply.Body)
			}
		}
		reply := busy.Ask("GET", "/categories", "")
		if reply.Status != 429 || reply.Code() != "rate_limited" || reply.Header.Get("Retry-After") != "1" ||
			!strings.Contains(reply.Header.Get("RateLimit"), "r=0;t=60") {
			t.Errorf("%d %v %v", reply.Status, reply.Body, reply.Header)
		}
		if reply := other.Ask("GET", "/categories", ""); reply.Status != 200 {
			t.Errorf("another token is held up: %d", reply.Status)
		}
		app.Clock.Advance(time.Second)
		for n := range 11 {
			if reply, want := busy.Ask("GET", "/categories", ""), n < 10; (reply.Status == 200) != want {
				t.Errorf("request %d after a second gives %d", n+1, reply.Status)
			}
		}
	})
}

func TestTheLastUseOfATokenIsRecorded(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		api.Ask("GET", "/keys", "")
		app.Flush()
		list, err := app.Store.ServiceTokens(t.Context(), project.ID)
		if err != nil || list[0].LastUsedAt == nil || !list[0].LastUsedAt.Equal(app.Clock.Now()) {
			t.Errorf("%+v %v", list, err)
		}
	})
}
