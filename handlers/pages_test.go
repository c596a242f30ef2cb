package handlers_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/handlers"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

var secretPattern = regexp.MustCompile(`[a-z0-9]{2,12}_(prod|test)_[0-9A-Za-z]{49}`)

func TestANewProjectShowsItsKeyOnceAndAWorkingCommand(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		_, b := app.SignUp("ada@example.com")
		page := b.Post("/projects", url.Values{"name": {"Acme Shop"}, "key_prefix": {"acme"}})
		if page.Status != 201 {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		secret := secretPattern.FindString(page.Find("#secret-value").Text())
		if !strings.HasPrefix(secret, "acme_prod_") {
			t.Fatalf("no secret in %q", page.Find("#secret-value").Text())
		}
		if got := page.Find("#secret-env").Text(); got != "ACME_SHOP_API_KEY="+secret {
			t.Errorf("env line %q", got)
		}
		want := `curl -H "X-API-Key: ` + secret + `" ` + app.URL + "/v1/projects/acme-shop/validate"
		if got := page.Find("#secret-curl").Text(); got != want {
			t.Errorf("curl %q, want %q", got, want)
		}
		if to, _ := page.Find("[data-replace-url]").Attr("data-replace-url"); to != "/projects/acme-shop" {
			t.Errorf("a reload would go to %q", to)
		}
		if reply := app.Validate("acme-shop", secret); reply.Status != 200 {
			t.Errorf("%v", reply.Body)
		}
		again := b.Get("/projects/acme-shop")
		if again.Status != 200 || secretPattern.MatchString(again.HTML) {
			t.Error("the secret is shown again")
		}
	})
}

func TestTheProjectFormKeepsTheTypedValuesAndMarksTheField(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		app.Project(user, "taken")
		for _, c := range []struct {
			form  url.Values
			field string
		}{
			{url.Values{"name": {""}, "slug": {"abc"}, "key_prefix": {"abc"}}, "name"},
			{url.Values{"name": {"A"}, "slug": {"Big"}, "key_prefix": {"abc"}}, "slug"},
			{url.Values{"name": {"A"}, "slug": {"12"}, "key_prefix": {"abc"}}, "slug"},
			{url.Values{"name": {"A"}, "slug": {"new"}, "key_prefix": {"abc"}}, "slug"},
			{url.Values{"name": {"A"}, "slug": {"taken"}, "key_prefix": {"abc"}}, "slug"},
			{url.Values{"name": {"A"}, "slug": {"abc"}, "key_prefix": {"x"}}, "key_prefix"},
			{url.Values{"name": {"A"}, "slug": {"abc"}, "key_prefix": {"my_key"}}, "key_prefix"},
		} {
			page := b.Post("/projects", c.form)
			if page.Status != 422 || page.FieldError(c.field) == "" {
				t.Errorf("%v: %d, %q at %s", c.form, page.Status, page.FieldError(c.field), c.field)
			}
			for name := range c.form {
				if value, _ := page.Find("#f-" + name).Attr("value"); value != c.form.Get(name) {
					t.Errorf("%v: %s came back as %q", c.form, name, value)
				}
			}
			described, _ := page.Find("#f-" + c.field).Attr("aria-describedby")
			if !strings.Contains(described, "f-"+c.field+"-error") {
				t.Errorf("the message is not linked to %s", c.field)
			}
		}
	})
}

func TestTheKeyFormKeepsTheTypedValuesAndMarksTheFields(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		app.Project(user, "shop")
		form := url.Values{
			"name":          {"not-good"},
			"description":   {"Ünï <b>code</b>"},
			"type":          {"test"},
			"category":      {"+new"},
			"new_category":  {""},
			"expires_at":    {"2020-01-01T00:00"},
			"time_zone":     {"Europe/Berlin"},
			"self_rotation": {"true"},
		}
		page := b.Post("/projects/shop/keys", form)
		if page.Status != 422 {
			t.Fatalf("%d", page.Status)
		}
		if summary := page.Find(".notice-danger").Text(); !strings.Contains(summary, "Check the highlighted fields.") {
			t.Errorf("the summary is %q", summary)
		}
		for _, field := range []string{"name", "new_category", "expires_at"} {
			if page.FieldError(field) == "" {
				t.Errorf("no message at %s", field)
			}
			if page.Find(`.notice-danger a[href="#f-`+field+`"]`).Length() != 1 {
				t.Errorf("the summary does not lead to %s", field)
			}
		}
		var order []string
		for _, link := range page.Find(".notice-danger a").EachIter() {
			to, _ := link.Attr("href")
			order = append(order, to)
		}
		if got := strings.Join(order, " "); got != "#f-name #f-new_category #f-expires_at" {
			t.Errorf("the summary is not in the order of the form: %s", got)
		}
		if v, _ := page.Find("#f-name").Attr("value"); v != "not-good" {
			t.Errorf("name %q", v)
		}
		if v := page.Find("#f-description").Text(); v != form.Get("description") {
			t.Errorf("description %q", v)
		}
		if v, _ := page.Find("input[name=type][checked]").Attr("value"); v != "test" {
			t.Errorf("type %q", v)
		}
		if v, _ := page.Find("#f-category option[selected]").Attr("value"); v != "+new" {
			t.Errorf("category %q", v)
		}
		if v, _ := page.Find("#f-expires_at").Attr("value"); v != form.Get("expires_at") {
			t.Errorf("expires %q", v)
		}
		if page.Find("#f-self_rotation-true[checked], #f-self_rotation[checked]").Length() != 1 {
			t.Error("self-rotation came back unchecked")
		}
		if v, _ := page.Find("input[name=time_zone]").Attr("value"); v != "Europe/Berlin" {
			t.Errorf("time zone %q", v)
		}
	})
}

func TestAKeyIsCreatedWithTheFieldsOfTheForm(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		page := b.Post("/projects/shop/keys", url.Values{
			"name":          {" partner_acme "},
			"description":   {"Reads <stock>."},
			"type":          {"test"},
			"category":      {"+new"},
			"new_category":  {"partner & co"},
			"expires_at":    {"2026-07-01T12:00"},
			"time_zone":     {"Europe/Berlin"},
			"self_rotation": {"true"},
		})
		if page.Status != 201 {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		secret := secretPattern.FindString(page.Find("#secret-value").Text())
		list, err := app.Store.Keys(t.Context(), project.ID, models.KeyFilter{Search: "partner_acme", Limit: 1})
		if err != nil || len(list.Keys) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		key := list.Keys[0]
		if key.Description != "Reads <stock>." ||
			key.Type != models.TypeTest ||
			key.Category != "partner & co" ||
			!key.SelfRotation ||

			!key.ExpiresAt.Equal(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)) || *key.CreatedBy != user.ID {
			t.Errorf("%+v", key)
		}
		if reply := app.Validate("shop", secret); reply.Code() != "valid" {
			t.Errorf("%v", reply.Body)
		}

		show := b.Get(testkit.KeyPath(project, &key.Key))
		if !strings.Contains(show.Text(), "Reads <stock>.") || secretPattern.MatchString(show.HTML) {
			t.Error("the page lacks the description, or shows the secret")
		}
		for name, value := range map[string]string{"name": "partner_acme", "expires_at": "2026-07-01T10:00"} {
			got, _ := b.Get(testkit.KeyPath(project, &key.Key) + "/edit").Find("#f-" + name).Attr("value")
			if got != value {
				t.Errorf("the edit form has %s %q, want %q", name, got, value)
			}
		}
		if got, _ := b.Get(testkit.KeyPath(project, &key.Key)+"/edit", "Cookie",
			"tz=Europe%2FBerlin; "+sessionCookie+"="+b.Cookie(sessionCookie)).
			Find("#f-expires_at").Attr("value"); got != "2026-07-01T12:00" {
			t.Errorf("in Berlin the edit form shows %q", got)
		}
	})
}

func TestTheKeysPageIsFilteredByItsURL(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		app.Key(project, models.KeyInput{Name: "server_prod"})
		app.Key(project, models.KeyInput{Name: "server_test", Type: models.TypeTest, Category: "staging"})
		off, _ := app.Key(project, models.KeyInput{Name: "switched_off"})
		app.ChangeState(off, models.ActionDeactivate)
		for query, want := range map[string]string{
			"?q=server":                 "server_test server_prod",
			"?type=test":                "server_test",
			"?category=staging":         "server_test",
			"?status=inactive":          "switched_off",
			"?q=server&type=production": "server_prod",
			"?q=nothing":                "",
		} {
			page := b.Get("/projects/shop/keys" + query)
			var names []string
			for _, row := range page.Find("tbody .row-link").EachIter() {
				names = append(names, row.Text())
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s lists %q, want %q", query, got, want)
			}
			if want == "" && !strings.Contains(page.Text(), "No key matches") {
				t.Errorf("%s: the page does not say that no key matches", query)
			}
		}
		page := b.Get("/projects/shop/keys?q=server&type=test&status=active")
		for name, want := range map[string]string{"type": "test", "status": "active"} {
			if got, _ := page.Find("select[name=" + name + "] option[selected]").Attr("value"); got != want {
				t.Errorf("the filter %s shows %q", name, got)
			}
		}
	})
}

func TestDisabledButtonsSayWhyAKeyCannotBeDeletedOrDeactivated(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, defaultKey, _ := app.Project(user, "shop")
		used, secret := app.Key(project, models.KeyInput{Name: "used"})
		unused, _ := app.Key(project, models.KeyInput{Name: "unused"})
		app.Validate("shop", secret)

		// Without waiting for the recorder: deleting must notice a request that was just answered.
		if page := b.Post(testkit.KeyPath(project, used)+"/delete", nil); page.Status != 409 {
			t.Errorf("a used key: %d", page.Status)
		}
		reason := func(key *models.Key, label string) string {
			page := b.Get(testkit.KeyPath(project, key))
			for _, button := range page.Find("main button[aria-disabled=true]").EachIter() {
				if strings.Contains(button.Text(), label) {
					text, _ := button.Attr("aria-description")
					return text
				}
			}
			return ""
		}
		if got := reason(used, "Delete"); !strings.Contains(got, "was used") {
			t.Errorf("delete of a used key: %q", got)
		}
		for _, label := range []string{"Deactivate", "Delete"} {
			if got := reason(defaultKey, label); !strings.Contains(got, "default key") {
				t.Errorf("%s of the default key: %q", label, got)
			}
		}
		if page := b.Post(testkit.KeyPath(project, unused)+"/delete", nil); page.Status != 200 ||
			page.Path != "/projects/shop/keys" {
			t.Errorf("an unused key: %d %s", page.Status, page.Path)
		}
		if page := b.Get(testkit.KeyPath(project, unused)); page.Status != 404 {
			t.Errorf("the deleted key: %d", page.Status)
		}
	})
}

func TestLivePartsAreSentOnlyIfTheyChanged(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		_, _, secret := app.Project(user, "shop")
		htmx := []string{"HX-Request", "true", "HX-Request-Type", "partial"}
		for _, c := range []struct{ page, part string }{{"/projects/shop", "#live"}, {"/projects/shop/logs", "#rows"}} {
			poll := func(page testkit.Page) string {
				t.Helper()
				address, found := page.Find(c.part).Attr("hx-get")
				if !found {
					t.Fatalf("%s does not poll", c.page)
				}
				return address
			}
			address := poll(b.Get(c.page))
			if page := b.Get(address, htmx...); page.Status != 204 {
				t.Errorf("%s without a change: got %d, want 204", address, page.Status)
			}
			reply := app.Validate("shop", secret)
			app.Flush()
			page := b.Get(address, htmx...)
			id := fmt.Sprint(reply.Body["request_id"])
			if page.Status != 200 || page.Find("#"+id).Length() != 1 || page.Find("head title").Length() != 0 {
				t.Errorf("%s after a request: %d %s", address, page.Status, page.Text())
			}
			if page = b.Get(poll(page), htmx...); page.Status != 204 {
				t.Errorf("%s: the next poll got %d, want 204", c.page, page.Status)
			}
		}
	})
}

func TestTheLogPageIsFilteredByItsURL(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		one, secretOne := app.Key(project, models.KeyInput{Name: "one"})
		_, secretTwo := app.Key(project, models.KeyInput{Name: "two"})
		ids := map[string]string{}
		call := func(name, secret string) {
			ids[fmt.Sprint(app.Validate("shop", secret).Body["request_id"])] = name
			app.Clock.Advance(10 * time.Minute)
		}
		call("first", secretOne) // 09:26
		call("second", secretTwo)
		app.ChangeState(one, models.ActionDeactivate)
		call("third", secretOne) // 09:46; now it is 09:56
		app.Flush()
		_, err := app.Store.UpdateKey(t.Context(), project.ID, one.ID, tester, models.KeyInput{
			Name:     "one_renamed",
			Category: "production",
		})
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]string{
			"":                    "third second first",
			"?key=one_renamed":    "third first",
			"?key=one":            "third first", // a former name still finds its key
			"?code=key_inactive":  "third",
			"?key=one&code=valid": "first",
			"?range=15m":          "third",
			"?range=1h":           "third second first",
			"?range=custom&to=2026-03-14T09:30&time_zone=UTC":                                 "first",
			"?range=custom&from=2026-03-14T10:30&to=2026-03-14T10:40&time_zone=Europe/Berlin": "second",
			"?key=nobody": "",
		} {
			page := b.Get("/projects/shop/logs" + query)
			var got []string
			for _, row := range page.Find("tbody tr").EachIter() {
				id, _ := row.Attr("id")
				got = append(got, ids[id])
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s lists %v, want %s", query, got, want)
			}
		}
		page := b.Get("/projects/shop/logs?key=nobody")
		if !strings.Contains(page.Text(), "No key has or had this name") {
			t.Error("the page does not say that no key has this name")
		}
		for id, name := range ids {
			page := b.Get("/projects/shop/logs/" + id)
			if page.Status != 200 || !strings.Contains(page.Text(), id) || !strings.Contains(page.Text(), "127.0.0.1") {
				t.Errorf("%s: %d %s", name, page.Status, page.Text())
			}
		}
	})
}

func TestTheLogIsPagedByCursors(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		_, _, secret := app.Project(user, "shop")
		for range 120 {
			app.Clock.Advance(time.Second)
			app.Validate("shop", secret)
		}
		app.Flush()
		page := b.Get("/projects/shop/logs?code=valid")
		first, _ := page.Find("tbody tr").First().Attr("id")
		var rows []int
		for {
			rows = append(rows, page.Find("tbody tr").Length())
			older, more := page.Find("a[rel=next]").Attr("href")
			if !more {
				break
			}
			if !strings.Contains(older, "code=valid") {
				t.Errorf("the filter is lost in %s", older)
			}
			page = b.Get(older)
		}
		if fmt.Sprint(rows) != "[50 50 20]" {
			t.Errorf("pages of %v", rows)
		}
		if page.Find("[hx-get]").Length() != 0 {
			t.Error("a page of older requests polls")
		}
		for range 2 {
			newer, more := page.Find("a[rel=prev]").Attr("href")
			if !more {
				t.Fatal("there is no way back")
			}
			page = b.Get(newer)
		}
		if got, _ := page.Find("tbody tr").First().Attr("id"); got != first {
			t.Errorf("the way back ends at %s, not at %s", got, first)
		}
	})
}

// Text from people and callers must be escaped on every page that shows it.
func TestEverythingTypedIsEscaped(t *testing.T) {
	const evil = `<script>alert(1)</script>"'&`
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _, err := app.Store.CreateProject(t.Context(), user.Actor("192.0.2.1"), models.ProjectInput{
			Name: evil,
			Slug: "shop",
		})
		if err != nil {
			t.Fatal(err)
		}
		key, secret := app.Key(project, models.KeyInput{Name: "one", Description: evil, Category: evil})
		result := app.Setup("other")
		_ = result
		_, _, err = app.Store.CreateServiceToken(t.Context(), project.ID, tester, evil, models.AllScopes)
		if err != nil {
			t.Fatal(err)
		}
		app.Validate("shop", secret)
		app.Call("GET", "/v1/projects/shop/validate", "", "X-API-Key", secret, "User-Agent", evil)
		app.Flush()
		for _, path := range []string{
			"/projects",
			"/projects/shop",
			"/projects/shop/keys",
			"/projects/shop/keys?q=" + url.QueryEscape(evil) + "&category=" + url.QueryEscape(evil),
			"/projects/shop/keys/new", testkit.KeyPath(project, key), testkit.KeyPath(project, key) + "/edit",
			"/projects/shop/logs?key=" + url.QueryEscape(evil) + "&range=custom&from=" + url.QueryEscape(evil),
			"/projects/" + url.PathEscape(evil),
			"/projects/shop/logs?category=" + url.QueryEscape(evil),
			"/projects/shop/categories",
			categoryPath(t, app, project, evil),
			"/projects/shop/tokens",
		} {
			if page := b.Get(path); strings.Contains(page.HTML, "<script>alert") {
				t.Errorf("%s does not escape it", path)
			}
		}
		for path, form := range map[string]url.Values{
			"/projects": {"name": {evil}, "slug": {evil}, "key_prefix": {evil}},
			"/projects/shop/keys": {
				"name": {evil}, "description": {evil}, "category": {evil}, "new_category": {evil},
				"expires_at": {evil}, "time_zone": {evil},
			},
			"/signin":                                      {"email": {evil}, "next": {evil}},
			"/projects/shop/categories":                    {"name": {evil + "\n"}},
			"/projects/shop/tokens":                        {"name": {evil}},
			categoryPath(t, app, project, evil):            {"name": {evil + "\x01"}},
			categoryPath(t, app, project, evil) + "/merge": {"into": {evil}},
		} {
			if page := b.Post(path, form); strings.Contains(page.HTML, "<script>alert") {
				t.Errorf("POST %s does not escape it", path)
			}
		}
	})
}

// A secret appears in exactly one response: in no later page, no file of the data folder, no line of the log.
func TestASecretIsOnlyInTheResponseThatCreatedIt(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, databaseURL string) {
		var log bytes.Buffer
		app := testkit.NewApp(t, databaseURL, func(o *handlers.Options) {
			o.Dev = true
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		_, b := app.SignUp("ada@example.com")
		page := b.Post("/projects", url.Values{"name": {"Shop"}, "slug": {"shop"}})
		secret := secretPattern.FindString(page.Find("#secret-value").Text())
		page = b.Post("/projects/shop/keys", url.Values{"name": {"one"}, "type": {"test"}, "category": {"staging"}})
		second := secretPattern.FindString(page.Find("#secret-value").Text())
		if secret == "" || second == "" {
			t.Fatal("no secrets to look for")
		}
		for _, s := range []string{secret, second} {
			app.Validate("shop", s)
			app.Call("POST", "/v1/projects/shop/validate?key="+s, `{"key":"`+s+`"}`)
			app.Call("POST", "/v1/projects/shop/validate", `{"key":"`+s+`","nope":"`+s+`"}`)
		}
		app.Flush()
		for _, route := range app.Handlers.Routes() {
			if route.Method == "GET" && !strings.Contains(route.Path, ":request") {
				path := strings.NewReplacer(":project", "shop", ":key", "2").Replace(route.Path)
				if html := b.Get(path).HTML; strings.Contains(html, secret) || strings.Contains(html, second) {
					t.Errorf("%s shows a secret", path)
				}
			}
		}
		if strings.Contains(log.String(), secret[9:]) || strings.Contains(log.String(), second[9:]) {
			t.Error("the log has a secret")
		}
		if !models.IsPostgresURL(databaseURL) {
			for _, file := range []string{databaseURL, databaseURL + "-wal"} {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(content, []byte(secret[9:])) || bytes.Contains(content, []byte(second[9:])) {
					t.Errorf("%s has a secret", file)
				}
			}
		}
	})
}

func TestAnInternalErrorShowsARequestIDAndNoCause(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		_, _, secret := app.Project(user, "shop")
		app.Exec("DROP TABLE usage_minutes")
		page := b.Get("/projects/shop")
		if page.Status != 500 ||
			!strings.Contains(page.Text(), "req_") ||
			strings.Contains(page.Text(), "usage_minutes") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if page.Header.Get("X-Request-ID") == "" || !strings.Contains(page.Text(), page.Header.Get("X-Request-ID")) {
			t.Error("the id on the page is not that of the request")
		}
		app.Exec("ALTER TABLE key_versions RENAME TO elsewhere")
		reply := app.Validate("shop", secret)
		if reply.Status != 503 ||
			reply.Code() != "unavailable" ||
			reply.Header.Get("Retry-After") == "" ||
			strings.Contains(fmt.Sprint(reply.Body), "key_versions") {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
	})
}

// No content of a URL or a field may cause a 5xx.
func TestStrangeBytesInURLsAndFieldsCauseNoInternalError(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		w, b := app.World()
		for _, strange := range []string{
			"%00", "%ff%fe", "a%00b", "%F0%9F%94%91", "-1", "99999999999999999999", "..%2f", "%3Cx%3E",
		} {
			for _, route := range app.Handlers.Routes() {
				if route.Method == "GET" {
					named := strings.NewReplacer(":project", strange, ":key", strange, ":request", strange)
					path, query := named.Replace(route.Path), "?"
					for _, name := range []string{
						"q", "type", "category", "status", "key", "code", "range", "before", "after", "actor", "action",
						"object", "replaces", "time_zone",
					} {
						query += name + "=" + strange + "&"
					}
					for _, address := range []string{path + query, pathOf(w, route, "shop") + query} {
						if page := b.Get(address); page.Status >= 500 {
							t.Errorf("GET %s gives %d", address, page.Status)
						}
					}
				}
			}
			if reply := app.Validate(strange, "x"); reply.Status != 404 {
				t.Errorf("validate in %s gives %d", strange, reply.Status)
			}
			decoded, err := url.QueryUnescape(strange)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{}
			for _, field := range []string{
				"email", "password", "name", "slug", "key_prefix", "description", "type", "category", "new_category",
				"expires_at", "time_zone", "quota_daily", "ios_bundle_id", "confirm", "grace", "version", "in",
				"scopes",
				"into",
			} {
				form.Set(field, decoded)
			}
			for _, route := range app.Handlers.Routes() {
				if route.Method == "POST" && route.Path != "/signout" && route.Path != "/account/sessions/end" {
					if page := b.Post(pathOf(w, route, "shop"), form); page.Status >= 500 {
						t.Errorf("POST %s with %q gives %d", route.Path, decoded, page.Status)
					}
				}
			}
		}
	})
}
