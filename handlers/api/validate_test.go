package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

var tester = testkit.Actor(1)

// Checks 2 to 6 of product.md, section 3, each way of giving the key.
func TestValidateAnswersByTheTableOfChecks(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, good := app.Project(user, "shop")
		_, _, foreign := app.Project(user, "other")
		result := app.Setup("third")

		soon := app.Clock.Now().Add(time.Minute)
		_, expired := app.Key(project, models.KeyInput{Name: "expired", ExpiresAt: &soon})
		inactiveKey, inactive := app.Key(project, models.KeyInput{Name: "inactive"})
		revokedKey, revoked := app.Key(project, models.KeyInput{Name: "revoked", Type: models.TypeTest})
		bothKey, both := app.Key(project, models.KeyInput{Name: "inactive_and_expired", ExpiresAt: &soon})
		endedKey, ended := app.Key(project, models.KeyInput{Name: "ended_version"})
		app.ChangeState(inactiveKey, models.ActionDeactivate)
		app.ChangeState(revokedKey, models.ActionRevoke)
		app.ChangeState(bothKey, models.ActionDeactivate)
		app.Exec("UPDATE key_versions SET ends_at = ? WHERE key_id = ?", soon, endedKey.ID)
		app.Clock.Advance(time.Minute)

		for _, c := range []struct {
			name    string
			key     string
			status  int
			error   string
			code    string
			version string // "" where no key is known, so that no header tells of one
		}{
			{"admitted", good, 200, "", "valid", "1"},
			{"no key", "", 401, "Missing API Key", "key_missing", ""},
			{"malformed", "hello", 401, "Invalid API Key", "key_invalid", ""},
			{"a typo", good[:len(good)-1] + "_", 401, "Invalid API Key", "key_invalid", ""},
			{"well formed and unknown", testkit.UnknownSecret(t, 1), 401, "Invalid API Key", "key_invalid", ""},
			{"of another project", foreign, 401, "Invalid API Key", "key_invalid", ""},
			{"a service token", result.ServiceToken.Plain(), 401, "Invalid API Key", "key_invalid", ""},
			{"revoked", revoked, 401, "Revoked API Key", "key_revoked", "1"},
			{"an ended version", ended, 401, "Revoked API Key", "key_revoked", "1"},
			{"inactive", inactive, 401, "Inactive API Key", "key_inactive", "1"},
			{"inactive and expired: the first check answers", both, 401, "Inactive API Key", "key_inactive", "1"},
			{"expired", expired, 401, "Expired API Key", "key_expired", "1"},
		} {
			t.Run(c.name, func(t *testing.T) {
				path := "/v1/projects/shop/validate"
				body, err := json.Marshal(map[string]string{"key": c.key})
				if err != nil {
					t.Fatal(err)
				}
				forms := map[string]testkit.Reply{
					"X-API-Key": app.Call("GET", path, "", "X-API-Key", c.key),
					"JSON body": app.Call("POST", path, string(body)),
					"by project id": app.Call("PUT", fmt.Sprintf("/v1/projects/%d/validate", project.ID), "",
						"X-API-Key", c.key),
				}
				if !models.LooksLikeServiceToken(c.key) { // as a bearer it is one, and not a key
					forms["Bearer"] = app.Call("DELETE", path, "", "Authorization", "bearer "+c.key)
				}
				for form, reply := range forms {
					if reply.Status != c.status || reply.Code() != c.code ||
						reply.Body["valid"] != (c.code == "valid") {
						t.Errorf("%s: %d %v", form, reply.Status, reply.Body)
					}
					if message, _ := reply.Body["error"].(string); message != c.error {
						t.Errorf("%s: error %q, want %q", form, message, c.error)
					}
					if reply.Body["request_id"] != reply.Header.Get("X-Request-ID") || reply.Body["request_id"] == "" {
						t.Errorf("%s: request id %v in the body, %q in the header", form, reply.Body["request_id"],
							reply.Header.Get("X-Request-ID"))
					}
					if got := reply.Header.Get("X-API-Key-Version"); got != c.version {
						t.Errorf("%s: X-API-Key-Version %q, want %q", form, got, c.version)
					}
				}
			})
		}
	})
}

func TestWhatComesBeforeTheChecks(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		other := app.Setup("other")
		key, path := result.Key.Plain(), "/v1/projects/shop/validate"
		weak := app.Setup("weak")
		app.Exec("UPDATE service_tokens SET scopes = 'keys:read report' WHERE project_id = ?", weak.Project.ID)

		gone := app.Setup("gone")
		app.Exec("UPDATE service_tokens SET revoked_at = ? WHERE project_id = ?", app.Clock.Now(), gone.Project.ID)

		for _, c := range []struct {
			name, path, body string
			headers          []string
			status           int
			code, field      string
		}{
			{"unknown slug", "/v1/projects/nope/validate", "", nil, 404, "project_unknown", ""},
			{"unknown id", "/v1/projects/999/validate", "", nil, 404, "project_unknown", ""},
			{"the project goes before the body", "/v1/projects/nope/validate", "{", nil, 404, "project_unknown", ""},
			{"a very long project", "/v1/projects/" + strings.Repeat("a", 5000) + "/validate", "", nil, 404,
				"project_unknown", ""},
			{"no JSON", path, `{"key":`, nil, 400, "bad_request", ""},
			{"two values", path, `{} {}`, nil, 400, "bad_request", ""},
			{"an array", path, `[]`, nil, 400, "bad_request", ""},
			{"unknown field", path, `{"kye":"x"}`, nil, 400, "bad_request", "kye"},
			{"key is no string", path, `{"key":7}`, nil, 400, "bad_request", "key"},
			{"credits are no number", path, `{"credits":"7"}`, nil, 400, "bad_request", "credits"},
			{"credits are no whole number", path, `{"credits":1.5}`, nil, 400, "bad_request", "credits"},
			{"credits below zero", path, `{"credits":-1}`, nil, 400, "bad_request", "credits"},
			{"no IP address", path, `{"ip":"localhost"}`, nil, 400, "bad_request", "ip"},
			{"another platform", path, `{"platform":"windows"}`, nil, 400, "bad_request", "platform"},
			{"over 16 KiB", path, `{"key":"` + strings.Repeat("x", 16<<10) + `"}`, nil, 413, "too_large", ""},
			{"a token with a typo", path, "", []string{"Authorization", "Bearer clv_svc_x"}, 401, "token_invalid", ""},
			{"a token of another project", path, "", []string{"Authorization", "Bearer " + other.ServiceToken.Plain()},
				401, "token_invalid", ""},
			{"a token without the scope", "/v1/projects/weak/validate", "",
				[]string{"Authorization", "Bearer " + weak.ServiceToken.Plain()}, 403, "token_scope", ""},
			{"a revoked token", "/v1/projects/gone/validate", "",
				[]string{"Authorization", "Bearer " + gone.ServiceToken.Plain()}, 401, "token_invalid", ""},
			{"a good token and no key", path, "", []string{"Authorization", "Bearer " + result.ServiceToken.Plain()},
				401, "key_missing", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				headers := c.headers
				if headers == nil {
					headers = []string{"X-API-Key", key}
				}
				reply := app.Call(http.MethodPost, c.path, c.body, headers...)
				if reply.Status != c.status || reply.Code() != c.code || reply.Body["valid"] != false {
					t.Fatalf("%d %v", reply.Status, reply.Body)
				}
				fields, _ := reply.Body["fields"].(map[string]any)
				if c.field != "" && fields[c.field] == nil {
					t.Errorf("no message at %s: %v", c.field, reply.Body)
				}
			})
		}
		t.Run("a bad token spoils a good key", func(t *testing.T) {
			if reply := app.Validate("shop", key,
				"Authorization", "Bearer clv_svc_x"); reply.Code() != "token_invalid" {
				t.Errorf("%v", reply.Body)
			}
		})
		t.Run("a bearer of something else does not", func(t *testing.T) {
			if reply := app.Validate("shop", key,
				"Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"); reply.Code() != "valid" {
				t.Errorf("%v", reply.Body)
			}
		})
		t.Run("a body of another content type is not read", func(t *testing.T) {
			reply := app.Call("POST", path, "{nonsense", "X-API-Key", key, "Content-Type", "text/plain")
			if reply.Code() != "valid" {
				t.Errorf("%v", reply.Body)
			}
		})
		t.Run("a gateway that leaves the content type but no body", func(t *testing.T) {
			if reply := app.Validate("shop", key, "Content-Type", "application/json"); reply.Code() != "valid" {
				t.Errorf("%v", reply.Body)
			}
		})
	})
}

func TestTheReplyDescribesTheKey(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		expires := app.Clock.Now().Add(time.Hour)
		key, secret := app.Key(project, models.KeyInput{Name: "server_prod", Type: models.TypeTest,
			Category: "Größe; \"x\" 100%", ExpiresAt: &expires})
		reply := app.Validate("shop", secret)
		want := map[string]any{
			"id": float64(key.ID), "name": "server_prod", "type": "test", "category": "Größe; \"x\" 100%",
			"version":    1.0,
			"expires_at": expires.Format(time.RFC3339),
		}
		if got := fmt.Sprint(reply.Body["key"]); got != fmt.Sprint(any(want)) {
			t.Errorf("key %v, want %v", got, want)
		}
		if reply.Body["credits"] != 1.0 {
			t.Errorf("credits %v", reply.Body["credits"])
		}
		for name, value := range map[string]string{
			"X-API-Key-Version": "1", "X-Claviger-Project": "shop", "X-Claviger-Key-Id": fmt.Sprint(key.ID),
			"X-Claviger-Key-Name": "server_prod",
			"X-Claviger-Key-Type": "test", "X-Claviger-Category": "Gr%C3%B6%C3%9Fe%3B%20%22x%22%20100%25",
		} {
			if got := reply.Header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		app.ChangeState(key, models.ActionDeactivate)
		if reply = app.Validate("shop", secret); reply.Header.Get("X-Claviger-Key-Name") != "server_prod" {
			t.Error("a rejection of a known key does not name it")
		}
	})
}

// What a caller says about the consumer's request is believed only with a service token or from a trusted proxy.
func TestContextIsBelievedFromTrustedCallersOnly(t *testing.T) {
	const body = `{"key":"%s","ip":"203.0.113.9","method":"PUT","path":"/orders/7?token=secret",` +
		`"credits":5,"session":"s1"}`
	claimed := requestlog.Row{IP: "203.0.113.9", Method: "PUT", Path: "/orders/7", Credits: 5}
	own := requestlog.Row{IP: "127.0.0.1", Method: "POST", Path: "/v1/projects/shop/validate", Credits: 1}
	nginx := []string{"X-Original-Method", "PUT", "X-Original-URI", "/orders/7?token=secret",
		"X-Forwarded-For", "10.0.0.1, 203.0.113.9"}
	traefik := []string{"X-Forwarded-Method", "PUT", "X-Forwarded-Uri", "/orders/7?token=secret",
		"X-Forwarded-For", "203.0.113.9"}

	run := func(t *testing.T, app *testkit.App, body string, headers []string, want requestlog.Row) {
		t.Helper()
		reply := app.Call("POST", "/v1/projects/shop/validate", body, headers...)
		if reply.Status != 200 {
			t.Fatalf("%v", reply.Body)
		}
		app.Flush()
		id, ok := requestlog.ParseID(fmt.Sprint(reply.Body["request_id"]))
		if !ok {
			t.Fatal(reply.Body)
		}
		got, err := app.Store.RequestLog(t.Context(), 1, id)
		if err != nil {
			t.Fatal(err)
		}
		if got.IP != want.IP || got.Method != want.Method || got.Path != want.Path || got.Credits != want.Credits {
			t.Errorf("logged %s %s %s %d, want %s %s %s %d", got.IP, got.Method, got.Path, got.Credits, want.IP,
				want.Method, want.Path, want.Credits)
		}
	}
	headersOnly := claimed
	headersOnly.Credits = 1
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		json := fmt.Sprintf(body, result.Key.Plain())
		token := []string{"Authorization", "Bearer " + result.ServiceToken.Plain()}
		key := []string{"X-API-Key", result.Key.Plain()}
		t.Run("a stranger's body", func(t *testing.T) { run(t, app, json, nil, own) })
		t.Run("a stranger's body and headers", func(t *testing.T) { run(t, app, json, append(nginx, traefik...), own) })
		t.Run("a stranger's headers", func(t *testing.T) { run(t, app, "", append(nginx, key...), own) })
		t.Run("a token's body", func(t *testing.T) { run(t, app, json, token, claimed) })
		t.Run("a token that says nothing", func(t *testing.T) {
			run(t, app, `{"key":"`+result.Key.Plain()+`"}`, token, own)
		})
		t.Run("a token's headers, nginx",
			func(t *testing.T) { run(t, app, "", append(append(nginx, key...), token...), headersOnly) })
		t.Run("a token's headers, Traefik",
			func(t *testing.T) { run(t, app, "", append(append(traefik, key...), token...), headersOnly) })
	})
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		key := []string{"X-API-Key", result.Key.Plain()}
		t.Run("a proxy's body", func(t *testing.T) { run(t, app, fmt.Sprintf(body, result.Key.Plain()), nil, claimed) })
		seen := claimed
		seen.IP = "198.51.100.1"
		t.Run("a client's body through a proxy that says who it is", func(t *testing.T) {
			run(t, app, fmt.Sprintf(body, result.Key.Plain()), []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.1"},
				seen)
		})
		t.Run("a proxy's headers", func(t *testing.T) { run(t, app, "", append(nginx, key...), headersOnly) })
		t.Run("a client's body through a proxy that says what it asks for", func(t *testing.T) {
			other := claimed
			other.Method, other.Path = "DELETE", "/real"
			run(t, app, fmt.Sprintf(body, result.Key.Plain()),
				[]string{"X-Original-Method", "DELETE", "X-Original-URI", "/real"}, other)
		})
		token := []string{"Authorization", "Bearer " + result.ServiceToken.Plain()}
		t.Run("a token's body through a proxy", func(t *testing.T) {
			run(t, app, fmt.Sprintf(body, result.Key.Plain()), append([]string{"X-Original-Method", "DELETE"},
				token...), claimed)
		})
		t.Run("a client's headers beside the proxy's", func(t *testing.T) {
			neither := own
			neither.IP = "198.51.100.1"
			headers := []string{"X-Original-Method", "FAKE", "X-Original-URI", "/fake",
				"X-Forwarded-Method", "PUT", "X-Forwarded-Uri", "/orders/7", "X-Forwarded-For", "198.51.100.1"}
			run(t, app, "", append(headers, key...), neither)
			run(t, app, `{"key":"`+result.Key.Plain()+`","method":"FAKE","path":"/fake"}`, headers, neither)
		})
		t.Run("a token through a proxy, whose chain a client can begin", func(t *testing.T) {
			headers := []string{"X-Original-Method", "PUT", "X-Original-URI", "/orders/7",
				"X-Forwarded-For", "203.0.113.9, 198.51.100.1"}
			run(t, app, "", append(append(headers, key...), token...),
				requestlog.Row{IP: "198.51.100.1", Method: "PUT", Path: "/orders/7", Credits: 1})
		})
	}, testkit.TrustLoopback)
}

func TestAChangeHoldsForTheNextRequest(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, browser := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, secret := app.Key(project, models.KeyInput{Name: "one"})
		for range 20 {
			for _, step := range []struct{ act, code string }{{"deactivate", "key_inactive"}, {"activate", "valid"}} {
				if page := browser.Post(testkit.KeyPath(project, key)+"/"+step.act, nil); page.Status != 200 {
					t.Fatalf("%s: %d", step.act, page.Status)
				}
				if code := app.Validate("shop", secret).Code(); code != step.code {
					t.Fatalf("after %s the next request is %s", step.act, code)
				}
			}
		}
	})
}

// arriving is a body that calls before on its first read, for example to move the clock.
type arriving struct {
	io.Reader
	before func()
}

func (a *arriving) Read(p []byte) (int, error) {
	if a.before != nil {
		a.before()
		a.before = nil
	}
	return a.Reader.Read(p)
}

// A caller that delays its body must not be checked with an earlier time.
func TestARequestIsCheckedAtTheTimeItsBodyIsComplete(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		soon := app.Clock.Now().Add(time.Minute)
		_, expiring := app.Key(project, models.KeyInput{Name: "expiring", ExpiresAt: &soon})
		_, daily := app.Key(project, models.KeyInput{Name: "daily", Quotas: models.Quotas{Daily: number(1)}})
		late := func(key string) testkit.Reply {
			body := &arriving{strings.NewReader(`{"key":"` + key + `"}`), func() { app.Clock.Advance(2 * time.Minute) }}
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest("POST", "/v1/projects/shop/validate", body)
			request.Header.Set("Content-Type", "application/json")
			app.Server.Config.Handler.ServeHTTP(recorder, request)
			reply := testkit.Reply{Status: recorder.Code, Header: recorder.Header()}
			if err := json.Unmarshal(recorder.Body.Bytes(), &reply.Body); err != nil {
				t.Fatal(err)
			}
			return reply
		}
		if code := late(expiring).Code(); code != "key_expired" {
			t.Errorf("a key that expired before the body was there: %s", code)
		}
		began := app.Clock.Now()
		reply := late(daily)
		app.Flush()
		id, _ := requestlog.ParseID(fmt.Sprint(reply.Body["request_id"]))
		row, err := app.Store.RequestLog(t.Context(), project.ID, id)
		if err != nil || reply.Code() != "valid" || reply.Header.Get("X-Request-Id") != id.String() {
			t.Fatalf("%v %v, %v", reply.Header, reply.Body, err)
		}
		// After a restart it counts from the minute of its row.
		if got := row.ID.Time(); got.Before(app.Clock.Now()) {
			t.Errorf("the row of a request that was there at %s says %s", app.Clock.Now(), got)
		}
		if took := time.Duration(row.DurationUs) * time.Microsecond; took < app.Clock.Now().Sub(began) {
			t.Errorf("it took %s", took)
		}
	})
}

func TestValidateAcceptsAnyMethodAndSlugOrID(t *testing.T) {
	app := testkit.NewApp(t, t.TempDir()+"/claviger.db")
	result := app.Setup("shop")
	for ref, want := range map[string]int{"shop": 200, "1": 200, "01": 404, "+1": 404, "%2B1": 404, "Shop": 404} {
		if reply := app.Validate(ref, result.Key.Plain()); reply.Status != want {
			t.Errorf("project %s: %d", ref, reply.Status)
		}
	}
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "PROPFIND", "QUERY", "PURGE", "BREW"} {
		reply := app.Call(method, "/v1/projects/shop/validate", "", "X-API-Key", result.Key.Plain())
		if reply.Status != 200 || method != "HEAD" && reply.Code() != "valid" {
			t.Errorf("%s: %d %v", method, reply.Status, reply.Body)
		}
		if got := reply.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: an answer may be kept: %q", method, got)
		}
	}
}

// A caller may close its side of the connection and still read: net/http takes that for its end.
func TestACanceledRequestIsNotAdmitted(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		// whose use has to be read
		_, secret := app.Key(project, models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: number(5)}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, path := range []string{"/v1/projects/shop/validate", "/v1/usage"} {
			recorder := httptest.NewRecorder()
			request := httptest.NewRequestWithContext(ctx, "GET", path, nil)
			request.Header.Set("X-Api-Key", secret)
			app.Server.Config.Handler.ServeHTTP(recorder, request)
			if recorder.Code != 503 {
				t.Errorf("%s: %d %s", path, recorder.Code, recorder.Body)
			}
		}
	})
}
