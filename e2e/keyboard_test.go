package e2e

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// TestEverythingCanBeDoneWithTheKeyboard makes a key and switches it off without a mouse.
func TestEverythingCanBeDoneWithTheKeyboard(t *testing.T) {
	t.Parallel()
	tab, _, _ := newShop(t)
	tab.Open("/projects/first-shop/keys")
	tab.keys(kb.Tab)
	tab.Until("the skip link in sight",
		`document.activeElement.matches(".skip-link") && document.activeElement.getBoundingClientRect().top >= 0`)
	tab.keys(kb.Enter)
	tab.Until("the content having the focus", `document.activeElement.id === "main"`)
	tab.tabTo(`e.innerText.trim() === "New key"`)
	tab.keys(kb.Enter)
	tab.At("/projects/first-shop/keys/new")

	tab.Until("the first field having the focus", `document.activeElement.id === "f-name"`)
	tab.keys("partner_acme")
	tab.tabTo(`e.id === "f-description"`)
	tab.keys("Acme reads our stock.")
	tab.tabTo(`e.name === "type"`)
	tab.keys(kb.ArrowDown)
	tab.tabTo(`e.id === "f-category"`)
	tab.keys("staging")
	tab.tabTo(`e.id === "f-self_rotation"`)
	tab.keys(" ")
	tab.tabTo(`e.innerText.trim() === "Create key"`)
	tab.keys(kb.Enter)
	tab.See("partner_acme created")
	secret := tab.Text("#secret-value")

	tab.tabTo(`e.innerText.trim() === "I have copied it"`)
	tab.keys(kb.Enter)
	tab.See("Self-rotation")
	for _, fact := range []string{"clv_test_", "Acme reads our stock.", "staging", "On"} {
		tab.See(fact)
	}

	tab.tabTo(`e.innerText.trim() === "Deactivate"`)
	tab.keys(kb.Enter)
	tab.Until("the dialog with the focus on what does no harm",
		`document.querySelector("#deactivate:popover-open") && document.activeElement.innerText.trim() === "Cancel"`)
	tab.keys(kb.Escape)
	tab.Until("the dialog closing, and the focus going back to its button",
		`!document.querySelector(":popover-open") && document.activeElement.innerText.trim() === "Deactivate"`)
	tab.expectVerdict(secret, http.StatusOK, "")
	tab.keys(kb.Enter)
	tab.Until("the dialog opening again", `document.querySelector("#deactivate:popover-open")`)
	tab.tabTo(`e.innerText.trim() === "Deactivate key"`)
	tab.keys(kb.Enter)
	tab.See("partner_acme is inactive")
	tab.expectVerdict(secret, http.StatusUnauthorized, "Inactive API Key")
}

func TestASlashLeadsToTheSearch(t *testing.T) {
	t.Parallel()
	tab, _, _ := newShop(t)
	for _, path := range []string{"/projects/first-shop/keys", "/projects/first-shop/logs"} {
		tab.Open(path)
		// As one event, which the page may take: tab.keys would send the letter after it all the same.
		command(tab, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/", WindowsVirtualKeyCode: 191,
		})
		tab.Until("the search having the focus", `document.activeElement.type === "search"`)
		tab.keys("a/b") // there, it is a letter
		if typed := evaluate[string](tab, `document.activeElement.value`); typed != "a/b" {
			t.Errorf("the search on %s holds %q, want %q", path, typed, "a/b")
		}
	}
}

// A menu opens and closes with the keyboard, and gives the focus back.
func TestAMenuClosesWithEscape(t *testing.T) {
	t.Parallel()
	tab, _, _ := newShop(t)
	tab.Open("/projects/first-shop")
	tab.tabTo(`e.matches("details.menu-end summary")`)
	tab.keys(kb.Enter)
	tab.See("Sign out")
	tab.keys(kb.Tab)
	tab.keys(kb.Escape)
	tab.Until("the menu closing, and the focus going back to its button",
		`!document.querySelector("details[data-menu][open]") &&
			document.activeElement.matches("details.menu-end summary")`)
}

// tabTo presses Tab until the focused element e meets the condition. At each stop on the way one must see where one is.
func (tab *Tab) tabTo(condition string) {
	tab.Helper()
	const most = 40
	for range most {
		tab.keys(kb.Tab)
		unseen := evaluate[string](tab, `((e) => e === document.body ||
			[undefined, "::after"].some((part) => getComputedStyle(e, part).outlineStyle !== "none")
			? "" : e.cloneNode(false).outerHTML)(document.activeElement)`)
		if unseen != "" {
			tab.Errorf("the focus cannot be seen on %s", unseen)
		}
		if evaluate[bool](tab, `((e) => !!(`+condition+`))(document.activeElement)`) {
			return
		}
	}
	tab.fail("no %s within %s steps", condition, strconv.Itoa(most))
}
