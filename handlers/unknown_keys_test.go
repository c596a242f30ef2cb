package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
)

func TestRequestsWithUnknownKeysAreCountedByAddress(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		result := app.Setup("shop")
		_, _, foreign := app.Project(user, "other")
		if page := b.Get("/projects/shop/blocks"); page.Status != 200 ||
			!strings.Contains(page.Text(), "No requests with unknown keys.") {
			t.Errorf("the empty page says %s", page.Text())
		}
		peer := testkit.Validator{App: app}
		for _, key := range []string{
			"nonsense", "nonsense", testkit.UnknownSecret(t, 1), foreign, "", result.Key.Plain(),
		} {
			peer.Ask(key)
		}
		token := testkit.Bearer(result.ServiceToken)
		app.Call("POST", "/v1/projects/shop/validate", `{"key":"nonsense","dry_run":true}`, token...)
		testkit.Validator{App: app, IP: "2001:db8::1", Headers: token}.Ask("nonsense")
		testkit.Validator{App: app, IP: "203.0.113.9", Headers: token}.AskBad(40) // the last 20 of them are blocked
		app.Flush()
		app.Clock.Advance(3 * time.Hour)
		page := b.Get("/projects/shop/blocks")
		for address, want := range map[string]string{"127.0.0.1": "4", "2001:db8::/64": "1"} {
			if text := row(page, address); text != fmt.Sprintf("%s %s 09:26 3 hours ago", address, want) {
				t.Errorf("the row is %q, want %s requests", text, want)
			}
		}
		text := page.Find("tbody").Last().Find("tr").First().Text()
		if strings.Join(strings.Fields(text), " ") != "203.0.113.9 40 09:26 3 hours ago" {
			t.Errorf("the one with the most is %q", text)
		}
		if page := b.Get("/projects/shop/blocks?q=2001:db8::7"); row(page, "2001:db8::/64") == "" ||
			row(page, "127.0.0.1") != "" {
			t.Errorf("the search gives %s", page.Text())
		}
		if text := row(b.Get("/projects/other/blocks"), "127.0.0.1"); text != "" {
			t.Errorf("another project has %q", text)
		}
	})
}
