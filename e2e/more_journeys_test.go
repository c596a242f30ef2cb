package e2e

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/testkit"
)

// sqliteURL is an empty database.
func sqliteURL(t *testing.T) string { return filepath.Join(t.TempDir(), "claviger.db") }

func TestEverythingWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	tab := newTab(t, newApp(t, sqliteURL(t)))
	command(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tab.Open("/")
	tab.At("/signup")
	tab.Fill("E-mail", ada)
	tab.Fill("Password", testkit.Password)
	tab.Press("Create account")
	tab.At("/projects")
	if evaluate[bool](tab, `"js" in document.documentElement.dataset`) {
		tab.Fatal("JavaScript runs")
	}

	tab.Press("New project")
	tab.At("/projects/new")
	tab.Fill("Name", "First shop")
	tab.Press("Create project")
	tab.See("Copy it now")
	secret := tab.Text("#secret-value")
	tab.expectVerdict(secret, http.StatusOK, "")
	tab.App.Flush()

	tab.Press("Overview")
	tab.At("/projects/first-shop")
	tab.SeeNot(secret)
	tab.See("Last hour")
	rejected := tab.App.Validate("first-shop", secret+"x") // a key that is none leaves no row
	tab.expectVerdict(secret, http.StatusOK, "")
	tab.App.Flush()
	tab.Reload()
	if n := evaluate[int](tab, `document.querySelectorAll("table[role=table] tbody tr").length`); n != 2 {
		tab.Errorf("after a reload the list has %d requests, want 2 (%v has none)", n, rejected.Body["request_id"])
	}
	tab.click(`table[role=table] tbody tr`)
	tab.See("Category at the time")

	tab.Press("Keys")
	tab.At("/projects/first-shop/keys")
	tab.Press("New key")
	tab.At("/projects/first-shop/keys/new")
	tab.Fill("Name", "partner_acme")
	tab.Fill("Category", "New label")
	tab.Fill("New label", "partners") // shown by style alone
	tab.Press("Create key")
	tab.See("partner_acme created")
	secret = tab.Text("#secret-value")
	tab.expectVerdict(secret, http.StatusOK, "")

	tab.Press("I have copied it")
	tab.See("Self-rotation")
	page := tab.Path()
	tab.Press("Deactivate")
	tab.See("Deactivate partner_acme?")
	tab.Press("Cancel")
	tab.Until("the dialog closing", `!document.querySelector(":popover-open")`)
	tab.expectVerdict(secret, http.StatusOK, "")
	tab.Press("Deactivate")
	tab.Press("Deactivate key")
	tab.See("partner_acme is inactive")
	tab.At(page)
	tab.expectVerdict(secret, http.StatusUnauthorized, "Inactive API Key")

	tab.Press("Keys")
	tab.Fill("Status", "Inactive")
	tab.Press("Apply")
	tab.Until("the filter", `location.search.includes("status=inactive") && document.readyState === "complete"`)
	tab.See("partner_acme")
	tab.SeeNot("_default_")

	tab.Press("Account of " + ada)
	tab.Press("Sign out")
	tab.At("/signin")
	tab.events.check(t, tab.App.URL)
}

// The secret of a new project is shown this once: the first request must not take it off the page.
func TestTheFirstRequestLeavesTheSecretOnThePage(t *testing.T) {
	t.Parallel()
	tab := newTab(t, newApp(t, sqliteURL(t)))
	_, session := tab.App.SignUp(ada)
	tab.SignIn(session.Cookie(sessionCookie))
	tab.Open("/projects/new")
	tab.Fill("Name", "First shop")
	tab.Press("Create project")
	tab.See("Run the curl command above")
	secret := tab.Text("#secret-value")
	tab.appears("the first request", func() testkit.Reply { return paste(tab, tab.Text("#secret-curl")) })
	tab.appears("the second request", func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
	tab.See("Last hour")
	if shown := tab.Text("#secret-value"); shown != secret {
		tab.Errorf("the page shows %q in place of the secret", shown)
	}
	tab.events.check(t, tab.App.URL)
}

// The page of a project without requests shows commands for a key that is at hand.
func TestTheCommandsWithAPlaceholderWork(t *testing.T) {
	t.Parallel()
	tab := newTab(t, newApp(t, sqliteURL(t)))
	user, session := tab.App.SignUp(ada)
	_, _, secret := tab.App.Project(user, "first-shop")
	tab.SignIn(session.Cookie(sessionCookie))
	tab.Open("/projects/first-shop")
	commands := tab.Text("#first-curl")
	if !strings.Contains(commands, "paste the key here") {
		tab.Fatalf("the commands name no place for the key: %s", commands)
	}
	tab.appears("the first request", func() testkit.Reply {
		return paste(tab, strings.Replace(commands, "paste the key here", secret, 1))
	})
}

// A person who was signed out elsewhere must not find the sign-in page inside of the page that renews itself.
func TestALivePageOfASessionThatEndedLeadsToSigningIn(t *testing.T) {
	for name, path := range map[string]string{"overview": "/projects/first-shop", "logs": "/projects/first-shop/logs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := newTab(t, newApp(t, sqliteURL(t)))
			user, session := tab.App.SignUp(ada)
			tab.App.Project(user, "first-shop")
			tab.SignIn(session.Cookie(sessionCookie))
			tab.Open(path)
			if err := tab.App.Store.EndAllSessions(t.Context(), user.ID); err != nil {
				t.Fatal(err)
			}
			tab.Until("the sign-in page", `location.pathname === "/signin"`)
			tab.See("Sign in")
		})
	}
}

// A service that cannot answer for a moment must not end what a page shows, nor that it goes on by itself.
func TestALivePageSurvivesAServiceThatIsAwayForAMoment(t *testing.T) {
	for name, path := range map[string]string{"overview": "/projects/first-shop", "logs": "/projects/first-shop/logs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := newTab(t, newApp(t, sqliteURL(t)))
			user, session := tab.App.SignUp(ada)
			_, _, secret := tab.App.Project(user, "first-shop")
			tab.SignIn(session.Cookie(sessionCookie))
			tab.Open(path)
			first := tab.appears("a request before", func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
			for _, away := range []func(){tab.refuseOnce, tab.disconnectOnce} {
				away()
				tab.Until("what was there before", `document.getElementById("`+first+`")`)
				tab.appears("a request afterwards", func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
			}
		})
	}
}

// refuseOnce answers the page's next question for news with an error, as behind a proxy whose service restarts.
func (tab *Tab) refuseOnce() {
	tab.interceptOnce(func(request fetch.RequestID) {
		command(tab, fetch.FulfillRequest, fetch.FulfillRequestParams{
			RequestID: request, ResponseCode: http.StatusServiceUnavailable, Body: []byte("<h1>503</h1>"),
			ResponseHeaders: []*fetch.HeaderEntry{{Name: "Content-Type", Value: "text/html"}},
		})
	})
}

// disconnectOnce lets that question fail on the way.
func (tab *Tab) disconnectOnce() {
	tab.interceptOnce(func(request fetch.RequestID) {
		command(tab, fetch.FailRequest, fetch.FailRequestParams{RequestID: request, ErrorReason: network.ErrorReasonConnectionRefused})
	})
}

func (tab *Tab) interceptOnce(answer func(fetch.RequestID)) {
	tab.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	paused := chromedp.Events(ctx, fetch.RequestPaused)
	command(tab, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*seen=*"}}})
	for event, err := range paused {
		if err != nil {
			tab.fail("the page did not ask for news: %v", err)
		}
		answer(event.RequestID)
		break
	}
	command(tab, fetch.Disable, cdp.Empty{})
}
