package e2e

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/claviger/claviger/internal/testkit"
)

func TestEverythingWorksWithoutJavaScript(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		t.Parallel()
		journeyWithoutJavaScript(t, newTab(t, newApp(t, url)))
	})
}

func journeyWithoutJavaScript(t *testing.T, tab *Tab) {
	t.Helper()
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
	tab.expectVerdict(secret, http.StatusOK, "")
	tab.App.Flush()
	tab.Reload()
	if n := evaluate[int](tab, `document.querySelectorAll("table[role=table] tbody tr").length`); n != 2 {
		tab.Errorf("after a reload the list has %d requests, want 2", n)
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
