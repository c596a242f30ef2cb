package e2e

import (
	"net/url"
	"path"
	"strings"

	"github.com/claviger/claviger/internal/testkit"
)

// shown is a page in one of its states.
type shown struct {
	name string
	app  *testkit.App
	as   string // session; empty for strangers
	open func(*Tab)
}

// pages is every page of the dashboard in each state that looks different.
func (v *world) pages() []shown {
	var list []shown
	add := func(session, name string, open func(*Tab)) {
		list = append(list, shown{name: name, app: v.app, as: session, open: open})
	}
	at := func(path string) func(*Tab) { return func(tab *Tab) { tab.Open(path) } }
	const stranger = ""

	list = append(list,
		shown{"the first sign-up", v.empty, stranger, at("/signup")},
		shown{"the first sign-up refused", v.empty, stranger, func(tab *Tab) {
			tab.Open("/signup")
			tab.Fill("E-mail", ada)
			tab.Fill("Password", "short")
			tab.Press("Create account")
			tab.See("At least 10 characters")
			tab.Until("the refusal", `document.querySelector("#f-password-error")`)
		}},
	)
	add(stranger, "sign-up", at("/signup"))
	add(stranger, "sign-in", at("/signin"))
	add(stranger, "sign-in refused", func(tab *Tab) {
		tab.Open("/signin")
		tab.Fill("E-mail", ada)
		tab.Fill("Password", "not the password")
		tab.Press("Sign in")
		tab.See("That did not work")
	})
	add(stranger, "API", at("/docs/api"))
	add(stranger, "not found for a stranger", at("/nothing/here"))

	add(v.newcomer, "no projects", at("/projects"))
	add(v.owner, "projects", at("/projects"))
	add(v.newcomer, "new project", at("/projects/new"))
	add(v.newcomer, "new project refused", func(tab *Tab) {
		tab.Open("/projects/new")
		tab.Fill("Name", "Storefront")
		tab.Fill("Slug", "Store Front")
		tab.Fill("Key prefix", "x")
		tab.Press("Create project")
		tab.Until("the refusal", `document.querySelector("#f-slug-error")`)
	})
	add(v.owner, "overview waiting", at(v.waiting))
	add(v.maker, "overview with a secret", func(tab *Tab) {
		tab.Open("/projects/new")
		tab.Fill("Name", "First shop")
		tab.Press("Create project")
		tab.See("Copy it now")
	})
	add(v.owner, "overview", at(v.project))
	add(v.owner, "overview as a table", func(tab *Tab) {
		tab.Open(v.project)
		tab.Press("Show as table")
		tab.Until("the table", `document.querySelector(".chart-table").open`)
	})

	add(v.owner, "keys", at(v.project+"/keys"))
	add(v.owner, "keys filtered", at(v.project+"/keys?type=test&status=active"))
	add(v.owner, "no key matches", at(v.project+"/keys?q=nothing+of+the+kind"))
	add(v.owner, "new key", at(v.project+"/keys/new"))
	add(v.owner, "new key refused", func(tab *Tab) {
		tab.Open(v.project + "/keys/new")
		tab.Fill("Name", "not a name")
		tab.Fill("Category", "New label")
		tab.Fill("Expires", "2001-02-03T04:05")
		tab.Press("Create key")
		tab.Until("the refusal",
			`document.querySelector("#f-name-error") && document.querySelector("#f-new_category-error")`)
	})
	add(v.maker, "key created", func(tab *Tab) {
		tab.Open(v.workshop + "/keys/new")
		tab.Fill("Name", v.usedName)
		tab.Press("Create key")
		tab.See("Copy it now")
	})
	add(v.owner, "default key", at(v.defaultKey))
	add(v.owner, "used key", at(v.used))
	add(v.owner, "unused key", at(v.unused))
	add(v.owner, "inactive key", at(v.inactive))
	add(v.owner, "revoked key", at(v.revoked))
	add(v.owner, "why a button is disabled", func(tab *Tab) {
		tab.Open(v.used)
		tab.Press("Delete")
		tab.Until("the reason", `[...document.querySelectorAll(".tip")].some((e) => e.checkVisibility())`)
	})
	add(v.owner, "dialog", func(tab *Tab) {
		tab.Open(v.used)
		tab.Press("Deactivate")
		tab.Until("the dialog", `document.querySelector(":popover-open")`)
	})
	add(v.owner, "edit key", at(v.used+"/edit"))
	add(v.owner, "rotate key", at(v.used+"/rotate"))
	add(v.owner, "replacement of a key", at(v.project+"/keys/new?replaces="+path.Base(v.used)))
	add(v.owner, "revoke key", at(v.used+"/revoke"))
	add(v.owner, "revoke refused", func(tab *Tab) {
		tab.Open(v.used + "/revoke")
		tab.Fill("The key's name", "another")
		tab.Press("Revoke key")
		tab.Until("the refusal", `document.querySelector("#f-confirm-error")`)
	})
	add(v.maker, "retiring version", func(tab *Tab) {
		tab.Open(v.workshop + "/keys")
		tab.click("tbody .row-link")
		tab.See("Versions")
		tab.Press("Rotate")
		tab.click(`input[value="24h"]`)
		tab.Press("Rotate key")
		tab.See("Copy it now")
		tab.Press("I have copied it")
		tab.See("Retiring")
	})

	add(v.owner, "categories", at(v.project+"/categories"))
	add(v.owner, "no tokens", at(v.project+"/tokens"))
	add(v.owner, "new token", at(v.project+"/tokens/new"))
	add(v.owner, "new token refused", func(tab *Tab) {
		tab.Open(v.project + "/tokens/new")
		tab.Fill("Name", "gateway")
		tab.click(`input[value="validate"]`) // off: it is offered as the one scope
		tab.Press("Create token")
		tab.Until("the refusal", `document.querySelector("#f-scopes-error")`)
	})
	add(v.owner, "audit log", at(v.project+"/audit"))
	add(v.owner, "one audit row", at(v.project+"/audit/3"))
	add(v.owner, "no audit row matches", at(v.project+"/audit?actor=nobody"))
	add(v.owner, "edit default key", at(v.defaultKey+"/edit"))

	add(v.owner, "settings", at(v.project+"/settings"))
	add(v.owner, "settings refused", func(tab *Tab) {
		tab.Open(v.project + "/settings")
		tab.Fill("Key prefix", "x")
		tab.Press("Save")
		tab.Until("the refusal", `document.querySelector("#f-key_prefix-error")`)
	})
	add(v.owner, "keys at the maximum", at(v.waiting+"/keys"))
	add(v.owner, "new key at the maximum", at(v.waiting+"/keys/new"))
	add(v.owner, "plans", at("/admin/plans"))
	add(v.owner, "plan", at("/admin/plans/3"))
	add(v.owner, "plan refused", func(tab *Tab) {
		tab.Open("/admin/plans/3")
		tab.Fill("Active keys", "many")
		tab.Press("Save")
		tab.Until("the refusal", `document.querySelector("#f-active_keys-error")`)
	})
	add(v.owner, "all projects", at("/admin/projects"))
	add(v.owner, "no project matches", at("/admin/projects?q=nothing+of+the+kind"))
	add(v.owner, "plan of a project", at("/admin/projects"+strings.TrimPrefix(v.project, "/projects")))
	add(v.owner, "instance actions", at("/admin/audit"))

	add(v.owner, "no requests", at(v.waiting+"/logs"))
	add(v.owner, "logs", at(v.project+"/logs"))
	add(v.owner, "logs of a stretch of time",
		at(v.project+"/logs?key=old_importer&range=custom&from=2026-01-02T03:04&to=&time_zone=Europe%2FBerlin"))
	add(v.owner, "logs filtered", at(v.project+"/logs?"+url.Values{
		"type": {"production"}, "status": {"5xx"}, "endpoint": {"POST " + v.words.path}, "ip": {v.words.ip},
		"category": {v.words.category},
	}.Encode()))
	add(v.owner, "no request matches", at(v.project+"/logs?key=no_such_key"))
	add(v.owner, "admitted request", at(v.admitted))
	add(v.owner, "rejected request", at(v.rejected))

	add(v.owner, "no blocks", at(v.waiting+"/blocks"))
	add(v.owner, "blocks", at(v.project+"/blocks"))
	add(v.owner, "no block matches", at(v.project+"/blocks?q=192.0.2.99"))
	add(v.owner, "lift a block", func(tab *Tab) {
		tab.Open(v.project + "/blocks")
		tab.Press("Lift")
		tab.Until("the dialog", `document.querySelector(":popover-open")`)
	})

	add(v.owner, "account", at("/account"))
	add(v.newcomer, "account refused", func(tab *Tab) {
		tab.Open("/account")
		tab.Fill("Current password", "not the password")
		tab.Fill("New password", "short")
		tab.Press("Change password")
		tab.Until("the refusal", `document.querySelector(".field-error, [role=alert]")`)
	})
	add(v.owner, "menu of projects", func(tab *Tab) {
		tab.Open(v.project)
		tab.click("details[data-menu] summary")
		tab.See("All projects")
	})
	add(v.owner, "menu of the account", func(tab *Tab) {
		tab.Open(v.project)
		tab.click("details.menu-end summary")
		tab.See("Sign out")
	})
	add(v.owner, "not found", at("/projects/none-of-yours"))
	add(v.owner, "components", at("/dev/components"))
	return list
}
