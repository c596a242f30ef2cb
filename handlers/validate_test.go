package handlers_test

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
	"unicode/utf8"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

var tester = testkit.Actor(1)

// eachApp runs a test against the whole service on each database.
func eachApp(t *testing.T, test func(t *testing.T, app *testkit.App), options ...testkit.Option) {
	testkit.EachDatabase(t, func(t *testing.T, url string) { test(t, testkit.NewApp(t, url, options...)) })
}

func changeState(t *testing.T, app *testkit.App, key *models.Key, action models.KeyAction) {
	t.Helper()
	if _, err := app.Store.ChangeKeyState(t.Context(), key.ProjectID, key.ID, tester, action); err != nil {
		t.Fatal(err)
	}
}

// setup makes a project with everything a script gets.
func setup(t *testing.T, app *testkit.App, slug string) *models.SetupResult {
	t.Helper()
	result, err := app.Store.Setup(t.Context(), "ada@example.com", testkit.Password, slug)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Checks 2 to 6 of product.md, section 3, each way of giving the key.
func TestValidateAnswersByTheTableOfChecks(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, good := app.Project(user, "shop")
		_, _, foreign := app.Project(user, "other")
		result := setup(t, app, "third")

		soon := app.Clock.Now().Add(time.Minute)
		_, expired := app.Key(project, models.KeyInput{Name: "expired", ExpiresAt: &soon})
		inactiveKey, inactive := app.Key(project, models.KeyInput{Name: "inactive"})
		revokedKey, revoked := app.Key(project, models.KeyInput{Name: "revoked", Type: models.TypeTest})
		bothKey, both := app.Key(project, models.KeyInput{Name: "inactive_and_expired", ExpiresAt: &soon})
		endedKey, ended := app.Key(project, models.KeyInput{Name: "ended_version"})
		changeState(t, app, inactiveKey, models.ActionDeactivate)
		changeState(t, app, revokedKey, models.ActionRevoke)
		changeState(t, app, bothKey, models.ActionDeactivate)
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
					"X-API-Key":     app.Call("GET", path, "", "X-API-Key", c.key),
					"JSON body":     app.Call("POST", path, string(body)),
					"by project id": app.Call("PUT", fmt.Sprintf("/v1/projects/%d/validate", project.ID), "", "X-API-Key", c.key),
				}
				if !models.LooksLikeServiceToken(c.key) { // as a bearer it is one, and not a key
					forms["Bearer"] = app.Call("DELETE", path, "", "Authorization", "bearer "+c.key)
				}
				for form, reply := range forms {
					if reply.Status != c.status || reply.Code() != c.code || reply.Body["valid"] != (c.code == "valid") {
						t.Errorf("%s: %d %v", form, reply.Status, reply.Body)
					}
					if message, _ := reply.Body["error"].(string); message != c.error {
						t.Errorf("%s: error %q, want %q", form, message, c.error)
					}
					if reply.Body["request_id"] != reply.Header.Get("X-Request-ID") || reply.Body["request_id"] == "" {
						t.Errorf("%s: request id %v in the body, %q in the header", form, reply.Body["request_id"], reply.Header.Get("X-Request-ID"))
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
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		other := setup(t, app, "other")
		key, path := result.Key.Plain(), "/v1/projects/shop/validate"
		weak := setup(t, app, "weak")
		app.Exec("UPDATE service_tokens SET scopes = 'keys:read report' WHERE project_id = ?", weak.Project.ID)

		gone := setup(t, app, "gone")
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
			{"a very long project", "/v1/projects/" + strings.Repeat("a", 5000) + "/validate", "", nil, 404, "project_unknown", ""},
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
			{"a token of another project", path, "", []string{"Authorization", "Bearer " + other.ServiceToken.Plain()}, 401, "token_invalid", ""},
			{"a token without the scope", "/v1/projects/weak/validate", "", []string{"Authorization", "Bearer " + weak.ServiceToken.Plain()}, 403, "token_scope", ""},
			{"a revoked token", "/v1/projects/gone/validate", "", []string{"Authorization", "Bearer " + gone.ServiceToken.Plain()}, 401, "token_invalid", ""},
			{"a good token and no key", path, "", []string{"Authorization", "Bearer " + result.ServiceToken.Plain()}, 401, "key_missing", ""},
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
			if reply := app.Validate("shop", key, "Authorization", "Bearer clv_svc_x"); reply.Code() != "token_invalid" {
				t.Errorf("%v", reply.Body)
			}
		})
		t.Run("a bearer of something else does not", func(t *testing.T) {
			if reply := app.Validate("shop", key, "Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"); reply.Code() != "valid" {
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

func TestTheReplyTellsWhoseKeyItIs(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		expires := app.Clock.Now().Add(time.Hour)
		key, secret := app.Key(project, models.KeyInput{Name: "server_prod", Type: models.TypeTest, Category: "Größe; \"x\" 100%", ExpiresAt: &expires})
		reply := app.Validate("shop", secret)
		want := map[string]any{
			"id": float64(key.ID), "name": "server_prod", "type": "test", "category": "Größe; \"x\" 100%", "version": 1.0,
			"expires_at": expires.Format(time.RFC3339),
		}
		if got := fmt.Sprint(reply.Body["key"]); got != fmt.Sprint(any(want)) {
			t.Errorf("key %v, want %v", got, want)
		}
		if reply.Body["credits"] != 1.0 {
			t.Errorf("credits %v", reply.Body["credits"])
		}
		for name, value := range map[string]string{
			"X-API-Key-Version": "1", "X-Claviger-Project": "shop", "X-Claviger-Key-Id": fmt.Sprint(key.ID), "X-Claviger-Key-Name": "server_prod",
			"X-Claviger-Key-Type": "test", "X-Claviger-Category": "Gr%C3%B6%C3%9Fe%3B%20%22x%22%20100%25",
		} {
			if got := reply.Header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		changeState(t, app, key, models.ActionDeactivate)
		if reply = app.Validate("shop", secret); reply.Header.Get("X-Claviger-Key-Name") != "server_prod" {
			t.Error("a rejection of a known key does not name it")
		}
	})
}

// What a caller says of the request behind its own is believed with a service token or from a trusted proxy only.
func TestContextIsBelievedFromTrustedCallersOnly(t *testing.T) {
	const body = `{"key":"%s","ip":"203.0.113.9","method":"PUT","path":"/orders/7?token=secret","credits":5,"session":"s1"}`
	claimed := requestlog.Row{IP: "203.0.113.9", Method: "PUT", Path: "/orders/7", Credits: 5}
	own := requestlog.Row{IP: "127.0.0.1", Method: "POST", Path: "/v1/projects/shop/validate", Credits: 1}
	nginx := []string{"X-Original-Method", "PUT", "X-Original-URI", "/orders/7?token=secret", "X-Forwarded-For", "10.0.0.1, 203.0.113.9"}
	traefik := []string{"X-Forwarded-Method", "PUT", "X-Forwarded-Uri", "/orders/7?token=secret", "X-Forwarded-For", "203.0.113.9"}

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
			t.Errorf("logged %s %s %s %d, want %s %s %s %d", got.IP, got.Method, got.Path, got.Credits, want.IP, want.Method, want.Path, want.Credits)
		}
	}
	headersOnly := claimed
	headersOnly.Credits = 1
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
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
		t.Run("a token's headers, nginx", func(t *testing.T) { run(t, app, "", append(append(nginx, key...), token...), headersOnly) })
		t.Run("a token's headers, Traefik", func(t *testing.T) { run(t, app, "", append(append(traefik, key...), token...), headersOnly) })
	})
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		key := []string{"X-API-Key", result.Key.Plain()}
		t.Run("a proxy's body", func(t *testing.T) { run(t, app, fmt.Sprintf(body, result.Key.Plain()), nil, claimed) })
		seen := claimed
		seen.IP = "198.51.100.1"
		t.Run("a client's body through a proxy that says who it is", func(t *testing.T) {
			run(t, app, fmt.Sprintf(body, result.Key.Plain()), []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.1"}, seen)
		})
		t.Run("a proxy's headers", func(t *testing.T) { run(t, app, "", append(nginx, key...), headersOnly) })
		t.Run("a client's body through a proxy that says what it asks for", func(t *testing.T) {
			other := claimed
			other.Method, other.Path = "DELETE", "/real"
			run(t, app, fmt.Sprintf(body, result.Key.Plain()), []string{"X-Original-Method", "DELETE", "X-Original-URI", "/real"}, other)
		})
		token := []string{"Authorization", "Bearer " + result.ServiceToken.Plain()}
		t.Run("a token's body through a proxy", func(t *testing.T) {
			run(t, app, fmt.Sprintf(body, result.Key.Plain()), append([]string{"X-Original-Method", "DELETE"}, token...), claimed)
		})
		t.Run("a client's headers beside the proxy's", func(t *testing.T) {
			neither := own
			neither.IP = "198.51.100.1"
			headers := []string{"X-Original-Method", "FAKE", "X-Original-URI", "/fake", "X-Forwarded-Method", "PUT", "X-Forwarded-Uri", "/orders/7", "X-Forwarded-For", "198.51.100.1"}
			run(t, app, "", append(headers, key...), neither)
			run(t, app, `{"key":"`+result.Key.Plain()+`","method":"FAKE","path":"/fake"}`, headers, neither)
		})
		t.Run("a token through a proxy, whose chain a client can begin", func(t *testing.T) {
			headers := []string{"X-Original-Method", "PUT", "X-Original-URI", "/orders/7", "X-Forwarded-For", "203.0.113.9, 198.51.100.1"}
			run(t, app, "", append(append(headers, key...), token...), requestlog.Row{IP: "198.51.100.1", Method: "PUT", Path: "/orders/7", Credits: 1})
		})
	}, testkit.TrustLoopback)
}

func TestAChangeHoldsForTheNextRequest(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
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

func TestAMalformedKeyCostsNoQueryAndAKnownOneNoneOnceSeen(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		_, _, secret := app.Project(user, "shop")
		app.Validate("shop", secret)
		app.Flush()
		before := app.Queries.Load()
		typo := secret[:len(secret)-2] + "__"
		for range 50 {
			app.Validate("shop", typo)
		}
		if n := app.Queries.Load() - before; n != 0 {
			t.Errorf("50 malformed keys cost %d statements", n)
		}
		unknown := testkit.UnknownSecret(t, 1)
		for range 50 {
			app.Validate("shop", unknown)
		}
		if n := app.Queries.Load() - before; n != 1 {
			t.Errorf("50 requests with one unknown key cost %d statements", n)
		}
	})
}

func TestEveryRequestWithAKnownKeyIsLogged(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, key, secret := app.Project(user, "shop")
		inactiveKey, inactive := app.Key(project, models.KeyInput{Name: "off", Category: "partner"})
		changeState(t, app, inactiveKey, models.ActionDeactivate)
		app.Validate("shop", secret, "X-Session-ID", "abc")
		app.Validate("shop", inactive)
		app.Validate("shop", "nonsense")
		app.Validate("shop", testkit.UnknownSecret(t, 1))
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), project.ID, models.LogFilter{Limit: 10})
		if err != nil || len(page.Entries) != 2 {
			t.Fatalf("%d rows, %v", len(page.Entries), err)
		}
		rejected, admitted := page.Entries[0], page.Entries[1]
		if admitted.KeyID != key.ID || admitted.Status != 200 || admitted.Credits != 1 || len(admitted.SessionHash) == 0 || admitted.Method != "GET" {
			t.Errorf("%+v", admitted)
		}
		if rejected.KeyID != inactiveKey.ID || rejected.Status != 401 || rejected.Credits != 0 || rejected.Category != "partner" || rejected.SessionHash != nil {
			t.Errorf("%+v", rejected)
		}
	})
}

// Whatever bytes a caller sends, its row must be writable: one that is not would block all rows behind it.
func TestStrangeBytesDoNotStopTheLog(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		token := []string{"X-API-Key", result.Key.Plain(), "Authorization", "Bearer " + result.ServiceToken.Plain()}
		for _, body := range []string{
			`{"path":"/a\u0000b","method":"G\u0000T","session":"\u0000"}`, `{"path":"/\ud800"}`, "{\"path\":\"/\xff\xfe\"}",
			`{"path":"/` + strings.Repeat("ä", 5000) + `"}`, `{"method":"` + strings.Repeat("A", 5000) + `"}`, `{"ip":"fe80::1%eth0"}`,
		} {
			if reply := app.Call("POST", "/v1/projects/shop/validate", body, token...); reply.Status != 200 {
				t.Errorf("%q: %v", body, reply.Body)
			}
		}
		app.Call("GET", "/v1/projects/shop/validate?a=%00%ff", "", "X-API-Key", result.Key.Plain(), "X-Session-ID", "\xff\xfe")
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), result.Project.ID, models.LogFilter{Limit: 50})
		if err != nil || len(page.Entries) != 7 {
			t.Errorf("%d rows, %v", len(page.Entries), err)
		}
	})
}

func FuzzValidateBody(f *testing.F) {
	app := testkit.NewApp(f, f.TempDir()+"/fuzz.db")
	result, err := app.Store.Setup(f.Context(), "ada@example.com", testkit.Password, "shop")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"key":"` + result.Key.Plain() + `","credits":3,"ip":"::1","platform":"ios","bundle_id":"a.b"}`))
	f.Add([]byte(`{"key":null,"credits":1e400}`))
	f.Add([]byte(`{"key":{"key":[]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		app.T = t
		reply := app.Call("POST", "/v1/projects/shop/validate", string(body), "Authorization", "Bearer "+result.ServiceToken.Plain())
		if reply.Status >= 500 || reply.Code() == "" || reply.Body["request_id"] == "" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		if reply.Code() == "valid" && !strings.Contains(string(body), "key") {
			t.Error("admitted without a key")
		}
	})
}

// Whatever bytes stand in the headers that validate reads, the answer is a verdict in JSON, its headers are clean, and the row
// holds what every database takes.
func FuzzValidateHeaders(f *testing.F) {
	app := testkit.NewApp(f, f.TempDir()+"/fuzz.db", testkit.TrustLoopback)
	result, err := app.Store.Setup(f.Context(), "ada@example.com", testkit.Password, "shop")
	if err != nil {
		f.Fatal(err)
	}
	names := []string{
		"X-Api-Key", "Authorization", "X-Original-Method", "X-Original-Uri", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-For",
		"X-Session-Id", "X-Platform", "X-Bundle-Id", "X-Attestation", "Content-Type",
	}
	f.Add(byte(0), result.Key.Plain(), byte(3), "/orders?key=secret")
	f.Add(byte(1), "Bearer "+result.ServiceToken.Plain(), byte(6), "::1, 10.0.0.1")
	f.Add(byte(2), "G\x00ET\r\n", byte(3), strings.Repeat("/é\xff", 400))
	f.Add(byte(8), "IOS", byte(11), "application/json; charset=\xff")
	f.Add(byte(0), "0", byte(4), "/orders?")
	f.Fuzz(func(t *testing.T, first byte, one string, second byte, two string) {
		request := httptest.NewRequest(http.MethodPost, "/v1/projects/shop/validate", strings.NewReader("{}"))
		request.RemoteAddr = "127.0.0.1:1234" // a trusted proxy: what it claims is believed
		request.Header.Set("X-Api-Key", result.Key.Plain())
		request.Header[names[int(first)%len(names)]] = []string{one}
		request.Header[names[int(second)%len(names)]] = []string{two}
		recorder := httptest.NewRecorder()
		app.Server.Config.Handler.ServeHTTP(recorder, request)
		var body map[string]any
		if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil || recorder.Code >= 500 || body["code"] == nil {
			t.Fatalf("%d %s", recorder.Code, recorder.Body)
		}
		for name, values := range recorder.Header() {
			for _, value := range values {
				if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%s is %q", name, value)
				}
			}
		}
		if body["code"] != "valid" {
			return
		}
		app.T = t
		app.Flush()
		id, _ := requestlog.ParseID(fmt.Sprint(body["request_id"]))
		row, err := app.Store.RequestLog(t.Context(), result.Project.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{row.Method, row.Path, row.IP} {
			if len(text) > requestlog.MaxPath || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n") {
				t.Errorf("the row holds %q", text)
			}
		}
		if strings.Contains(row.Path, "?") {
			t.Errorf("the row holds a query: %q", row.Path)
		}
	})
}

func TestARequestForAnUnknownProjectIsCounted(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		for range 2 {
			if reply := app.Validate("nowhere", "nonsense"); reply.Status != 404 || reply.Code() != "project_unknown" {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
		}
		if n := app.Gate.Stats().Verdicts[requestlog.CodeProjectUnknown]; n != 2 {
			t.Errorf("2 verdicts are counted as %d", n)
		}
	})
}

// arriving is a body whose last byte comes when the clock has moved on.
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

// A caller that holds its body back must not be judged by a moment that is past.
func TestTheMomentOfARequestIsThatAtWhichItIsThere(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
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

func TestAnyMethodWillDoAndAProjectHasTwoNames(t *testing.T) {
	app := testkit.NewApp(t, t.TempDir()+"/claviger.db")
	result := setup(t, app, "shop")
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

func TestEveryAnswerIsCountedByItsCode(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		key, token := result.Key.Plain(), "Bearer "+result.ServiceToken.Plain()
		path := "/v1/projects/shop/validate"
		app.Call("POST", path, `{"key":7}`)
		app.Call("POST", path, `{"key":"`+strings.Repeat("x", 16<<10)+`"}`)
		app.Call("POST", path, `{"key":"`+key+`"}`)
		app.Call("POST", path, `{"key":"`+key+`","dry_run":true}`, "Authorization", token) // counts nothing
		app.Exec("ALTER TABLE key_versions RENAME TO elsewhere")                           // the database is no good
		reply := app.Call("POST", path, `{"key":"`+testkit.UnknownSecret(t, 1)+`"}`)
		if reply.Status != 503 || reply.Code() != "unavailable" || reply.Header.Get("Retry-After") != "1" || reply.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		counted := app.Gate.Stats().Verdicts
		for code, want := range map[requestlog.Code]uint64{requestlog.CodeBadRequest: 1, requestlog.CodeTooLarge: 1, requestlog.CodeValid: 1, requestlog.CodeUnavailable: 1} {
			if counted[code] != want {
				t.Errorf("%s is counted %d times, want %d", code, counted[code], want)
			}
		}
	})
}

// A caller may close its side of the connection and still read: net/http takes that for its end.
func TestACallerThatSeemsToBeGoneIsAdmittedToNothing(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		_, secret := app.Key(project, models.KeyInput{Name: "one", Quotas: models.Quotas{Daily: number(5)}}) // whose use has to be read
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
