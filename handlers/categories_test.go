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

// categoryPath returns the path of a category of the project by its name.
func categoryPath(t *testing.T, app *testkit.App, project *models.Project, name string) string {
	t.Helper()
	return fmt.Sprintf("/projects/%s/categories/%d", project.Slug, app.CategoryID(project, name))
}

func TestTheCategoriesPageCountsKeysAndLinksToThem(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		other, _, _ := app.Project(user, "other")
		app.Key(project, models.KeyInput{Name: "one", Category: "partner & co"})
		app.Key(project, models.KeyInput{Name: "two", Category: "partner & co"})
		app.Key(other, models.KeyInput{Name: "three", Category: "partner & co"})
		page := b.Get("/projects/shop/categories")
		for name, count := range map[string]string{
			"production":   "1",
			"development":  "0",
			"staging":      "0",
			"partner & co": "2",
		} {
			var link string
			for _, row := range page.Find("tbody tr").EachIter() {
				cells := row.Find("td")
				if !strings.Contains(cells.First().Text(), name) {
					continue
				}
				if got := strings.TrimSpace(cells.Eq(1).Text()); got != count {
					t.Errorf("%s has %s keys, want %s", name, got, count)
				}
				if builtIn := strings.Contains(cells.First().Text(), "built in"); builtIn != (name != "partner & co") {
					t.Errorf("%s is built in: %v", name, builtIn)
				}
				if change := row.Find("a[href*='/categories/']").Length() == 1; change != (name == "partner & co") {
					t.Errorf("%s can be changed: %v", name, change)
				}
				link, _ = cells.Eq(1).Find("a").Attr("href")
			}
			if got := fmt.Sprint(b.Get(link).Find("tbody tr").Length()); got != count {
				t.Errorf("%s leads to %s keys", link, got)
			}
		}
	})
}

func TestCategoryFormsKeepTheTypedValuesAndMarkTheField(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		page := b.Post("/projects/shop/categories", url.Values{"name": {" partner "}})
		if page.Path != "/projects/shop/categories" || row(page, "partner") == "" {
			t.Fatalf("%s %s", page.Path, page.Text())
		}
		b.Post("/projects/shop/categories", url.Values{"name": {"taken"}})
		partner := categoryPath(t, app, project, "partner")
		for _, path := range []string{"/projects/shop/categories", partner} {
			for _, name := range []string{"", "taken", "staging", strings.Repeat("ä", 41), "a\tb", "a\x01b"} {
				page := b.Post(path, url.Values{"name": {name}})
				if page.Status != 422 ||
					page.FieldError("name") == "" ||
					page.Find(`.notice-danger a[href="#f-name"]`).Length() != 1 {
					t.Errorf("%s %q: %d, %q", path, name, page.Status, page.FieldError("name"))
				}
				if value, _ := page.Find("#f-name").Attr("value"); value != name {
					t.Errorf("%s: %q came back as %q", path, name, value)
				}
			}
		}
		for _, into := range []string{"", "nonsense", "999", fmt.Sprint(app.CategoryID(project, "partner"))} {
			page := b.Post(partner+"/merge", url.Values{"into": {into}})
			if page.Status != 422 || page.FieldError("into") == "" || page.FieldError("name") != "" {
				t.Errorf("into %q: %d, %q", into, page.Status, page.FieldError("into"))
			}
			if value, _ := page.Find("#f-name").Attr("value"); value != "partner" {
				t.Errorf("into %q: the form beside it holds %q", into, value)
			}
		}
	})
}

func TestARenamedCategoryAppliesAtOnceAndTheLogKeepsTheOldName(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		_, secret := app.Key(project, models.KeyInput{Name: "one", Category: "partner"})
		label := func() any {
			key, _ := app.Validate("shop", secret).Body["key"].(map[string]any)
			app.Clock.Advance(time.Second)
			return key["category"]
		}
		if got := label(); got != "partner" {
			t.Fatal(got)
		}
		page := b.Post(categoryPath(t, app, project, "partner"), url.Values{"name": {"allies"}})
		if page.Status != 200 || row(page, "allies") == "" {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		if got := label(); got != "allies" {
			t.Errorf("after the rename validate says %v", got)
		}
		into := url.Values{"into": {fmt.Sprint(app.CategoryID(project, "staging"))}}
		if page := b.Post(categoryPath(t, app, project, "allies")+"/merge", into); page.Status != 200 ||
			row(page, "allies") != "" {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		if got := label(); got != "staging" {
			t.Errorf("after the merge validate says %v", got)
		}
		app.Flush()
		log, err := app.Store.RequestLogs(t.Context(), project.ID, models.LogFilter{Limit: 10})
		var then []string
		for _, entry := range log.Entries {
			then = append(then, entry.Category)
		}
		if err != nil || strings.Join(then, " ") != "staging allies partner" {
			t.Errorf("the log says %v %v", then, err)
		}
		// The log can still be filtered by a deleted category.
		for _, name := range []string{"staging", "allies", "partner"} {
			page := b.Get("/projects/shop/logs?category=" + name)
			if page.Find("tbody tr").Length() != 1 {
				t.Errorf("%s filters %d rows", name, page.Find("tbody tr").Length())
			}
			if value, _ := page.Find("#f-category option[selected]").Attr("value"); value != name {
				t.Errorf("the filter shows %q", value)
			}
		}
		for _, filter := range []string{"category", "key", "code"} {
			if page := b.Get("/projects/shop/logs?" + filter + "=a%00b%FF"); page.Status != 200 {
				t.Errorf("an impossible %s gives %d", filter, page.Status)
			}
		}
		page = b.Get("/projects/shop/logs?category=development")
		if !strings.Contains(page.Text(), "No request matches") {
			t.Errorf("%s", page.Text())
		}
	})
}

func TestACategoryCanBeDeletedIfNoKeyHasIt(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, _ := app.Key(project, models.KeyInput{Name: "one", Category: "partner"})
		partner := categoryPath(t, app, project, "partner")
		page := b.Get(partner)
		reason, _ := page.Find("main button[aria-disabled=true]").Attr("aria-description")
		if !strings.Contains(reason, "One key has this label") {
			t.Errorf("the disabled button says %q", reason)
		}
		if page := b.Post(partner+"/delete", nil); page.Status != 409 {
			t.Errorf("deleting a category with a key gives %d, want 409", page.Status)
		}
		if page := b.Post(testkit.KeyPath(project, key)+"/delete", nil); page.Status != 200 {
			t.Fatal(page.Text())
		}
		dialog := b.Get(partner).Find(`form[action="` + partner + `/delete"]`)
		if !strings.Contains(dialog.Text(), "Delete partner?") {
			t.Errorf("the dialog asks %q", dialog.Text())
		}
		if page := b.Post(partner+"/delete", nil); page.Status != 200 || row(page, "partner") != "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		for _, name := range models.BuiltInCategories {
			path := categoryPath(t, app, project, name)
			if page := b.Get(path); page.Status != 409 {
				t.Errorf("the page of %s: %d", name, page.Status)
			}
			for _, act := range []string{"", "/merge", "/delete"} {
				if page := b.Post(path+act, url.Values{"name": {"mine"}}); page.Status != 409 {
					t.Errorf("%s%s: %d", name, act, page.Status)
				}
			}
		}
	})
}

func TestAViewerSeesCategoriesAndNoForms(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		app.Key(project, models.KeyInput{Name: "one", Category: "partner"})
		member, bob := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", project.ID,
			member.ID, app.Clock.Now())
		page := bob.Get("/projects/shop/categories")
		if page.Status != 200 ||
			row(page, "partner") == "" ||
			page.Find("main form, main a[href*='/categories/']").Length() != 0 {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		partner := categoryPath(t, app, project, "partner")
		for _, path := range []string{"/projects/shop/categories", partner, partner + "/merge", partner + "/delete"} {
			if page := bob.Post(path, url.Values{"name": {"mine"}}); page.Status != 403 {
				t.Errorf("POST %s: %d", path, page.Status)
			}
		}
	})
}
