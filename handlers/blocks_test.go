package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestMembersSeeBlocksAndAdminsLiftThem(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, key := app.Project(user, "shop")
		if page := b.Get("/projects/shop/blocks"); page.Status != 200 ||
			!strings.Contains(page.Text(), "No address is blocked") {
			t.Errorf("the empty page says %s", page.Text())
		}
		if page := b.Get("/projects/shop"); page.Find(`nav a[href="/projects/shop/blocks"]`).Length() != 1 {
			t.Error("the project has no tab Blocks")
		}
		testkit.Validator{App: app}.AskBad(20)
		app.Flush()
		app.Clock.Advance(5 * time.Minute)
		page := b.Get("/projects/shop/blocks")
		for _, want := range []string{"127.0.0.1", "Blocked", "09:26 5 minutes ago", "09:41 in 10 minutes", "1"} {
			if text := row(page, "127.0.0.1"); !strings.Contains(text, want) {
				t.Errorf("the row lacks %q: %s", want, text)
			}
		}
		form := page.Find("tbody form")
		path, _ := form.Attr("action")
		if text := form.Text(); !strings.Contains(text, "Lift the block of 127.0.0.1?") ||
			!strings.Contains(text, "for 30 minutes") {
			t.Errorf("the dialog says %s", text)
		}

		member, bob := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", project.ID,
			member.ID, app.Clock.Now())
		for _, role := range []models.Role{models.RoleViewer, models.RoleDeveloper} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), member.ID)
			page := bob.Get("/projects/shop/blocks")
			if page.Status != 200 || row(page, "127.0.0.1") == "" || page.Find("tbody form").Length() != 0 {
				t.Errorf("a %s sees %s", role, page.Text())
			}
			if page := bob.Post(path, nil); page.Status != 403 {
				t.Errorf("a %s lifts it: %d", role, page.Status)
			}
		}
		if code := app.Validate("shop", key).Code(); code != "ip_blocked" {
			t.Fatal(code)
		}
		app.Exec("UPDATE members SET role = 'admin' WHERE user_id = ?", member.ID)
		if page := bob.Post(path, nil); page.Path != "/projects/shop/blocks" ||
			!strings.Contains(page.Text(), "127.0.0.1 is lifted") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", key).Code(); code != "valid" {
			t.Errorf("after the lift: %s", code)
		}
		page = b.Get("/projects/shop/blocks")
		if text := row(page, "127.0.0.1"); !strings.Contains(text, "Lifted") || page.Find("tbody form").Length() != 0 {
			t.Errorf("%s", text)
		}
		if page := b.Post(path, nil); page.Status != 409 {
			t.Errorf("lifting again gives %d", page.Status)
		}
		log := b.Get("/projects/shop/audit?action=address_block").Text()
		for _, want := range []string{"claviger system created address block 127.0.0.1",
			"bob@example.com lifted address block 127.0.0.1"} {
			if !strings.Contains(log, want) {
				t.Errorf("the audit log lacks %q: %s", want, log)
			}
		}
	})
}

func TestBlocksAreFoundByTheAddressOfACustomer(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		for i := range 60 {
			address := fmt.Sprintf("203.0.113.%d", i)
			if i == 0 {
				address = "2001:db8::/64"
			}
			if _, err := app.Store.BlockAddress(t.Context(), models.AddressBlock{ProjectID: project.ID,
				Address: address, Strikes: 1, BlockedAt: app.Clock.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		for search, want := range map[string]int{
			"2001:db8::42": 1, "2001:DB8:0:0:1::": 1, "2001:db8:1::1": 0, "::ffff:203.0.113.7": 1,
			"64:ff9b::203.0.113.7": 1, "203.0.113.5": 11, "nothing": 0, "%": 0, "\x00": 50, "": 50,
		} {
			page := b.Get("/projects/shop/blocks?" + "q=" + strings.NewReplacer("%", "%25", "\x00",
				"%00").Replace(search))
			if n := page.Find("tbody tr").Length(); page.Status != 200 || n != want {
				t.Errorf("%q finds %d, want %d (%d)", search, n, want, page.Status)
			}
		}
		older, _ := b.Get("/projects/shop/blocks").Find(`a[rel="next"]`).Attr("href")
		if page := b.Get(older); page.Find("tbody tr").Length() != 10 || row(page, "2001:db8::/64") == "" {
			t.Errorf("the second page: %s", page.Text())
		}
	})
}
