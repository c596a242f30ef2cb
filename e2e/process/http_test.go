package process_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// client does not follow redirects, because tests check where they lead.
var client = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type reply struct {
	Status int
	Header http.Header
	Body   string
}

// ask sends a request and returns the reply. headers are pairs of a name and a value.
func ask(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n+1 < len(headers); n += 2 {
		request.Header.Set(headers[n], headers[n+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func (p *process) get(path string, headers ...string) reply {
	p.t.Helper()
	return ask(p.t, http.MethodGet, p.URL+path, "", headers...)
}

// verdict has the parts of a reply of validate that the tests need.
type verdict struct {
	Status    int    `json:"-"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

// validate sends a validate request with the key. context is the JSON body, or empty for none.
func (p *process) validate(project, key, context string, headers ...string) (v verdict) {
	p.t.Helper()
	headers = append([]string{"X-API-Key", key, "Content-Type", "application/json"}, headers...)
	r := ask(p.t, http.MethodPost, p.URL+"/v1/projects/"+project+"/validate", context, headers...)
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		p.t.Fatalf("validate answered %d with a body that is not JSON: %s", r.Status, r.Body)
	}
	v.Status = r.Status
	return v
}

// signIn sends the form of the sign-in page and returns the session's cookie.
func (p *process) signIn(email, password string) (cookie string) {
	p.t.Helper()
	r := ask(p.t, http.MethodPost, p.URL+"/signin", url.Values{"email": {email}, "password": {password}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	if r.Status != http.StatusSeeOther || r.Header.Get("Location") != "/projects" {
		p.t.Fatalf("sign-in answered %d with the location %q, want 303 and /projects: %s", r.Status,
			r.Header.Get("Location"), r.Body)
	}
	cookie, _, _ = strings.Cut(r.Header.Get("Set-Cookie"), ";")
	return cookie
}

// metric returns the value of a metric. The name includes the labels.
func metric(t *testing.T, metricsAddr, name string) float64 {
	t.Helper()
	for line := range strings.Lines(ask(t, http.MethodGet, "http://"+metricsAddr+"/metrics", "").Body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("the metrics have no %s", name)
	return 0
}
