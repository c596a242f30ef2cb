package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
)

const sessionCookie = "claviger_session"

func account(email, password string) url.Values {
	return url.Values{"email": {email}, "password": {password}}
}

func TestAVisitorIsLedToTheFirstAccountAndThenToSignIn(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		b := app.Browser()
		if page := b.Get("/"); page.Path != "/signup" || !strings.Contains(page.Text(), "becomes the admin") {
			t.Errorf("led to %s: %s", page.Path, page.Text())
		}
		page := b.Post("/signup", account("Ada@Example.com", "short"))
		if page.Status != 422 || page.FieldError("password") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if value, _ := page.Find("#f-email").Attr("value"); value != "Ada@Example.com" {
			t.Errorf("the typed address came back as %q", value)
		}
		if value, _ := page.Find("#f-password").Attr("value"); value != "" {
			t.Error("the page has the typed password")
		}
		page = b.Post("/signup", account("Ada@Example.com", testkit.Password))
		if page.Path != "/projects" || page.Status != 200 {
			t.Fatalf("led to %s: %s", page.Path, page.Text())
		}
		stranger := app.Browser()
		if page = stranger.Get("/"); page.Path != "/signin" {
			t.Errorf("led to %s", page.Path)
		}
		if page = stranger.Get("/signup"); page.Find("form").Length() != 0 {
			t.Error("the sign-up page has a form although sign-up is closed")
		}
		if page = stranger.Post("/signup", account("bob@example.com", testkit.Password)); page.Status != 403 {
			t.Errorf("a second stranger got %d", page.Status)
		}
	})
}

func TestSignInLeadsBackToTheRequestedPage(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		app.Project(user, "shop")
		b := app.Browser()
		page := b.Get("/projects/shop/keys?type=test")
		next, _ := page.Find("input[name=next]").Attr("value")
		form := account("ada@example.com", testkit.Password)
		form.Set("next", next)
		if page = b.Post("/signin", form); page.Path != "/projects/shop/keys?type=test" {
			t.Errorf("led to %s", page.Path)
		}
		for _, evil := range []string{
			"//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil.example",
		} {
			form.Set("next", evil)
			if page = app.Browser().Post("/signin", form); page.Path != "/projects" {
				t.Errorf("%q led to %s", evil, page.Path)
			}
		}
	})
}

func TestAFailedSignInDoesNotRevealTheReason(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		app.SignUp("ada@example.com")
		wrong := app.Browser().Post("/signin", account("ada@example.com", "not the password"))
		unknown := app.Browser().Post("/signin", account("eve@example.com", "not the password"))
		if wrong.Status != 422 || unknown.Status != 422 {
			t.Errorf("%d and %d", wrong.Status, unknown.Status)
		}
		if strings.ReplaceAll(wrong.HTML, "ada@", "x@") != strings.ReplaceAll(unknown.HTML, "eve@", "x@") {
			t.Error("the two pages differ in more than the address that was typed")
		}
	})
}

func TestRepeatedFailuresToSignInHaveToWait(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		app.SignUp("ada@example.com")
		b := app.Browser()
		for range 5 {
			if page := b.Post("/signin", account("ada@example.com", "wrong password")); page.Status != 422 {
				t.Fatalf("got %d", page.Status)
			}
		}
		page := b.Post("/signin", account("ada@example.com", testkit.Password))
		if page.Status != 429 || page.Header.Get("Retry-After") != "1" {
			t.Errorf("the sixth attempt got %d, Retry-After %q", page.Status, page.Header.Get("Retry-After"))
		}
		app.Clock.Advance(time.Second)
		if page = b.Post("/signin", account("ada@example.com", "wrong password")); page.Status != 422 {
			t.Errorf("after the wait: %d", page.Status)
		}
		page = b.Post("/signin", account("ada@example.com", testkit.Password))
		if page.Header.Get("Retry-After") != "2" {
			t.Errorf("the wait does not double: %q", page.Header.Get("Retry-After"))
		}
		app.Clock.Advance(2 * time.Second)
		if page = b.Post("/signin", account("ada@example.com", testkit.Password)); page.Path != "/projects" {
			t.Errorf("the right password after the wait: %d %s", page.Status, page.Path)
		}
		if page = app.Browser().Post("/signin", account("ada@example.com", "wrong password")); page.Status != 422 {
			t.Errorf("a success did not clear the failures: %d", page.Status)
		}
	})
}

func TestTheSessionCookieIsProtectedAndRenewed(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		_, b := app.SignUp("ada@example.com")
		first := b.Cookie(sessionCookie)
		// Without following the redirect, the client sees the attributes of the cookie.
		raw := &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		response, err := raw.PostForm(app.URL+"/signin", account("ada@example.com", testkit.Password))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		cookie := response.Header.Get("Set-Cookie")
		for _, flag := range []string{"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="} {
			if !strings.Contains(cookie, flag) {
				t.Errorf("no %s in %q", flag, cookie)
			}
		}
		b.Post("/signin", account("ada@example.com", testkit.Password))
		second := b.Cookie(sessionCookie)
		if second == first || second == "" {
			t.Error("signing in again keeps the session id")
		}
		b.Post("/account/password", url.Values{
			"current_password": {testkit.Password},
			"new_password":     {"another good one"},
		})
		if third := b.Cookie(sessionCookie); third == second || third == "" {
			t.Error("changing the password keeps the session id")
		}
		if page := b.Get("/account"); page.Status != 200 || page.Path != "/account" {
			t.Errorf("changing the password signed out its own session: %s", page.Path)
		}
		old := app.Browser()
		if page := old.Get("/account", "Cookie", sessionCookie+"="+second); !strings.HasPrefix(page.Path, "/signin") {
			t.Errorf("the old session id still opens %s", page.Path)
		}
		page := old.Get("/account", "Cookie", sessionCookie+"="+b.Cookie(sessionCookie)+"x")
		if !strings.HasPrefix(page.Path, "/signin") {
			t.Error("a forged cookie was accepted")
		}
	})
}

func TestSignOutEverywhereEndsEverySession(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		_, one := app.SignUp("ada@example.com")
		two := app.Browser()
		two.Post("/signin", account("ada@example.com", testkit.Password))
		if rows := one.Get("/account").Find("tbody tr").Length(); rows != 2 {
			t.Errorf("%d sessions are listed", rows)
		}
		one.Post("/account/sessions/end", nil)
		for _, b := range []*testkit.Browser{one, two} {
			if page := b.Get("/projects"); !strings.HasPrefix(page.Path, "/signin") {
				t.Errorf("still signed in at %s", page.Path)
			}
		}
	})
}

func TestOneSessionCanBeEndedFromAnother(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		_, one := app.SignUp("ada@example.com")
		two := app.Browser()
		two.Post("/signin", account("ada@example.com", testkit.Password))
		action, found := one.Get("/account").Find("tbody form").Attr("action")
		if !found {
			t.Fatal("the other session has no button")
		}
		if page := one.Post(action, nil); !strings.Contains(page.Text(), "The session was signed out.") {
			t.Errorf("no notice: %s", page.Text())
		}
		if page := one.Get("/account"); page.Find("tbody tr").Length() != 1 ||
			strings.Contains(page.Text(), "The session was signed out.") {
			t.Error("the session is still listed, or the notice shown twice")
		}
		if page := two.Get("/projects"); !strings.HasPrefix(page.Path, "/signin") {
			t.Error("the ended session is still signed in")
		}
	})
}

func TestPagesHaveSecurityHeaders(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		_, b := app.SignUp("ada@example.com")
		for _, path := range []string{"/projects", "/nothing/here", "/signin"} {
			h := b.Get(path).Header
			if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
				strings.Contains(csp, "unsafe") {
				t.Errorf("%s: %q", path, csp)
			}
			if h.Get("Cache-Control") != "no-store" ||
				h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: %v", path, h)
			}
		}
	})
}
