package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	validator "github.com/pb33f/libopenapi-validator"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// recorded compares every reply with the document and records which replies were seen.
type recorded struct {
	t         *testing.T
	app       *testkit.App
	validator validator.Validator
	document  document
	seen      map[string]bool // "GET /v1/… 200"
}

// send makes a request and compares the reply with the document. want is the expected status; if it is a success, the
// request is compared too.
func (r *recorded) send(want int, method, path, body string, headers ...string) map[string]any {
	r.t.Helper()
	make := func() *http.Request {
		request, err := http.NewRequest(method, r.app.URL+path, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		return request
	}
	response, err := http.DefaultClient.Do(make())
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	if response.StatusCode != want {
		r.t.Errorf("%s %s gives %d, want %d: %.300s", method, path, response.StatusCode, want, text)
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	if ok, problems := r.validator.ValidateHttpResponse(make(), response); !ok {
		for _, p := range problems {
			r.t.Errorf("the answer %d to %s %s is not as the document says: %s %s %v\n%.500s", want, method, path,
				p.Message, p.Reason, p.SchemaValidationErrors, text)
		}
	}
	if want < 300 {
		if ok, problems := r.validator.ValidateHttpRequest(make()); !ok {
			for _, p := range problems {
				r.t.Errorf("the document refuses %s %s, which works: %s %s %v", method, path, p.Message, p.Reason,
					p.SchemaValidationErrors)
			}
		}
	}
	r.seen[method+" "+r.template(path)+" "+fmt.Sprint(response.StatusCode)] = true
	var object map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &object); err != nil {
			r.t.Errorf("%s %s gives no JSON: %s", method, path, text)
		}
	}
	return object
}

// template returns the path of the document that matches path: the one with the fewest parameters, as in OpenAPI.
func (r *recorded) template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	best := ""
	for candidate := range r.document.Paths {
		pattern := regexp.MustCompile("^" +
			regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(candidate), "[^/]+") + "$")
		if pattern.MatchString(path) && (best == "" || strings.Count(candidate, "{") < strings.Count(best, "{")) {
			best = candidate
		}
	}
	return best
}

// Every status that the document has for an operation is triggered, and every reply is compared with its schema.
func TestEveryReplyIsAsTheDocumentSays(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		d, text := readDocument(t)
		r := &recorded{t: t, app: app, validator: newValidator(t, text), document: d, seen: map[string]bool{}}
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		token := func(scopes ...models.Scope) []string {
			_, secret, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "ci", scopes)
			if err != nil {
				t.Fatal(err)
			}
			return []string{"Authorization", "Bearer " + secret.Plain()}
		}
		all, none := token(models.AllScopes...), token(models.ScopeReport)
		const root = "/v1/projects/shop"
		ask := func(want int, method, path, body string, headers ...string) map[string]any {
			t.Helper()
			return r.send(want, method, root+path, body, append(slices.Clone(all), headers...)...)
		}

		key := ask(201, "POST", "/keys",
			`{"name":"server","type":"production","category":"partner","description":"x",`+
				`"expires_at":"2027-01-01T00:00:00Z","quotas":{"daily":5},"ios_bundle_id":"com.example.app",`+
				`"android_package":"com.example.app","platforms":[]}`, "Idempotency-Key", "one")
		one := fmt.Sprintf("/keys/%v", key["id"])
		secret, _ := key["secret"].(string)
		ask(201, "POST", "/keys", `{"name":"mobile","type":"test","platforms":["ios","android"]}`)
		r.send(200, "GET", root+"/validate", "", "X-API-Key", secret, "X-Session-ID", "s")
		r.send(200, "POST", root+"/validate", `{"key":"`+secret+`"}`)
		verdict := r.send(200, "POST", root+"/validate", `{"key":"`+secret+`"}`)
		ask(200, "POST", "/requests", fmt.Sprintf(`{"requests":[
			{"request_id":%q,"status":201,"ttfb_ms":12.5,"credits":3},
			{"request_id":"req_377ecf22e0003","status":500}
		]}`, verdict["request_id"]))
		ask(400, "POST", "/requests", `{"requests":[]}`)
		r.send(401, "GET", root+"/validate", "")
		r.send(200, "POST", root+"/validate", `{"key":"`+secret+`","dry_run":true,"explain":true}`, all...)
		r.send(200, "GET", "/v1/usage", "", "X-API-Key", secret)
		r.send(401, "GET", "/v1/usage", "")
		for i := range 20 {
			r.send(401, "GET", "/v1/usage", "", "X-API-Key", testkit.UnknownSecret(t, i))
		}
		r.send(403, "GET", "/v1/usage", "", "X-API-Key", secret)
		app.Flush()

		ask(200, "GET", "/keys?limit=1&q=server&type=production&category=partner&status=active", "")
		if page := ask(200, "GET", "/keys?limit=1", ""); page["next_cursor"] == nil {
			t.Error("the first page of two has no cursor")
		} else {
			ask(200, "GET", fmt.Sprintf("/keys?limit=1&cursor=%v", page["next_cursor"]), "")
		}
		ask(400, "GET", "/keys?limit=101", "")
		ask(200, "GET", one, "")
		ask(200, "PATCH", one, `{"description":null,"quotas":{"daily":null},"expires_at":null,"ios_bundle_id":null}`)
		ask(422, "PATCH", one, `{"name":"a b"}`)
		ask(422, "POST", "/keys", `{"name":"a b","type":"production"}`)
		ask(409, "DELETE", one, "")
		ask(200, "POST", one+"/deactivate", "")
		ask(409, "POST", one+"/deactivate", "")
		ask(200, "POST", one+"/activate", "")
		ask(409, "POST", one+"/activate", "")
		ask(200, "POST", one+"/rotate", `{"grace":"1h"}`)
		ask(200, "POST", one+"/rotate", "")
		ask(409, "POST", one+"/rotate", `{"version":1}`)
		ask(422, "POST", one+"/rotate", `{"grace":"for ever"}`)
		ask(200, "GET", one+"/versions", "")
		ask(400, "GET", one+"/versions?limit=5", "")
		ask(200, "POST", one+"/versions/1/end", `{"in":"now"}`)
		ask(409, "POST", one+"/versions/1/end", `{"in":"now"}`)
		ask(422, "POST", one+"/versions/1/end", `{"in":"soon"}`)

		self := ask(201, "POST", "/keys", `{"name":"self","type":"production","self_rotation":true}`)
		old, _ := self["secret"].(string)
		r.send(422, "POST", root+"/keys/rotate", `{"grace":"soon"}`, "X-API-Key", old)
		r.send(200, "POST", root+"/keys/rotate", `{"grace":"1h"}`, "X-API-Key", old)
		r.send(409, "POST", root+"/keys/rotate", "", "X-API-Key", old)
		r.send(401, "POST", root+"/keys/rotate", "")
		r.send(403, "POST", root+"/keys/rotate", "", "X-API-Key", testOnly(t, app, project))

		label := ask(201, "POST", "/categories", `{"name":"agency"}`, "Idempotency-Key", "two")
		ask(422, "POST", "/categories", `{"name":"agency"}`)
		ask(200, "GET", "/categories", "")
		ask(400, "GET", "/categories?x=1", "")
		category := fmt.Sprintf("/categories/%v", label["id"])
		ask(200, "PATCH", category, `{"name":"agencies"}`)
		ask(422, "PATCH", category, `{"name":""}`)
		builtIn := fmt.Sprintf("/categories/%d", app.CategoryID(project, "staging"))
		ask(409, "PATCH", builtIn, `{"name":"x"}`)
		ask(409, "DELETE", builtIn, "")
		ask(409, "POST", builtIn+"/merge", `{"into":1}`)
		ask(422, "POST", category+"/merge", `{"into":0}`)
		ask(200, "POST", fmt.Sprintf("/categories/%d/merge", app.CategoryID(project, "partner")),
			fmt.Sprintf(`{"into":%v}`, label["id"]))
		ask(200, "PATCH", one, `{"category":"production"}`)
		ask(204, "DELETE", category, "")

		logs := ask(200, "GET", fmt.Sprintf("/logs?limit=1&key=server&key_id=%v&code=valid&type=production"+
			"&status=2xx&endpoint=GET+/v1/projects/shop/validate&ip=127.0.0.1&category=partner"+
			"&from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z", key["id"]), "")
		ask(400, "GET", "/logs?key=nobody", "")
		entry, _ := logs["data"].([]any)[0].(map[string]any)
		ask(200, "GET", fmt.Sprintf("/logs/%v", entry["id"]), "")
		ask(200, "GET", fmt.Sprintf("/logs?cursor=%v", entry["id"]), "")

		ask(200, "POST", one+"/revoke", "")
		ask(409, "POST", one+"/revoke", "")
		ask(409, "PATCH", one, `{"description":"x"}`)
		unused := ask(201, "POST", "/keys", `{"name":"unused","type":"test"}`)
		ask(204, "DELETE", fmt.Sprintf("/keys/%v", unused["id"]), "")
		r.send(200, "GET", "/v1/openapi.json", "")

		// An object that was created with an Idempotency-Key and then deleted.
		gone := ask(201, "POST", "/keys", `{"name":"gone","type":"test"}`, "Idempotency-Key", "three")
		ask(204, "DELETE", fmt.Sprintf("/keys/%v", gone["id"]), "")
		ask(409, "POST", "/keys", `{"name":"gone","type":"test"}`, "Idempotency-Key", "three")
		ask(409, "POST", "/categories", `{"name":"agency"}`, "Idempotency-Key", "two")

		// Errors that all operations have in common.
		for path, operations := range d.Paths {
			for method, o := range operations {
				method := strings.ToUpper(method)
				known := strings.NewReplacer("{project}", "shop", "{key}", fmt.Sprint(self["id"]), "{version}", "1",
					"{category}", fmt.Sprint(app.CategoryID(project, "staging")), "{request}",
					fmt.Sprint(entry["id"])).Replace(path)
				elsewhere := strings.Replace(known, "/shop", "/nowhere", 1)
				headers := all
				switch {
				case path == validatePath:
					r.send(401, method, known, "", "X-API-Key", "x")
					r.send(403, method, known, "", none...)
					headers = nil
				case o.scope() == api.NoToken:
					headers = []string{"X-API-Key", old}
				default:
					lacking := none
					if o.scope() == models.ScopeReport {
						lacking = token(models.ScopeValidate)
					}
					r.send(401, method, known, "")
					r.send(403, method, known, "", lacking...)
				}
				if elsewhere == known { // of no project
					continue
				}
				r.send(404, method, elsewhere, "", headers...)
				takesBody := o.Responses["413"] != nil
				if takesBody {
					r.send(413, method, known, `{"x":"`+strings.Repeat("x", 257<<10)+`"}`, headers...)
					r.send(400, method, known, `{"nonsense":1}`, headers...)
				}
				if o.Responses["415"] != nil {
					r.send(415, method, known, "name=x",
						append(slices.Clone(headers), "Content-Type", "application/x-www-form-urlencoded")...)
				}
			}
		}
		for i := 0; ; i++ {
			if reply := app.Call("GET", root+"/keys", "", all...); reply.Status == 429 || i > 700 {
				break
			}
		}
		for path, operations := range d.Paths {
			for method, o := range operations {
				name := strings.ToUpper(method) + " " + path
				if o.scope() != api.NoToken {
					r.send(429, strings.ToUpper(method), strings.NewReplacer("{project}", "shop", "{key}", "1",
						"{version}", "1", "{category}", "1", "{request}", "1").Replace(path), "", all...)
				}
				for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
					if !r.seen[name+" "+status] && status != "503" && !(status == "429" && o.scope() == api.NoToken) {
						t.Errorf("%s: nothing here was answered with %s", name, status)
					}
				}
			}
		}
	})
}

// testOnly creates a key that may not rotate itself and returns its secret.
func testOnly(t *testing.T, app *testkit.App, project *models.Project) string {
	t.Helper()
	_, secret := app.Key(project, models.KeyInput{Name: "plain"})
	return secret
}
