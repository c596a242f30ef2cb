package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestForwardedForIsReadFromTrustedProxiesOnly(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct{ name, peer, forwarded, want string }{
		{"a peer that is not trusted", "203.0.113.5:1000", "198.51.100.1", "203.0.113.5"},
		{"a trusted proxy", "10.1.2.3:1000", "198.51.100.1", "198.51.100.1"},
		{
			"the part that the client sent is ignored", "10.1.2.3:1000", "1.1.1.1, 198.51.100.1, 10.9.9.9",
			"198.51.100.1",
		},
		{"a trusted proxy without the header", "10.1.2.3:1000", "", "10.1.2.3"},
		{"private is not trusted by itself", "192.168.1.1:1000", "198.51.100.1", "192.168.1.1"},
		{"loopback is not trusted by itself", "127.0.0.1:1000", "198.51.100.1", "127.0.0.1"},
		{"IPv6", "[fd00::1]:1000", "2001:db8::1", "2001:db8::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.peer
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			if got := ClientIP(proxies)(r); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			r.Header.Set("X-Real-IP", "1.2.3.4") // never read
			if got := ClientIP(nil)(r); got != strings.Trim(c.peer[:strings.LastIndex(c.peer, ":")], "[]") {
				t.Errorf("without proxies the client of %s is %s", c.peer, got)
			}
		})
	}
	for peer, want := range map[string]bool{
		"10.0.0.1:1":          true,
		"[::ffff:10.0.0.1]:1": true,
		"11.0.0.1:1":          false,
		"nonsense":            false,
	} {
		if got := FromProxy(peer, proxies); got != want {
			t.Errorf("FromProxy(%s) is %v, want %v", peer, got, want)
		}
	}
}

func TestCallersNamesTheCallerAndItsClient(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		peer           string
		forwarded      []string
		caller, before string
	}{
		{"1.1.1.1:7", nil, "1.1.1.1", ""},
		{"1.1.1.1:7", []string{""}, "1.1.1.1", ""},
		{"1.1.1.1:7", []string{"2.2.2.2"}, "1.1.1.1", "2.2.2.2"},
		{"1.1.1.1:7", []string{"2.2.2.2", "3.3.3.3 , 4.4.4.4 "}, "1.1.1.1", "4.4.4.4"},
		{"1.1.1.1:7", []string{"2.2.2.2, unknown"}, "1.1.1.1", ""},
		{"1.1.1.1:7", []string{"::ffff:2.2.2.2"}, "1.1.1.1", "2.2.2.2"},
		// The proxy names the caller, and the caller its own client.
		{"10.0.0.1:7", []string{"1.1.1.1"}, "1.1.1.1", ""},
		{"10.0.0.1:7", []string{"2.2.2.2, 1.1.1.1", "10.0.0.2"}, "1.1.1.1", "2.2.2.2"},
		{"10.0.0.1:7", []string{"2.2.2.2:80, 1.1.1.1:4711"}, "1.1.1.1", "2.2.2.2"},
		{"10.0.0.1:7", []string{"[2001:db8::2]:80, [2001:db8::1]:4711"}, "2001:db8::1", "2001:db8::2"},
		{"10.0.0.1:7", []string{"[2001:db8::1]"}, "2001:db8::1", ""},
		{"10.0.0.1:7", []string{"1.1.1.1, unknown"}, "10.0.0.1", ""},
		{"10.0.0.1:7", []string{"unknown, 10.0.0.2"}, "10.0.0.2", ""},
		{"10.0.0.1:7", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3", ""},
		{"nonsense", []string{"1.1.1.1"}, "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.forwarded
		if caller, before := Callers(r, proxies); caller != c.caller || before != c.before {
			t.Errorf("%s %q: got %q for %q, want %q for %q", c.peer, c.forwarded, caller, before, c.caller, c.before)
		}
	}
}

func TestThrottleDoublesWaitsUpToTheLongest(t *testing.T) {
	now := time.Unix(0, 0)
	throttle := NewThrottle(func() time.Time { return now }, 10*time.Second)
	for range freeFailures {
		if wait := throttle.Attempt("a"); wait != 0 {
			t.Fatalf("one of the free attempts waits %v", wait)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if wait := throttle.Attempt("a"); wait != want*time.Second {
			t.Errorf("the wait is %v, want %v", wait, want*time.Second)
		}
		if wait := throttle.Attempt("b"); wait != 0 {
			t.Errorf("another caller waits %v, want 0", wait)
		}
		throttle.Succeed("b")
		now = now.Add(want * time.Second)
		if wait := throttle.Attempt("a"); wait != 0 {
			t.Errorf("after the wait, the next attempt waits %v, want 0", wait)
		}
	}
	now = now.Add(failuresExpire)
	if wait := throttle.Attempt("a"); wait != 0 {
		t.Errorf("after the failures expired, an attempt waits %v, want 0", wait)
	}
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	throttle := NewThrottle(time.Now, time.Second)
	for i := range 2 * throttleSize {
		throttle.Attempt(strings.Repeat("x", i%100) + time.Duration(i).String())
	}
	if n := throttle.seen.Len(); n > throttleSize {
		t.Errorf("%d callers are in memory, want at most %d", n, throttleSize)
	}
}

func TestDecodeJSONRejectsLargeAndMalformedBodies(t *testing.T) {
	decode := func(body string) error {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		var target struct{ A string }
		return DecodeJSON(httptest.NewRecorder(), r, 100, &target)
	}
	for body, code := range map[string]requestlog.Code{
		`{"A":"x"}`: "", ``: "", `{"A":"` + strings.Repeat("x", 100) + `"}`: requestlog.CodeTooLarge,
		`{"A":"x"}` + strings.Repeat(" ", 200): requestlog.CodeTooLarge,
		`{"A":"x"} x`:                          requestlog.CodeBadRequest,
		`nul`:                                  requestlog.CodeBadRequest,
	} {
		got := requestlog.Code("")
		if err := decode(body); err != nil {
			got = err.(*models.Error).Code
		}
		if got != code {
			t.Errorf("%.20q: got %q, want %q", body, got, code)
		}
	}
}

// If a body were ignored because of them, its dry_run would be ignored too.
func TestDecodeJSONIgnoresParametersOfTheContentType(t *testing.T) {
	for contentType, read := range map[string]bool{
		"application/json":           true,
		"application/json;":          true,
		"application/json; charset":  true,
		"Application/JSON; a=b; a=c": true,
		"text/plain":                 false,
		"application/jsonx":          false,
		"":                           false,
		";":                          false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"A":"x"}`))
		r.Header.Set("Content-Type", contentType)
		var target struct{ A string }
		if err := DecodeJSON(httptest.NewRecorder(), r, 100, &target); err != nil || (target.A == "x") != read {
			t.Errorf("Content-Type %q: got %+v, %v; want the body read: %v", contentType, target, err, read)
		}
	}
}

func TestTimeZoneIsReadFromTheCookie(t *testing.T) {
	for cookie, want := range map[string]string{
		"Europe%2FBerlin":        "Europe/Berlin",
		"UTC":                    "UTC",
		"Local":                  "UTC",
		"..%2F..%2Fetc%2Fpasswd": "UTC",
		"":                       "UTC",
		"%zz":                    "UTC",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "tz", Value: cookie})
		if got := TimeZone(echo.New().NewContext(r, httptest.NewRecorder())).String(); got != want {
			t.Errorf("cookie %s: got %s, want %s", cookie, got, want)
		}
	}
}
