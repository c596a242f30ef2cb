package e2e

import (
	"net/http"
	"strings"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// liveWithAKey makes a key with everything that a key can have, and switches it off and on. It gives the key's path.
func liveWithAKey(tab *Tab) (path string) {
	tab.Press("Keys")
	tab.At("/projects/first-shop/keys")
	tab.Press("New key")
	tab.At("/projects/first-shop/keys/new")
	tab.Fill("Name", "partner_acme")
	tab.Fill("Description", "Acme reads our stock.")
	tab.Choose("Test")
	tab.Fill("Category", "New label")
	tab.Fill("New label", "partners")
	tab.See("Time zone America/New_York")
	tab.Fill("Expires", "2031-05-06T07:08")
	tab.Press("Create key")
	tab.See("partner_acme created")
	secret := tab.Text("#secret-value")
	copySecret(tab, secret)

	tab.Press("I have copied it")
	tab.See("Self-rotation")
	path = tab.Path()
	tab.SeeNot(secret)
	for _, fact := range []string{"Acme reads our stock.", "partners", "shop_test_", "Active",
		"No request was made with this key yet"} {
		tab.See(fact)
	}
	// Typed in New York's time, kept in UTC, told in New York's time.
	expires := evaluate[string](tab, `document.querySelector('time[datetime="2031-05-06T11:08:00Z"]')?.title ?? ""`)
	if !strings.HasPrefix(expires, "6 May 2031, 07:08:00") {
		tab.Errorf("the expiry is told as %q", expires)
	}

	tab.expectVerdict(secret, http.StatusOK, "")
	tab.Press("Deactivate")
	tab.See("Deactivate partner_acme?")
	tab.Press("Deactivate key")
	tab.See("partner_acme is inactive")
	tab.At(path)
	tab.expectVerdict(secret, http.StatusUnauthorized, "Inactive API Key")
	tab.Press("Activate")
	tab.See("partner_acme is active again")
	tab.At(path)
	tab.expectVerdict(secret, http.StatusOK, "")
	return path
}

// copySecret uses the button beside the secret.
func copySecret(tab *Tab, secret string) {
	tab.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(tab.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			Origin: tab.App.URL, BrowserContextID: chromedp.FromContext(tab.ctx).BrowserContextID,
		})
		if err != nil {
			tab.Fatal(err)
		}
	}
	tab.click(`[data-copy="secret-value"]`)
	tab.See("Copied")
	if copied := evaluate[string](tab, `navigator.clipboard.readText()`); copied != secret {
		tab.Errorf("the clipboard holds %q, want %q", copied, secret)
	}
}

// findItInTheList narrows the list down to the key by its type, in the URL.
func findItInTheList(tab *Tab) {
	tab.Press("Keys")
	tab.At("/projects/first-shop/keys")
	tab.See("_default_")
	tab.Fill("Type", "Test") // applies at once
	tab.Until("the filter in the address",
		`new URLSearchParams(location.search).get("type") === "test" && document.readyState === "complete"`)
	tab.See("partner_acme")
	tab.SeeNot("_default_")
	tab.Reload()
	tab.See("partner_acme")
	tab.SeeNot("_default_")
	if chosen := tab.Value("Type"); chosen != "test" {
		tab.Errorf("after a reload the filter shows %q", chosen)
	}
	tab.Fill("Search", "no such key\r")
	tab.See("No key matches")
	tab.Press("Clear filters")
	tab.At("/projects/first-shop/keys")
	tab.See("partner_acme")
}

// deleteWhatWasNeverUsed finds that the used key cannot be deleted, and why, and deletes one that was never used.
func deleteWhatWasNeverUsed(tab *Tab, used string) {
	const reason = "A key that was used cannot be deleted"
	tab.Press("partner_acme")
	tab.At(used)
	tab.Press("Delete")
	tab.Until("the reason beside the button", `[...document.querySelectorAll(".tip")].some((e) =>
		e.innerText.startsWith("`+reason+`") && e.checkVisibility())`)
	tab.Until("the reason for screen readers", `[...document.querySelectorAll("button[aria-disabled=true]")].some((e) =>
		e.ariaDescription?.startsWith("`+reason+`"))`)
	tab.At(used)

	tab.Open("/projects/first-shop/keys/new")
	tab.Fill("Name", "a_mistake")
	tab.Press("Create key")
	tab.See("a_mistake created")
	tab.Press("I have copied it")
	tab.See("No request was made with this key yet")
	tab.Press("Delete")
	tab.See("Delete a_mistake?")
	tab.Press("Delete key")
	tab.See("a_mistake was deleted")
	tab.At("/projects/first-shop/keys")
	tab.See("partner_acme")
	if strings.Contains(tab.Text("table"), "a_mistake") {
		tab.Error("the deleted key is in the list")
	}
}

// expectVerdict asks about a key of the project first-shop.
func (tab *Tab) expectVerdict(secret string, status int, message string) {
	tab.Helper()
	reply := tab.App.Validate("first-shop", secret)
	if text, _ := reply.Body["error"].(string); reply.Status != status || text != message {
		tab.Errorf("validate said %d %q, want %d %q", reply.Status, text, status, message)
	}
}
