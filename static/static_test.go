package static

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFileHasItsContentTypeAndIsCachedForAYear(t *testing.T) {
	for name, want := range map[string]string{
		"app.css":     "text/css; charset=utf-8",
		"app.js":      "text/javascript; charset=utf-8",
		"htmx.min.js": "text/javascript; charset=utf-8",
		"favicon.svg": "image/svg+xml",
		"mark.svg":    "image/svg+xml",
	} {
		res := get(t, "GET", URL(name), nil)
		if res.StatusCode != 200 ||
			res.Header.Get("Content-Type") != want ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d with headers %v, want 200 as %s, nosniff", name, res.StatusCode, res.Header, want)
		}
		if res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control is %q", name, res.Header.Get("Cache-Control"))
		}
		if len(body(t, res.Body)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

func TestAnotherVersionIsServedButNotCached(t *testing.T) {
	for _, target := range []string{"/static/app.css", "/static/app.css?v=old"} {
		res := get(t, "GET", target, nil)
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: got %d, Cache-Control %q, want 200, no-cache", target, res.StatusCode,
				res.Header.Get("Cache-Control"))
		}
	}
}

func TestGzipIsUsedIfTheClientAcceptsIt(t *testing.T) {
	plain := body(t, get(t, "GET", URL("app.js"), nil).Body)
	for accept, want := range map[string]bool{
		"gzip": true, "br, gzip;q=0.8": true, "deflate, GZIP": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"br": false, "": false,
	} {
		res := get(t, "GET", URL("app.js"), http.Header{"Accept-Encoding": {accept}})
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %q: gzip is %v, want %v", accept, got, want)
			continue
		}
		if res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary is %q", accept, res.Header.Get("Vary"))
		}
		var r io.Reader = res.Body
		if want {
			zip, err := gzip.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			r = zip
		}
		if body(t, r) != plain {
			t.Errorf("Accept-Encoding %q: the body differs from the plain one", accept)
		}
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	tag := get(t, "GET", "/static/app.css", nil).Header.Get("ETag")
	res := get(t, "GET", "/static/app.css", http.Header{"If-None-Match": {tag}})
	if res.StatusCode != 304 || body(t, res.Body) != "" {
		t.Errorf("got %d, want 304 without a body", res.StatusCode)
	}
}

func TestHeadSendsNoBody(t *testing.T) {
	res := get(t, "HEAD", URL("app.css"), nil)
	if res.StatusCode != 200 || res.Header.Get("Content-Length") == "" || body(t, res.Body) != "" {
		t.Errorf("got %d with headers %v, want 200 with a length and no body", res.StatusCode, res.Header)
	}
}

func TestOnlyTheListedFilesAreServed(t *testing.T) {
	for _, target := range []string{
		"/static/", "/static/missing.css", "/static/src/app.js", "/static/../static.go", "/static/css/base.css",
		"/app.css",
	} {
		if res := get(t, "GET", target, nil); res.StatusCode != 404 {
			t.Errorf("%s: got %d, want 404", target, res.StatusCode)
		}
	}
	if res := get(t, "POST", "/static/app.css", nil); res.StatusCode != 405 {
		t.Errorf("POST: got %d, want 405", res.StatusCode)
	}
}

func TestURLHasTheVersionOfTheFile(t *testing.T) {
	if u := URL("app.css"); !strings.HasPrefix(u, "/static/app.css?v=") || u == "/static/app.css?v=" {
		t.Errorf("the URL is %q", u)
	}
	defer func() {
		if recover() == nil {
			t.Error("URL did not panic for a file that is not embedded")
		}
	}()
	URL("missing.css")
}
