package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
)

const ada = "ada@example.com"

// TestTheFirstMinute is what somebody does who has just started the program, up to signing out again.
func TestTheFirstMinute(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		t.Parallel()
		tab := newTab(t, newApp(t, url))
		secret := signUpAndMakeProject(tab)
		watchTheFirstRequest(tab, secret)
		watchTheLog(tab, secret)
		used := liveWithAKey(tab)
		findItInTheList(tab)
		deleteWhatWasNeverUsed(tab, used)
		signOut(tab)
		tab.events.check(t, tab.App.URL)
	})
}

// newApp is the service in the real time, because a browser goes by it.
func newApp(t *testing.T, url string, options ...testkit.Option) *testkit.App {
	t.Helper()
	_, err := findBrowser()
	needs(t, "Chromium", err) // before anything is made in vain
	app := testkit.NewApp(t, url, options...)
	app.Clock.Follow()
	return app
}

// signUpAndMakeProject gives the default key's secret.
func signUpAndMakeProject(tab *Tab) (secret string) {
	tab.Open("/")
	tab.At("/signup")
	tab.See("It becomes the admin of this instance")
	tab.Fill("E-mail", ada)
	tab.Fill("Password", testkit.Password)
	tab.Press("Create account")
	tab.At("/projects")
	tab.See("No project yet")

	tab.Press("New project")
	tab.At("/projects/new")
	tab.Fill("Name", "First shop")
	tab.Fill("Slug", "First-Shop")
	tab.Fill("Key prefix", "x")
	tab.Press("Create project")
	tab.Until("the refusal", `document.querySelector("#f-slug-error")`)
	if status := evaluate[int](tab, `performance.getEntriesByType("navigation")[0].responseStatus`); status != 422 {
		tab.Errorf("the refusal has status %d, want 422", status)
	}
	for field, message := range map[string]string{"slug": "Start with a letter", "key_prefix": "2 to 12 characters"} {
		if text := tab.Text("#f-" + field + "-error"); !strings.Contains(text, message) {
			tab.Errorf("%s says %q, want a word of %q", field, text, message)
		}
	}
	for label, typed := range map[string]string{"Name": "First shop", "Slug": "First-Shop", "Key prefix": "x"} {
		if kept := tab.Value(label); kept != typed {
			tab.Errorf("%s holds %q, want %q as it was typed", label, kept, typed)
		}
	}

	tab.Fill("Slug", "first-shop")
	tab.Fill("Key prefix", "shop")
	tab.Press("Create project")
	tab.See("Copy it now")
	tab.At("/projects/first-shop")
	secret = tab.Text("#secret-value")
	if !regexp.MustCompile(`^shop_prod_[0-9A-Za-z]{49}$`).MatchString(secret) {
		tab.Errorf("the secret is %q", secret)
	}
	if curl := tab.Text("#secret-curl"); !strings.Contains(curl, secret) {
		tab.Errorf("the command does not hold the secret: %s", curl)
	}
	return secret
}

// watchTheFirstRequest runs the very command that was shown, and sees the page turn.
func watchTheFirstRequest(tab *Tab, secret string) {
	command := tab.Text("#secret-curl")
	tab.Reload()
	tab.At("/projects/first-shop")
	tab.SeeNot(secret)
	tab.See("Waiting for the first request")

	tab.Mark()
	tab.appears("the first request", func() testkit.Reply { return paste(tab, command) })
	tab.See("Last hour")
	tab.Until("a chart with a bar",
		`document.querySelectorAll("#last-hour .chart-bar rect:not(.chart-slot)").length === 1`)
	tab.SeeNot("Waiting for the first request")
	tab.Marked()
	if n := evaluate[int](tab, `document.querySelectorAll("table[role=table] tbody tr").length`); n != 1 {
		tab.Errorf("the list has %d requests, want 1", n)
	}
}

// watchTheLog sees a row come in, and opens it.
func watchTheLog(tab *Tab, secret string) {
	tab.Press("Logs")
	tab.At("/projects/first-shop/logs")
	tab.Mark()
	id := tab.appears("a row of the log", func() testkit.Reply { return tab.App.Validate("first-shop", secret) })
	tab.Marked()
	tab.click("#" + id) // anywhere in the row
	tab.At("/projects/first-shop/logs/" + id)
	for _, fact := range []string{id, "Valid", "/v1/projects/first-shop/validate", "127.0.0.1"} {
		tab.See(fact)
	}
}

// signOut ends at a page that does not show what was there, also not by going back.
func signOut(tab *Tab) {
	tab.Press("Account of " + ada)
	tab.Press("Sign out")
	tab.At("/signin")
	evaluate[any](tab, `history.back()`)
	tab.At("/signin?next=%2Fprojects%2Ffirst-shop%2Fkeys")
	tab.SeeNot("partner_acme")
}

// paste runs a command as a person does who copies it into a terminal.
func paste(tab *Tab, command string) testkit.Reply {
	tab.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		form := regexp.MustCompile(`^(?:export API_KEY="(.*)"\n)?curl -H "X-API-Key: (\S+)" http://[^/]+(\S+)$`)
		match := form.FindStringSubmatch(command)
		if match == nil {
			tab.Fatalf("this is no curl command: %s", command)
		}
		return tab.App.Call(http.MethodGet, match[3], "", "X-API-Key",
			strings.Replace(match[2], "$API_KEY", match[1], 1))
	}
	output, err := exec.CommandContext(tab.Context(), "sh", "-c", command).Output()
	if err != nil {
		tab.Fatalf("%s: %v", command, err)
	}
	var reply testkit.Reply
	if err := json.Unmarshal(output, &reply.Body); err != nil {
		tab.Fatalf("%s: %v: %s", command, err, output)
	}
	return reply
}

// appears makes a request and waits until the page shows its row. The promise is a second; how long it took is logged,
// and not asserted, because it depends on what else the machine does.
func (tab *Tab) appears(what string, request func() testkit.Reply) (id string) {
	tab.Helper()
	started := time.Now()
	id, ok := request().Body["request_id"].(string)
	if !ok {
		tab.Fatal("no request was made")
	}
	tab.Until(what, `document.getElementById(`+strconv.Quote(id)+`)`)
	tab.Logf("%s was shown after %v", what, time.Since(started).Round(time.Millisecond))
	return id
}
