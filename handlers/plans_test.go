package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// planForm returns the values of a form from pairs of name and value.
func planForm(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func TestTheInstanceAdminEditsPlans(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, admin := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		if text := admin.Get("/admin/plans").Text(); !strings.Contains(text, "Enterprise default Yes none") ||
			!strings.Contains(text, "Free No 1 10 300") {
			t.Errorf("the list shows %s", text)
		}
		if got, _ := admin.Get("/admin/plans/3").Find("input[name=key_per_minute]").Attr("value"); got != "5000" {
			t.Errorf("the form of Growth shows %q", got)
		}
		page := admin.Post("/admin/plans/1",
			planForm("rotation", "true", "active_keys", "2", "log_days", "x", "ip_per_minute", "0"))
		if page.Status != 422 ||
			page.FieldError("log_days") == "" ||
			page.FieldError("ip_per_minute") == "" ||
			page.FieldError("active_keys") != "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if got, _ := page.Find("input[name=log_days]").Attr("value"); got != "x" {
			t.Errorf("what was typed is lost: %q", got)
		}
		page = admin.Post("/admin/plans/1", planForm("rotation", "true", "active_keys", "2", "log_days", "7"))
		if page.Path != "/admin/plans" ||
			!strings.Contains(page.Text(), "The Free plan was saved.") ||
			!strings.Contains(page.Text(), "Free Yes 2 none") {
			t.Errorf("%s: %s", page.Path, page.Text())
		}
		page = admin.Post("/admin/plans/default", planForm("plan", "9"))
		if page.Status != 422 || page.FieldError("plan") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		page = admin.Post("/admin/plans/default", planForm("plan", "1"))
		if !strings.Contains(page.Text(), "Free default") {
			t.Errorf("%s", page.Text())
		}
		app.Project(user, "late")
		text := admin.Get("/admin/projects").Text()
		if !strings.Contains(text, "late late Free 1") || !strings.Contains(text, "shop shop Enterprise 1") {
			t.Errorf("the projects are %s", text)
		}
		if text := admin.Get("/admin/projects?q=sho").Text(); strings.Contains(text, "late") ||
			!strings.Contains(text, "shop") {
			t.Errorf("found: %s", text)
		}
		if text := admin.Get("/admin/audit?action=plan").Text(); !strings.Contains(text, "edited plan Free") ||
			strings.Contains(text, "created account") {
			t.Errorf("the audit log of the instance is %s", text)
		}

		path := fmt.Sprintf("/admin/projects/%d", project.ID)
		page = admin.Post(path, planForm("plan", "2", "rotation", "maybe", "active_keys", "-1", "log_days", "for ever"))
		if page.Status != 422 ||
			page.FieldError("rotation") == "" ||
			page.FieldError("active_keys") == "" ||
			page.FieldError("log_days") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if page = admin.Post(path, planForm("plan", "nine")); page.Status != 422 || page.FieldError("plan") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		page = admin.Post(path, planForm("plan", "2", "rotation", "0", "active_keys", "None", "log_days", "5"))
		if page.Status != 200 || !strings.Contains(page.Text(), "The plan of shop was saved.") {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		for name, want := range map[string]string{"active_keys": "none", "log_days": "5", "key_per_minute": ""} {
			if got, _ := page.Find("input[name=" + name + "]").Attr("value"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		settings := admin.Get("/projects/shop/settings").Text()
		for _, want := range []string{
			"Starter", "RotationNo override", "Active keysNo limit override", "Logs kept, days5 override",
			"Key, per minute1,000",
		} {
			if !strings.Contains(settings, want) {
				t.Errorf("the settings do not say %q: %s", want, settings)
			}
		}
	})
}

func TestPagesSayWhichPlanAllowsWhatThisOneDoesNot(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		app.SignUp("root@example.com") // the admin of the instance is somebody else
		user, browser := app.SignUp("ada@example.com")
		project, key, _ := app.Project(user, "shop")
		idle, _ := app.Key(project, models.KeyInput{Name: "idle"})
		_, err := app.Store.ChangeKeyState(t.Context(), project.ID, idle.ID, tester, models.ActionDeactivate)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.Store.ChangeProjectPlan(t.Context(), tester, project.ID, 1, nil); err != nil {
			t.Fatal(err)
		}
		const full = "The Free plan allows 1 active key. The Starter plan allows more"
		page := browser.Get("/projects/shop/keys")
		if !strings.Contains(page.Text(), "1 of 1 active keys") ||
			page.Find(`.page-actions [aria-disabled][aria-description^="`+full+`"]`).Length() != 1 {
			t.Errorf("%s", page.HTML)
		}
		if text := browser.Get("/projects/shop/keys/new").Text(); !strings.Contains(text, full) {
			t.Errorf("%s", text)
		}
		page = browser.Post("/projects/shop/keys", url.Values{
			"name":     {"two"},
			"type":     {"test"},
			"category": {"staging"},
		})
		if name, _ := page.Find("#f-name").Attr("value"); page.Status != 422 ||
			!strings.Contains(page.Text(), full) ||
			name != "two" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		page = browser.Get(testkit.KeyPath(project, idle))
		if page.Find(`[aria-disabled][aria-description^="`+full+`"]`).Length() != 1 {
			t.Errorf("Activate is not disabled: %s", page.Text())
		}
		page = browser.Post(testkit.KeyPath(project, idle)+"/activate", nil)
		if page.Status != 403 || !strings.Contains(page.Text(), full) {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		const noRotation = "Keys cannot be rotated on the Free plan. The Starter plan allows it"
		page = browser.Get(testkit.KeyPath(project, key))
		if page.Find(`[aria-disabled][aria-description^="`+noRotation+`"]`).Length() != 1 {
			t.Errorf("Rotate is not disabled: %s", page.Text())
		}
		page = browser.Post(testkit.KeyPath(project, key)+"/rotate", url.Values{"grace": {"now"}})
		if page.Status != 403 || !strings.Contains(page.Text(), noRotation) {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if page = browser.Get("/admin/plans"); page.Status != 404 {
			t.Errorf("the plans give somebody else %d", page.Status)
		}
	})
}

func TestTheInstanceAdminRotatesTheDefaultKeyOnAnyPlan(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, admin := app.SignUp("ada@example.com")
		project, key, secret := app.Project(user, "shop")
		other, _ := app.Key(project, models.KeyInput{Name: "other"})
		if _, err := app.Store.ChangeProjectPlan(t.Context(), tester, project.ID, 1, nil); err != nil {
			t.Fatal(err)
		}
		page := admin.Post(testkit.KeyPath(project, other)+"/rotate", url.Values{"grace": {"now"}})
		if page.Status != 403 {
			t.Errorf("another key: %d", page.Status)
		}
		page = admin.Post(testkit.KeyPath(project, key)+"/rotate", url.Values{"grace": {"now"}})
		if page.Status != 201 {
			t.Errorf("the default key: %d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", secret).Code(); code != "key_revoked" {
			t.Errorf("the old secret gives %s", code)
		}
	})
}

func TestSettingsChangeNamePrefixAndSlug(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, browser := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		app.Project(user, "other")
		app.Validate("shop", secret)
		page := browser.Post("/projects/shop/settings", planForm("name", "", "key_prefix", "X", "quota_status", "200"))
		if page.Status != 422 ||
			page.FieldError("name") == "" ||
			page.FieldError("key_prefix") == "" ||
			page.FieldError("quota_status") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		page = browser.Post("/projects/shop/settings",
			planForm("name", "Acme & Sons", "key_prefix", "acme", "quota_status", "429"))
		if !strings.Contains(page.Text(), "The settings were saved.") || !strings.Contains(page.Text(), "Acme & Sons") {
			t.Errorf("%s", page.Text())
		}
		page = browser.Post("/projects/shop/keys", url.Values{
			"name":     {"one"},
			"type":     {"test"},
			"category": {"staging"},
		})
		if !strings.Contains(page.HTML, "acme_test_") {
			t.Error("a new secret does not have the new prefix")
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("a secret with the old prefix gives %s", code)
		}
		page = browser.Post("/projects/shop/settings/slug", planForm("slug", "other"))
		if page.Status != 422 || page.FieldError("slug") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		page = browser.Post("/projects/shop/settings/slug", planForm("slug", "acme"))
		if page.Path != "/projects/acme/settings" || !strings.Contains(page.Text(), "The slug is acme from now on.") {
			t.Errorf("%s: %s", page.Path, page.Text())
		}
		// The new slug applies to the next request.
		for ref, want := range map[string]string{
			"shop":                 "project_unknown",
			"acme":                 "valid",
			fmt.Sprint(project.ID): "valid",
		} {
			if code := app.Validate(ref, secret).Code(); code != want {
				t.Errorf("validate under %s gives %s", ref, code)
			}
		}
		// Only an owner changes the slug.
		bob, admin := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'admin', ?)", project.ID,
			bob.ID, app.Clock.Now().Add(-time.Hour))
		page = admin.Get("/projects/acme/settings")
		if page.Find("input[name=slug]").Length() != 0 || page.Find("input[name=name]").Length() != 1 {
			t.Errorf("an admin sees %s", page.Text())
		}
	})
}
