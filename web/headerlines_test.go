package web

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// All requests use one connection, so that lines could leak from one reply into the next.
func TestHeaderLinesAreOnlyInTheReplyTheyWereAddedTo(t *testing.T) {
	e := echo.New()
	e.Any("/lines/:size", func(c echo.Context) error {
		if _, err := io.ReadAll(c.Request().Body); err != nil {
			return err
		}
		AddHeaderLines(c, []byte("X-One: a: b\r\nRateLimit: \"second\";r=1\r\n"))
		body := strings.Repeat("x", len(c.Param("size"))*3_000)
		return c.String(http.StatusTeapot, body)
	})
	e.GET("/none", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })

	server := httptest.NewUnstartedServer(e)
	server.Config.ConnContext = HeaderLinesContext
	server.Listener = HeaderLinesListener(server.Listener)
	opened := 0
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened++
		}
	}
	server.Start()
	defer server.Close()

	check := func(method, path string, body io.Reader, want http.Header, status, length int) {
		t.Helper()
		request, _ := http.NewRequest(method, server.URL+path, body)
		if body != nil {
			request.Header.Set("Expect", "100-continue")
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil || len(got) != length || response.StatusCode != status {
			t.Errorf("%s %s: got %d with %d bytes, %v; want %d with %d bytes", method, path, response.StatusCode,
				len(got), err, status, length)
		}
		for _, name := range []string{"X-One", "Ratelimit"} {
			if strings.Join(response.Header[name], "|") != strings.Join(want[name], "|") {
				t.Errorf("%s %s: %s is %q, want %q", method, path, name, response.Header[name], want[name])
			}
		}
		if response.Header.Get("Date") == "" {
			t.Errorf("%s %s: the other headers are lost: %v", method, path, response.Header)
		}
	}
	lines := http.Header{"X-One": {"a: b"}, "Ratelimit": {`"second";r=1`}}
	for range 3 {
		check("GET", "/lines/a", nil, lines, http.StatusTeapot, 3_000)
		check("GET", "/none", nil, nil, http.StatusNoContent, 0)
		check("HEAD", "/lines/a", nil, lines, http.StatusTeapot, 0)
		check("GET", "/lines/abcd", nil, lines, http.StatusTeapot, 12_000) // in several writes
		check("POST", "/lines/a", strings.NewReader(strings.Repeat("y", 10_000)), lines, http.StatusTeapot, 3_000)
		check("GET", "/missing", nil, nil, http.StatusNotFound, len(`{"message":"Not Found"}`+"\n"))
	}

	if opened != 1 {
		t.Errorf("the requests used %d connections, want 1", opened)
	}
	recorder := httptest.NewRecorder() // a server without the listener
	e.ServeHTTP(recorder, httptest.NewRequest("GET", "/lines/a", nil))
	if recorder.Header().Get("X-One") != "a: b" || recorder.Header().Get("RateLimit") != `"second";r=1` {
		t.Errorf("without the listener the headers are %v", recorder.Header())
	}
}
