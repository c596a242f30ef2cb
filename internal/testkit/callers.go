package testkit

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/claviger/claviger/models"
)

// Reply is an answer of the API.
type Reply struct {
	Status int
	Header http.Header
	Body   map[string]any
}

// Call asks the API. headers are name and value by turns; body is JSON, or empty for none.
func (a *App) Call(method, path, body string, headers ...string) Reply {
	a.T.Helper()
	request, err := http.NewRequest(method, a.URL+path, strings.NewReader(body))
	if err != nil {
		a.T.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.T.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.T.Fatal(err)
	}
	reply := Reply{Status: response.StatusCode, Header: response.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &reply.Body); err != nil {
			a.T.Fatalf("%s %s gave no JSON: %s", method, path, text)
		}
	}
	return reply
}

// Validate asks about a key in X-API-Key.
func (a *App) Validate(project, key string, headers ...string) Reply {
	a.T.Helper()
	return a.Call(http.MethodGet, "/v1/projects/"+project+"/validate", "",
		append([]string{"X-API-Key", key}, headers...)...)
}

// Code of the verdict.
func (r Reply) Code() string {
	code, _ := r.Body["code"].(string)
	return code
}

// Client asks the management API of a project with a service token.
type Client struct {
	Token string
	app   *App
	root  string
}

// Client makes a service token of the project with the scopes, all of them where none is given.
func (a *App) Client(project *models.Project, scopes ...models.Scope) Client {
	a.T.Helper()
	if len(scopes) == 0 {
		scopes = models.AllScopes
	}
	_, secret, err := a.Store.CreateServiceToken(a.T.Context(), project.ID, Actor(1), "ci", scopes)
	if err != nil {
		a.T.Fatal(err)
	}
	return Client{secret.Plain(), a, "/v1/projects/" + project.Slug}
}

// Ask calls the API; path is below that of the project.
func (c Client) Ask(method, path, body string, headers ...string) Reply {
	c.app.T.Helper()
	return c.app.Call(method, c.root+path, body, append([]string{"Authorization", "Bearer " + c.Token}, headers...)...)
}

// Bearer is the header of a service token, for [App.Call].
func Bearer(secret models.Secret) []string {
	return []string{"Authorization", "Bearer " + secret.Plain()}
}

// Field is the message about a member of the body.
func (r Reply) Field(name string) string {
	fields, _ := r.Body["fields"].(map[string]any)
	text, _ := fields[name].(string)
	return text
}

// Rows are those of a list.
func (r Reply) Rows() []map[string]any {
	data, _ := r.Body["data"].([]any)
	list := make([]map[string]any, len(data))
	for i := range data {
		list[i], _ = data[i].(map[string]any)
	}
	return list
}

// Validator asks about keys in the project shop, in one way.
type Validator struct {
	App     *App
	IP      string // in the body; empty for none
	Headers []string
}

// Ask asks about a key.
func (v Validator) Ask(key string) Reply {
	v.App.T.Helper()
	body, err := json.Marshal(map[string]string{"key": key, "ip": v.IP})
	if err != nil {
		v.App.T.Fatal(err)
	}
	return v.App.Call("POST", "/v1/projects/shop/validate", string(body), v.Headers...)
}

// AskBad asks about n keys that do not exist and are all different, and gives how many times each code came back.
func (v Validator) AskBad(n int) map[string]int {
	v.App.T.Helper()
	codes := map[string]int{}
	for i := range n {
		key := UnknownSecret(v.App.T, i)
		if i%2 == 0 {
			key = "malformed-" + strconv.Itoa(i)
		}
		codes[v.Ask(key).Code()]++
	}
	return codes
}
