package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// addAuditRows writes n rows into the chain of a project, each with size characters in its snapshot. Their hashes are
// wrong, but pages do not check them.
func addAuditRows(app *testkit.App, project *models.Project, n, size int) {
	app.Exec(fmt.Sprintf(`
		INSERT INTO actions (
			chain, seq, at, actor_kind, actor_id, actor_name, action,
			object_kind, object_id, object_name, before, after, ip, hash
		)
		WITH RECURSIVE numbers (n) AS (
			SELECT 1
			UNION ALL
			SELECT n + 1 FROM numbers WHERE n < %d
		)
		SELECT
			%d, 1000 + n, ?, 'member', 1, 'ada@example.com', 'key.edit',
			'key', 1, 'filler', '{"description":"%s"}', '{}', '192.0.2.1',
			(SELECT hash FROM actions WHERE chain = 0 AND seq = 1)
		FROM numbers`,
		n, project.ID, strings.Repeat("x", size)), app.Clock.Now())
}

func TestTheAuditLogIsFilteredByItsURL(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		app.Clock.Advance(48 * time.Hour)
		// by tester@example.com, like all changes below
		key, _ := app.Key(project, models.KeyInput{Name: "server_prod"})
		gateway := models.Actor{Kind: models.ActorServiceToken, ID: 3, Name: "gateway"}
		if _, _, err := app.Store.RotateKey(t.Context(), project.ID, key.ID, gateway, 1, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Store.CreateCategory(t.Context(), project.ID, tester, "partner"); err != nil {
			t.Fatal(err)
		}
		app.Clock.Advance(2 * time.Hour)
		app.ChangeState(key, models.ActionDeactivate)
		_, defaultKey, _ := app.Project(user, "other") // whose changes must not be seen
		list := func(query string) string {
			page := b.Get("/projects/shop/audit" + query)
			if page.Status != 200 {
				t.Errorf("%s gives %d", query, page.Status)
			}
			var rows []string
			for _, row := range page.Find("tbody tr").EachIter() {
				rows = append(rows, strings.Join(strings.Fields(row.Find("td[data-label=Change]").Text()), " "))
			}
			if strings.Contains(page.Text(), defaultKey.Name) {
				t.Errorf("%s shows another project's changes", query)
			}
			return strings.Join(rows, ", ")
		}
		first := b.Get("/projects/shop/audit").Find("tbody tr td[data-label=Change]").Eq(4).Find(".font-mono").Text()
		for query, want := range map[string]string{
			"": "deactivated key server_prod, created category partner, rotated key server_prod, " +
				"created key server_prod, created key " + first + ", created project shop",
			"?actor=ADA":                           "created key " + first + ", created project shop",
			"?actor=gate":                          "rotated key server_prod",
			"?action=key.rotate":                   "rotated key server_prod",
			"?action=category":                     "created category partner",
			"?action=project.create":               "created project shop",
			"?object=server&range=1h":              "deactivated key server_prod",
			"?object=server&range=24h&actor=gatew": "rotated key server_prod",
			"?before=3":                            "created key " + first + ", created project shop",
			"?before=nonsense&action=category":     "created category partner",
			"?actor=nobody":                        "",
			"?object=%25":                          "",
			"?actor=a%00b%ff":                      "",
		} {
			if got := list(query); got != want {
				t.Errorf("%s lists %q, want %q", query, got, want)
			}
		}
		page := b.Get("/projects/shop/audit?actor=nobody&action=key.rotate&object=x&range=24h")
		for selector, want := range map[string]string{
			"#f-actor":                   "nobody",
			"#f-object":                  "x",
			"#f-action option[selected]": "key.rotate",
			"#f-range option[selected]":  "24h",
		} {
			if got, _ := page.Find(selector).Attr("value"); got != want {
				t.Errorf("%s shows %q, want %q", selector, got, want)
			}
		}
		if !strings.Contains(page.Text(), "No change matches") ||
			page.Find(`a[href="/projects/shop/audit"]`).Length() < 2 {
			t.Error("the page does not say that no change matches, or has no link to all changes")
		}
		row := b.Get("/projects/shop/audit?actor=gateway").Find("tbody tr").Text()
		if !strings.Contains(row, "service token") {
			t.Errorf("the row of a service token does not say so: %s", row)
		}
		if strings.Contains(b.Get("/projects/shop/audit?action=project.create").Find("tbody tr").Text(), "member") {
			t.Error("the row of a member names the kind of actor")
		}

		// As in a project that is older than the audit log.
		app.Exec("DELETE FROM actions")
		if page := b.Get("/projects/shop/audit"); page.Status != 200 ||
			!strings.Contains(page.Text(), "No change yet") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
	})
}

func TestTheAuditLogHasWordsForEveryAction(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		for n, action := range []string{
			"key.create", "key.edit", "key.activate", "key.deactivate", "key.revoke", "key.delete", "key.rotate",
			"key.end_version",
			"category.create", "category.rename", "category.merge", "category.delete", "service_token.create",
			"service_token.revoke", "project.create",
		} {
			addAuditRows(app, project, 1, 1)
			app.Exec("UPDATE actions SET action = ?, object_name = 'object', seq = ? WHERE seq = 1001", action, 100+n)
			page := b.Get("/projects/shop/audit?object=object&action=" + action)
			if what := page.Find("tbody td[data-label=Change]").First().Text(); page.Find("tbody tr").Length() != 1 ||
				strings.Contains(what, ".") {
				t.Errorf("%s is shown as %q", action, what)
			}
			kind, _, _ := strings.Cut(action, ".")
			n := page.Find(`#f-action option[value="` + action + `"], #f-action option[value="` + kind + `"]`).Length()
			if n == 0 {
				t.Errorf("the filter does not offer %s", action)
			}
		}
	})
}

func TestAChangeOpensIntoBeforeAndAfter(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		expires := time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)
		key, _ := app.Key(project, models.KeyInput{Name: "one", ExpiresAt: &expires})
		daily := int64(500)
		in := models.KeyInput{
			Name:         "two",
			Category:     "production",
			SelfRotation: true,
			Quotas:       models.Quotas{Daily: &daily},
		}
		if _, err := app.Store.UpdateKey(t.Context(), project.ID, key.ID, user.Actor("192.0.2.1"), in); err != nil {
			t.Fatal(err)
		}
		page := b.Get("/projects/shop/audit")
		got := strings.Join(strings.Fields(page.Find("tbody tr td[data-label=Change]").First().Text()), " ")
		if got != "edited key two expires_at, name, quota_daily, self_rotation" {
			t.Errorf("%q", got)
		}
		href, _ := page.Find("tbody .row-link").First().Attr("href")
		page = b.Get(href)
		var rows []string
		for _, row := range page.Find("tbody tr").EachIter() {
			rows = append(rows, strings.Join(strings.Fields(row.Text()), " "))
		}
		const want = "expires_at 1 Jul 2026, 10:00:00 UTC none; name one two; " +
			"quota_daily none 500; self_rotation no yes"
		if got := strings.Join(rows, "; "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for _, word := range []string{
			"edited key two", "key.edit", "ada@example.com", "192.0.2.1", "14 Mar 2026, 09:26:53 UTC",
		} {
			if !strings.Contains(page.Text(), word) {
				t.Errorf("%q is not on the page", word)
			}
		}
		// A new object has no column Before.
		page = b.Get("/projects/shop/audit/1")
		if page.Find("thead th").Length() != 2 || !strings.Contains(page.Find("tbody").Text(), "shop") {
			t.Errorf("%s", page.Text())
		}
		for _, path := range []string{
			"/projects/shop/audit/4711", "/projects/shop/audit/x", "/projects/shop/audit/-1",
		} {
			if page := b.Get(path); page.Status != 404 {
				t.Errorf("%s gives %d", path, page.Status)
			}
		}
	})
}

func TestTheAuditLogIsPagedByCursors(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		addAuditRows(app, project, 120, 1)
		page := b.Get("/projects/shop/audit?object=fill&action=key.edit")
		var rows []int
		seen := map[string]bool{}
		for {
			rows = append(rows, page.Find("tbody tr").Length())
			for _, link := range page.Find("tbody .row-link").EachIter() {
				href, _ := link.Attr("href")
				seen[href] = true
			}
			older, more := page.Find("a[rel=next]").Attr("href")
			if !more {
				break
			}
			if !strings.Contains(older, "object=fill") || !strings.Contains(older, "action=key.edit") {
				t.Errorf("the filter is lost in %s", older)
			}
			page = b.Get(older)
		}
		if fmt.Sprint(rows) != "[50 50 20]" || len(seen) != 120 {
			t.Errorf("the pages have %v rows, %d of them different", rows, len(seen))
		}
		newest, _ := page.Find("a[rel=prev]").Attr("href")
		if page = b.Get(newest); page.Find("tbody tr").Length() != 50 || page.Find("a[rel=prev]").Length() != 0 {
			t.Errorf("%s is not the first page", newest)
		}
	})
}

func TestTheAuditLogIsForAdmins(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		ada, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(ada, "shop")
		bob, b := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", project.ID,
			bob.ID, app.Clock.Now())
		for role, status := range map[models.Role]int{
			models.RoleViewer:    403,
			models.RoleDeveloper: 403,
			models.RoleAdmin:     200,
			models.RoleOwner:     200,
		} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), bob.ID)
			for _, path := range []string{
				"/projects/shop/audit", "/projects/shop/audit.csv", "/projects/shop/audit/1",
			} {
				if page := b.Get(path); page.Status != status {
					t.Errorf("%s gives a %s %d", path, role, page.Status)
				}
			}
			tab := b.Get("/projects/shop").Find(`nav a[href="/projects/shop/audit"]`).Length() == 1
			if tab != (status == 200) {
				t.Errorf("a %s sees the tab: %v", role, tab)
			}
		}
	})
}

func TestTextInTheAuditLogIsEscaped(t *testing.T) {
	const evil = `<script>alert(1)</script>"'&`
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		actor := models.Actor{Kind: models.ActorServiceToken, ID: 1, Name: evil, IP: evil}
		if _, err := app.Store.CreateCategory(t.Context(), project.ID, actor, evil); err != nil {
			t.Fatal(err)
		}
		query := url.QueryEscape(evil)
		for _, path := range []string{
			"/projects/shop/audit", "/projects/shop/audit/3",
			"/projects/shop/audit?actor=" + query + "&action=" + query + "&object=" + query +
				"&range=" + query + "&before=" + query,
		} {
			page := b.Get(path)
			if page.Status != 200 || strings.Contains(page.HTML, "<script>alert") {
				t.Errorf("%s: got %d, or the text is not escaped", path, page.Status)
			}
			if !strings.Contains(page.HTML, "&lt;script&gt;alert") {
				t.Errorf("%s does not show the text", path)
			}
		}
	})
}

// wantDownload checks that the page is sent as a file that is not cached.
func wantDownload(t *testing.T, page testkit.Page, contentType, name string) {
	t.Helper()
	for header, want := range map[string]string{
		"Content-Type":        contentType,
		"Content-Disposition": `attachment; filename="` + name + `"`,
		"Cache-Control":       "no-store",
	} {
		if got := page.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
}

func TestTheAuditLogIsExportedAsItIsFiltered(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		app.Project(user, "other")
		if _, err := app.Store.CreateCategory(t.Context(), project.ID, tester, `a "label", ünd more`); err != nil {
			t.Fatal(err)
		}
		page := b.Get("/projects/shop/audit.csv")
		wantDownload(t, page, "text/csv; charset=utf-8", "shop-audit-2026-03-14.csv")
		rows := page.CSV(t)
		if len(rows) != 3 || rows[2]["action"] != "project.create" {
			t.Fatalf("%v", rows)
		}
		want := map[string]string{
			"row":         "3",
			"time":        "2026-03-14T09:26:53.000Z",
			"actor_kind":  "member",
			"actor_id":    fmt.Sprint(tester.ID),
			"actor":       tester.Name,
			"action":      "category.create",
			"object_kind": "category",
			"object_id":   rows[0]["object_id"],
			"object":      `a "label", ünd more`,
			"before":      "{}",
			"after":       `{"name":"a \"label\", ünd more"}`,
			"address":     "192.0.2.1",
		}
		if fmt.Sprint(rows[0]) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", rows[0], want)
		}

		// More than one batch, and only the filtered rows, by the link of the page.
		addAuditRows(app, project, 2500, 1)
		page = b.Get("/projects/shop/audit?object=filler&action=key.edit&range=24h")
		link, found := page.Find(`a[href*="audit.csv"]`).Attr("href")
		if !found {
			t.Fatal("the page has no link to the export")
		}
		rows = b.Get(link).CSV(t)
		for i, row := range rows {
			if row["row"] != fmt.Sprint(3500-i) || row["object"] != "filler" {
				t.Fatalf("row %d is %v", i, row)
			}
		}
		if len(rows) != 2500 {
			t.Errorf("%d rows", len(rows))
		}
		if rows := b.Get("/projects/shop/audit.csv?actor=nobody").CSV(t); len(rows) != 0 {
			t.Errorf("%v", rows)
		}
	})
}

func TestAnExportHasNoFormulas(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		for name, want := range map[string]string{
			`=HYPERLINK("http://evil.example")`: `'=HYPERLINK("http://evil.example")`,
			"+1":                                "'+1",
			"-1":                                "'-1",
			"@SUM(A1)":                          "'@SUM(A1)",
			"plain=1":                           "plain=1",
			"\t=1":                              "'\t=1",
			"\r=1":                              "'\r=1",
			"":                                  "",
		} {
			app.Exec("UPDATE actions SET object_name = ?, actor_name = ?, ip = ? WHERE chain = ? AND seq = 1", name,
				name, name, project.ID)
			row := b.Get("/projects/shop/audit.csv").CSV(t)[1]
			for _, column := range []string{"object", "actor", "address"} {
				if row[column] != want {
					t.Errorf("%s is %q, want %q", column, row[column], want)
				}
			}
		}
	})
}

// A client must not take a part of an export for the whole.
func TestAnExportThatFailsMidwayIsAborted(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		addAuditRows(app, project, 1500, 20_000) // a batch is larger than the buffers of the connection
		request, err := http.NewRequest(http.MethodGet, app.URL+"/projects/shop/audit.csv", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Cookie", sessionCookie+"="+b.Cookie(sessionCookie))
		response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request)
		if err != nil || response.StatusCode != 200 {
			t.Fatal(response, err)
		}
		defer response.Body.Close()
		reader := bufio.NewReader(response.Body)
		if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "row,time,") {
			t.Fatalf("%q %v", line, err)
		}
		app.Exec("ALTER TABLE actions RENAME TO elsewhere")
		if n, err := io.Copy(io.Discard, reader); err == nil || n == 0 {
			t.Errorf("after %d bytes the export ended without an error", n)
		}

		// An error before the first row is shown as a page.
		if page := b.Get("/projects/shop/audit.csv"); page.Status != 500 ||
			page.Header.Get("Content-Disposition") != "" {
			t.Errorf("%d", page.Status)
		}
	})
}
