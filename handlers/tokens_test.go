package handlers_test

import (
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

var tokenPattern = regexp.MustCompile(`[a-z0-9]{2,12}_svc_[0-9A-Za-z]{49}`)

// newToken creates a service token with the form and returns the page and the secret.
func newToken(t *testing.T, b *testkit.Browser, name string, scopes ...string) (testkit.Page, string) {
	t.Helper()
	page := b.Post("/projects/shop/tokens", url.Values{"name": {name}, "scopes": scopes})
	if page.Status != 201 {
		t.Fatalf("%d %s", page.Status, page.Text())
	}
	return page, page.Find("#secret-value").Text()
}

// row returns the text of the row whose first cell contains name, or "".
func row(page testkit.Page, name string) string {
	for _, row := range page.Find("tbody tr").EachIter() {
		if strings.Contains(row.Find("td").First().Text(), name) {
			return strings.Join(strings.Fields(row.Text()), " ")
		}
	}
	return ""
}

func TestAServiceTokenIsShownOnceAndWorksAtOnce(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, key := app.Project(user, "shop")
		if page := b.Get("/projects/shop/tokens"); !strings.Contains(page.Text(), "No service token yet") {
			t.Errorf("the empty list says %s", page.Text())
		}
		page, secret := newToken(t, b, " Gateway <1> ", "validate", "logs:read")
		if !tokenPattern.MatchString(secret) || !strings.HasPrefix(secret, "clv_svc_") {
			t.Fatalf("no secret in %q", secret)
		}
		if to, _ := page.Find("[data-replace-url]").Attr("data-replace-url"); to != "/projects/shop/tokens" {
			t.Errorf("a reload would go to %q", to)
		}
		if got := page.Find("#secret-env").Text(); got != "SHOP_SERVICE_TOKEN="+secret {
			t.Errorf("env line %q", got)
		}
		if code := app.Validate("shop", key, "Authorization", "Bearer "+secret).Code(); code != "valid" {
			t.Errorf("the new token is %s", code)
		}
		for _, path := range []string{"", "/tokens", "/tokens/new", "/keys", "/logs"} {
			if page := b.Get("/projects/shop" + path); strings.Contains(page.HTML, secret) {
				t.Errorf("%s shows the secret", path)
			}
		}
		list := row(b.Get("/projects/shop/tokens"), "Gateway <1>")
		for _, want := range []string{
			"clv_svc_", secret[len(secret)-4:], "validate", "logs:read", "ada@example.com", "Active",
		} {
			if !strings.Contains(list, want) {
				t.Errorf("the row lacks %s: %s", want, list)
			}
		}
		actions, _, err := app.Store.AuditRows(t.Context(), project.ID, models.AuditFilter{
			Action: "service_token",
			Limit:  5,
		})
		if err != nil ||
			len(actions) != 1 ||
			actions[0].ActorName != "ada@example.com" ||
			strings.Contains(fmt.Sprint(actions), secret) {
			t.Errorf("%+v %v", actions, err)
		}
	})
}

// The command that the page offers to copy is run in a shell as it is.
func TestTheCommandOfANewTokenWorks(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, key := app.Project(user, "shop")
		page, _ := newToken(t, b, "gateway", "validate")
		command := exec.CommandContext(t.Context(), "sh", "-c", page.Find("#secret-curl").Text())
		command.Env = []string{"API_KEY=" + key, "PATH=/usr/bin:/bin"}
		if out, err := command.Output(); err != nil || !strings.Contains(string(out), `"valid":true`) {
			t.Fatalf("%s %v", out, err)
		}
		app.Flush()
		log, err := app.Store.RequestLogs(t.Context(), project.ID, models.LogFilter{Limit: 1})
		if err != nil ||
			len(log.Entries) != 1 ||
			log.Entries[0].IP != "203.0.113.7" ||
			log.Entries[0].Path != "/orders/42" {
			t.Errorf("%+v %v", log, err)
		}
		if page, _ = newToken(t, b, "reader", "logs:read"); page.Find("#secret-curl").Length() != 0 {
			t.Error("a token without the scope is offered a command that answers 403")
		}
	})
}

func TestTheTokenFormKeepsTheTypedValuesAndMarksTheField(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		checked := func(page testkit.Page) string {
			var scopes []string
			for _, box := range page.Find("input[name=scopes][checked]").EachIter() {
				scope, _ := box.Attr("value")
				scopes = append(scopes, scope)
			}
			return strings.Join(scopes, " ")
		}
		if got := checked(b.Get("/projects/shop/tokens/new")); got != "validate" {
			t.Errorf("a new form has %q checked", got)
		}
		for _, c := range []struct {
			name, scopes, field string
		}{
			{"", "report keys:write", "name"},
			{strings.Repeat("ä", 65), "validate", "name"},
			{"a\x01b", "validate", "name"},
			{"gateway", "", "scopes"},
			{"gateway", "everything", "scopes"},
		} {
			page := b.Post("/projects/shop/tokens", url.Values{"name": {c.name}, "scopes": strings.Fields(c.scopes)})
			if page.Status != 422 || page.FieldError(c.field) == "" {
				t.Errorf("%+v: %d, %q", c, page.Status, page.FieldError(c.field))
			}
			if page.Find(`.notice-danger a[href="#f-`+c.field+`"]`).Length() != 1 ||
				page.Find("#f-"+c.field).Length() != 1 {
				t.Errorf("%+v: the summary does not lead to the field", c)
			}
			if value, _ := page.Find("#f-name").Attr("value"); value != c.name {
				t.Errorf("%+v: the name came back as %q", c, value)
			}
			if got := checked(page); c.scopes != "everything" && got != c.scopes {
				t.Errorf("%+v: %q is checked", c, got)
			}
		}
		if list, err := app.Store.ServiceTokens(t.Context(), project.ID); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
	})
}

func TestARevokedTokenIsRejectedAtTheNextRequest(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, key := app.Project(user, "shop")
		_, secret := newToken(t, b, "gateway", "validate")
		_, other := newToken(t, b, "other", "validate")
		for _, s := range []string{secret, other} {
			if code := app.Validate("shop", key, "Authorization", "Bearer "+s).Code(); code != "valid" {
				t.Fatal(code)
			}
		}
		list, err := app.Store.ServiceTokens(t.Context(), project.ID)
		if err != nil {
			t.Fatal(err)
		}
		page := b.Get("/projects/shop/tokens")
		path := fmt.Sprintf("/projects/shop/tokens/%d/revoke", list[1].ID)
		if dialog := page.Find(`form[action="` + path + `"]`); !strings.Contains(dialog.Text(), "Revoke gateway?") {
			t.Errorf("the dialog asks %q", dialog.Text())
		}
		app.Clock.Advance(time.Minute)
		if page := b.Post(path, nil); page.Status != 200 ||
			page.Path != "/projects/shop/tokens" ||
			!strings.Contains(page.Text(), "gateway is revoked") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if reply := app.Validate("shop", key, "Authorization", "Bearer "+secret); reply.Status != 401 ||
			reply.Code() != "token_invalid" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		if code := app.Validate("shop", key, "Authorization", "Bearer "+other).Code(); code != "valid" {
			t.Errorf("the other token is %s", code)
		}
		page = b.Get("/projects/shop/tokens")
		if text := row(page, "gateway"); !strings.Contains(text, "Revoked") ||
			page.Find(`form[action="`+path+`"]`).Length() != 0 {
			t.Errorf("%s", text)
		}
		if page := b.Post(path, nil); page.Status != 409 {
			t.Errorf("revoking again gives %d", page.Status)
		}
	})
}

func TestTheLastUseOfATokenIsWrittenAtMostOnceAMinute(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		_, secret := newToken(t, b, "gateway", "validate")
		used := func() *time.Time {
			t.Helper()
			app.Flush()
			list, err := app.Store.ServiceTokens(t.Context(), project.ID)
			if err != nil {
				t.Fatal(err)
			}
			return list[0].LastUsedAt
		}
		if text := row(b.Get("/projects/shop/tokens"), "gateway"); !strings.Contains(text, "Never") {
			t.Errorf("%s", text)
		}
		// Also by a request without a key, which has no row in the log.
		ask := func() { app.Validate("shop", "", "Authorization", "Bearer "+secret) }
		ask()
		first := app.Clock.Now()
		if at := used(); at == nil || !at.Equal(first) {
			t.Fatalf("used at %v, want %v", at, first)
		}
		before := app.Queries.Load()
		for range 50 {
			app.Clock.Advance(time.Second)
			ask()
		}
		app.Flush()
		if n := app.Queries.Load() - before; n != 0 {
			t.Errorf("50 requests within a minute cost %d statements", n)
		}
		app.Clock.Advance(10 * time.Second)
		ask()
		if at := used(); !at.Equal(first.Add(time.Minute)) {
			t.Errorf("used at %v, a minute later", at)
		}
		if text := row(b.Get("/projects/shop/tokens"), "gateway"); strings.Contains(text, "Never") {
			t.Errorf("%s", text)
		}
	})
}

func TestTheTokensTabIsShownToAdminsOnly(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		member, bob := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", project.ID,
			member.ID, app.Clock.Now())
		for _, role := range []models.Role{models.RoleViewer, models.RoleDeveloper, models.RoleAdmin} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), member.ID)
			may := role.May(models.PermitAdminister)
			page := bob.Get("/projects/shop")
			if tab := page.Find(`nav a[href="/projects/shop/tokens"]`).Length() == 1; tab != may {
				t.Errorf("a %s sees the tab: %v", role, tab)
			}
			if page.Find(`nav a[href="/projects/shop/categories"]`).Length() != 1 {
				t.Errorf("a %s does not see the categories", role)
			}
			if got := bob.Get("/projects/shop/tokens").Status == 403; got == may {
				t.Errorf("a %s is forbidden: %v", role, got)
			}
		}
		// The page that answers the creation of a project has the tabs of its owner.
		page := b.Post("/projects", url.Values{"name": {"New"}, "slug": {"fresh"}})
		if page.Find(`nav a[href="/projects/fresh/tokens"]`).Length() != 1 {
			t.Error("the owner of a new project does not see the tab")
		}
	})
}
