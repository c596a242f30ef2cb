package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claviger/claviger/handlers"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// tester is the actor of changes that tests make directly in the store.
var tester = testkit.Actor(1)

// pathOf fills in the parameters of a route's path.
func pathOf(w *testkit.World, route handlers.Route, project string) string {
	seq := "5" // of the service token; the stranger's own project has fewer rows
	if route.Access.InstanceAdmin {
		seq = "1" // in the chain of the instance
	}
	return w.Path(route.Path, project, seq)
}

func ask(b *testkit.Browser, method, path string) testkit.Page {
	if method == http.MethodPost {
		return b.Post(path, url.Values{"name": {"x"}, "type": {"test"}, "category": {"staging"}})
	}
	return b.Get(path)
}

// ownPages are the routes that concern only the user's own account, or no data at all.
var ownPages = map[string]bool{
	"GET /": true, "GET /docs/api": true, "GET /signup": true, "POST /signup": true, "GET /signin": true,
	"POST /signin": true, "POST /signout": true,
	"GET /account": true, "POST /account/password": true, "POST /account/sessions/end": true,
	"GET /projects": true, "GET /projects/new": true, "POST /projects": true,
}

// New routes are covered automatically: they must answer 404 to a stranger unless they are in ownPages.
func TestEveryRouteAnswers404ToAStranger(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := app.World()
		bob, stranger := app.SignUp("bob@example.com")
		app.Project(bob, "his")
		for _, route := range app.Handlers.Routes() {
			name := route.Method + " " + route.Path
			if ownPages[name] {
				continue
			}
			for _, project := range []string{w.Project.Slug, fmt.Sprint(w.Project.ID)} {
				if page := ask(stranger, route.Method, pathOf(w, route, project)); page.Status != 404 {
					t.Errorf("%s in %s gives a stranger %d", name, project, page.Status)
				}
			}
			// The stranger's own project gives no access to objects of another one.
			if strings.Count(route.Path, ":") > 1 {
				if page := ask(stranger, route.Method, pathOf(w, route, "his")); page.Status != 404 {
					t.Errorf("%s through the stranger's own project gives %d", name, page.Status)
				}
			}
			// A visitor who is not signed in is led to the sign-in page, whether the object exists or not.
			page := ask(app.Browser(), route.Method, pathOf(w, route, "shop"))
			if !strings.HasPrefix(page.Path, "/signin") {
				t.Errorf("%s leads a visitor to %s", name, page.Path)
			}
		}
		for _, path := range []string{
			"/projects/shop",
			testkit.KeyPath(w.Project, w.Key),
			"/projects/shop/logs/" + w.Request,
		} {
			if page := owner.Get(path); page.Status != 200 {
				t.Errorf("%s gives its owner %d", path, page.Status)
			}
		}
		if key, err := app.Store.Key(t.Context(), w.Project.ID, w.Key.ID); err != nil ||
			key.State != models.StateActive ||
			key.Name != "one" {
			t.Errorf("the stranger changed something: %+v %v", key, err)
		}
	})
}

func TestAnotherProjectsSecretAndAnUnknownOneLookTheSame(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		app.Project(user, "shop")
		_, _, secret := app.Project(user, "other")
		foreign, unknown := app.Validate("shop", secret), app.Validate("shop", testkit.UnknownSecret(t, 1))
		for _, r := range []testkit.Reply{foreign, unknown} {
			delete(r.Body, "request_id")
			r.Header.Del("X-Request-ID")
			r.Header.Del("Date")
		}
		if fmt.Sprint(foreign) != fmt.Sprint(unknown) {
			t.Errorf("the replies differ:\n%v\n%v", foreign, unknown)
		}
	})
}

func TestEachRoleHasThePermissionsOfTheMatrix(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, _ := app.World()
		member, browser := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", w.Project.ID,
			member.ID, app.Clock.Now())
		for _, role := range []models.Role{
			models.RoleViewer, models.RoleDeveloper, models.RoleAdmin, models.RoleOwner,
		} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), member.ID)
			for _, route := range app.Handlers.Routes() {
				if route.Access.Permission == "" || strings.HasSuffix(route.Path, "/delete") {
					continue
				}
				page := ask(browser, route.Method, pathOf(w, route, "shop"))
				if forbidden := page.Status == 403; forbidden == role.May(route.Access.Permission) {
					t.Errorf("%s as %s gives %d", route.Method+" "+route.Path, role, page.Status)
				}
			}
			page := browser.Get(testkit.KeyPath(w.Project, w.Key))
			if buttons := page.Find("main form").Length() > 0; buttons != role.May(models.PermitWriteKeys) {
				t.Errorf("a %s sees buttons: %v, want %v", role, buttons, !buttons)
			}
		}
	})
}

func TestEveryRouteThatChangesSomethingRefusesOtherSites(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := app.World()
		for _, route := range app.Handlers.Routes() {
			if route.Method != http.MethodPost {
				continue
			}
			for _, headers := range [][]string{
				{"Sec-Fetch-Site", "cross-site"},
				{"Sec-Fetch-Site", "same-site"},
				{"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			} {
				if page := owner.Post(pathOf(w, route, "shop"), url.Values{}, headers...); page.Status != 403 {
					t.Errorf("%s with %v gives %d", route.Path, headers, page.Status)
				}
			}
		}
	})
}

// The number of a page's statements must not grow with the number of its rows.
func TestPagesNeedAsManyStatementsForManyRowsAsForFew(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := app.World()
		count := func() map[string]int64 {
			counts := map[string]int64{}
			for _, route := range app.Handlers.Routes() {
				if route.Method != http.MethodGet {
					continue
				}
				before := app.Queries.Load()
				if page := owner.Get(pathOf(w, route, "shop")); page.Status != 200 {
					t.Errorf("%s gives %d", route.Path, page.Status)
				}
				counts[route.Path] = app.Queries.Load() - before
			}
			return counts
		}
		few := count()
		user, err := app.Store.SignIn(t.Context(), "ada@example.com", testkit.Password)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			_, secret := app.Key(w.Project, models.KeyInput{
				Name:     fmt.Sprintf("key_%d", i),
				Category: fmt.Sprintf("label %d", i),
			})
			app.Validate("shop", secret)
			app.Project(user, fmt.Sprintf("project-%d", i))
			_, _, err := app.Store.CreateServiceToken(t.Context(), w.Project.ID, tester, "gateway", models.AllScopes)
			if err != nil {
				t.Fatal(err)
			}
			address := fmt.Sprintf("198.51.100.%d", i)
			_, err = app.Store.BlockAddress(t.Context(), models.AddressBlock{
				ProjectID: w.Project.ID,
				Address:   address,
				Strikes:   1,
				BlockedAt: app.Clock.Now(),
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = app.Store.CreateSession(t.Context(), models.HashSession([]byte{byte(i)}), user.ID, nil,
				"192.0.2.1", "x")
			if err != nil {
				t.Fatal(err)
			}
		}
		app.Flush()
		for path, n := range count() {
			if n != few[path] {
				t.Errorf("%s: %d statements with few rows, %d with many", path, few[path], n)
			}
			if n > 8 {
				t.Errorf("%s: %d statements, want at most 8", path, n)
			}
		}
	})
}
