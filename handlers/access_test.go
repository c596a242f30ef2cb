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

// world is a project with one of everything that a route can name.
type world struct {
	app     *testkit.App
	project *models.Project
	key     *models.Key
	request string
	session int64
	label   *models.Category
	token   *models.ServiceToken
	block   *models.AddressBlock
}

func newWorld(t *testing.T, app *testkit.App) (*world, *testkit.Browser) {
	t.Helper()
	user, browser := app.SignUp("ada@example.com")
	project, _, _ := app.Project(user, "shop")
	key, secret := app.Key(project, models.KeyInput{Name: "one"})
	reply := app.Validate("shop", secret)
	app.Flush()
	sessions, err := app.Store.UserSessions(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	label, err := app.Store.CreateCategory(t.Context(), project.ID, tester, "partner")
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "gateway", models.AllScopes)
	if err != nil {
		t.Fatal(err)
	}
	block, err := app.Store.BlockAddress(t.Context(), models.AddressBlock{ProjectID: project.ID, Address: "203.0.113.7", Strikes: 1, BlockedAt: app.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	app.Flush() // the gate reads the block: no page's statement
	return &world{
		app: app, project: project, key: key, request: fmt.Sprint(reply.Body["request_id"]), session: sessions[0].ID, label: label, token: token, block: block,
	}, browser
}

// path fills in what a route's path leaves open.
func (w *world) path(route handlers.Route, project string) string {
	seq := "5" // the service token's; the stranger's own project has fewer rows
	if route.Access.InstanceAdmin {
		seq = "1" // of the instance's own chain
	}
	return strings.NewReplacer(
		":project", project, ":key", fmt.Sprint(w.key.ID), ":request", w.request, ":session", fmt.Sprint(w.session),
		":category", fmt.Sprint(w.label.ID), ":token", fmt.Sprint(w.token.ID),
		":block", fmt.Sprint(w.block.ID), ":seq", seq, ":plan", "2",
	).Replace(route.Path)
}

func ask(b *testkit.Browser, method, path string) testkit.Page {
	if method == http.MethodPost {
		return b.Post(path, url.Values{"name": {"x"}, "type": {"test"}, "category": {"staging"}})
	}
	return b.Get(path)
}

// ownPages are the routes that show or change nothing but the asker's own account, or nothing at all.
var ownPages = map[string]bool{
	"GET /": true, "GET /docs/api": true, "GET /signup": true, "POST /signup": true, "GET /signin": true, "POST /signin": true, "POST /signout": true,
	"GET /account": true, "POST /account/password": true, "POST /account/sessions/end": true,
	"GET /projects": true, "GET /projects/new": true, "POST /projects": true,
}

// A new route is covered by itself: it must answer 404 to a stranger unless it is listed among ownPages.
func TestEveryRouteAnswers404ToAStranger(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := newWorld(t, app)
		bob, stranger := app.SignUp("bob@example.com")
		app.Project(bob, "his")
		for _, route := range app.Handlers.Routes() {
			name := route.Method + " " + route.Path
			if ownPages[name] {
				continue
			}
			for _, project := range []string{w.project.Slug, fmt.Sprint(w.project.ID)} {
				if page := ask(stranger, route.Method, w.path(route, project)); page.Status != 404 {
					t.Errorf("%s in %s gives a stranger %d", name, project, page.Status)
				}
			}
			// A project of one's own does not open what is in another one.
			if strings.Count(route.Path, ":") > 1 {
				if page := ask(stranger, route.Method, w.path(route, "his")); page.Status != 404 {
					t.Errorf("%s through the stranger's own project gives %d", name, page.Status)
				}
			}
			// A visitor without an account learns nothing either: the sign-in page, whatever exists.
			if page := ask(app.Browser(), route.Method, w.path(route, "shop")); !strings.HasPrefix(page.Path, "/signin") {
				t.Errorf("%s leads a visitor to %s", name, page.Path)
			}
		}
		for _, path := range []string{"/projects/shop", testkit.KeyPath(w.project, w.key), "/projects/shop/logs/" + w.request} {
			if page := owner.Get(path); page.Status != 200 {
				t.Errorf("%s gives its owner %d", path, page.Status)
			}
		}
		if key, err := app.Store.Key(t.Context(), w.project.ID, w.key.ID); err != nil || key.State != models.StateActive || key.Name != "one" {
			t.Errorf("the stranger changed something: %+v %v", key, err)
		}
	})
}

func TestAnotherProjectsSecretAndAnUnknownOneLookTheSame(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
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
			t.Errorf("%v\n%v", foreign, unknown)
		}
	})
}

func TestARoleMayDoWhatTheMatrixSays(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		w, _ := newWorld(t, app)
		member, browser := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", w.project.ID, member.ID, app.Clock.Now())
		for _, role := range []models.Role{models.RoleViewer, models.RoleDeveloper, models.RoleAdmin, models.RoleOwner} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), member.ID)
			for _, route := range app.Handlers.Routes() {
				if route.Access.Permission == "" || strings.HasSuffix(route.Path, "/delete") {
					continue
				}
				page := ask(browser, route.Method, w.path(route, "shop"))
				if forbidden := page.Status == 403; forbidden == role.May(route.Access.Permission) {
					t.Errorf("%s as %s gives %d", route.Method+" "+route.Path, role, page.Status)
				}
			}
			page := browser.Get(testkit.KeyPath(w.project, w.key))
			if buttons := page.Find("main form").Length() > 0; buttons != role.May(models.PermitWriteKeys) {
				t.Errorf("a %s sees buttons: %v", role, buttons)
			}
		}
	})
}

func TestEveryRouteThatChangesSomethingRefusesOtherSites(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := newWorld(t, app)
		for _, route := range app.Handlers.Routes() {
			if route.Method != http.MethodPost {
				continue
			}
			for _, headers := range [][]string{
				{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			} {
				if page := owner.Post(w.path(route, "shop"), url.Values{}, headers...); page.Status != 403 {
					t.Errorf("%s with %v gives %d", route.Path, headers, page.Status)
				}
			}
		}
	})
}

// No page's number of statements may grow with the number of its rows.
func TestNoPageAsksMoreOfTheDatabaseWhenThereIsMoreToShow(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		w, owner := newWorld(t, app)
		count := func() map[string]int64 {
			counts := map[string]int64{}
			for _, route := range app.Handlers.Routes() {
				if route.Method != http.MethodGet {
					continue
				}
				before := app.Queries.Load()
				if page := owner.Get(w.path(route, "shop")); page.Status != 200 {
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
			_, secret := app.Key(w.project, models.KeyInput{Name: fmt.Sprintf("key_%d", i), Category: fmt.Sprintf("label %d", i)})
			app.Validate("shop", secret)
			app.Project(user, fmt.Sprintf("project-%d", i))
			if _, _, err := app.Store.CreateServiceToken(t.Context(), w.project.ID, tester, "gateway", models.AllScopes); err != nil {
				t.Fatal(err)
			}
			address := fmt.Sprintf("198.51.100.%d", i)
			if _, err := app.Store.BlockAddress(t.Context(), models.AddressBlock{ProjectID: w.project.ID, Address: address, Strikes: 1, BlockedAt: app.Clock.Now()}); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Store.CreateSession(t.Context(), models.HashSession([]byte{byte(i)}), user.ID, nil, "192.0.2.1", "x"); err != nil {
				t.Fatal(err)
			}
		}
		app.Flush()
		for path, n := range count() {
			if n != few[path] {
				t.Errorf("%s: %d statements with few rows, %d with many", path, few[path], n)
			}
			if n > 8 {
				t.Errorf("%s: %d statements", path, n)
			}
		}
	})
}
