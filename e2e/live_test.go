package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/claviger/claviger/internal/testkit"
)

// newShop is a window of somebody who has the project first-shop, with its default key's secret.
func newShop(t *testing.T) (tab *Tab, session *testkit.Browser, secret string) {
	t.Helper()
	tab = newTab(t, newApp(t, sqliteURL(t)))
	user, session := tab.App.SignUp(ada)
	_, _, secret = tab.App.Project(user, "first-shop")
	tab.SignIn(session.Cookie(sessionCookie))
	return tab, session, secret
}

// livePages are those that renew a part of themselves.
var livePages = map[string]string{"overview": "/projects/first-shop", "logs": "/projects/first-shop/logs"}

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
	tab, _, secret := newShop(t)
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
	for name, path := range livePages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab, session, _ := newShop(t)
			tab.Open(path)
			session.Post("/account/sessions/end", nil)
			tab.Until("the sign-in page", `location.pathname === "/signin"`)
			tab.See("Sign in")
		})
	}
}

// A service that cannot answer for a moment must not end what a page shows, nor that it goes on by itself.
func TestALivePageSurvivesAServiceThatIsAwayForAMoment(t *testing.T) {
	for name, path := range livePages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab, _, secret := newShop(t)
			tab.Open(path)
			first := tab.appears("a request before",
				func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
			for _, away := range []func(){tab.refuseOnce, tab.disconnectOnce} {
				away()
				tab.appears("a request afterwards",
					func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
				tab.Until("what was there before", `document.getElementById("`+first+`")`)
			}
		})
	}
}

// What a person has opened or reads on with the keyboard stays so while news come in.
func TestNewsDoNotDisturbWhoReads(t *testing.T) {
	another := func(tab *Tab, secret string) {
		tab.appears("another request", func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
	}
	t.Run("an open table stays open", func(t *testing.T) {
		t.Parallel()
		tab, _, secret := newShop(t)
		tab.Open("/projects/first-shop")
		another(tab, secret)
		tab.Press("Show as table")
		tab.Until("the table", `document.querySelector(".chart-table").open`)
		another(tab, secret)
		if !evaluate[bool](tab, `document.querySelector(".chart-table").open`) {
			t.Error("the table was closed")
		}
	})
	t.Run("the chart keeps the focus and the bar", func(t *testing.T) {
		t.Parallel()
		tab, _, secret := newShop(t)
		tab.Open("/projects/first-shop")
		another(tab, secret)
		evaluate[any](tab, `document.querySelector("[data-chart-plot]").focus()`)
		tab.keys(kb.End)
		tab.Until("a bar's values", `document.querySelector(".chart-bar[data-active]")`)
		another(tab, secret)
		if !evaluate[bool](tab, `document.activeElement.matches("[data-chart-plot]")`) {
			t.Error("the chart lost the focus")
		}
		if evaluate[bool](tab,
			`((e) => e.textContent === e.dataset.total)(document.querySelector("[data-chart-when]"))`) {
			t.Error("the legend tells the totals again")
		}
	})
	t.Run("a row keeps the focus", func(t *testing.T) {
		t.Parallel()
		tab, _, secret := newShop(t)
		tab.Open("/projects/first-shop/logs")
		another(tab, secret)
		evaluate[any](tab, `document.querySelector("tbody .row-link").focus()`)
		focused := evaluate[string](tab, `document.activeElement.href`)
		another(tab, secret)
		if now := evaluate[string](tab, `document.activeElement.href ?? ""`); now != focused {
			t.Errorf("the focus went from %s to %s", focused, now)
		}
	})
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
		command(tab, fetch.FailRequest,
			fetch.FailRequestParams{RequestID: request, ErrorReason: network.ErrorReasonConnectionRefused})
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
