package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestTheLogIsExportedAsItIsFiltered(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		_, _, foreign := app.Project(user, "other")
		result := app.Setup("third")
		key, second := app.Key(project, models.KeyInput{Name: "second"})
		_, token, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "server", models.AllScopes)
		if err != nil {
			t.Fatal(err)
		}
		trusted := testkit.Bearer(token)
		for i, path := range []string{"/a", `/b"c,d?secret=1`, "=1+1"} {
			reply := app.Call("POST", "/v1/projects/shop/validate",
				fmt.Sprintf(`{"key":%q,"path":%q,"method":"GET","ip":"203.0.113.7","session":"s","credits":%d}`, secret,
					path, i+2),
				trusted...)
			if reply.Status != 200 {
				t.Fatal(reply.Body)
			}
			app.Clock.Advance(time.Second)
		}
		app.ChangeState(key, models.ActionDeactivate)
		app.Validate("shop", second)
		app.Validate("other", foreign)
		app.Validate("third", result.Key.Plain())
		app.Flush()

		page := b.Get("/projects/shop/logs.csv")
		wantDownload(t, page, "text/csv; charset=utf-8", "shop-requests-2026-03-14.csv")
		rows := page.CSV(t)
		if len(rows) != 4 ||
			rows[0]["code"] != "key_inactive" ||
			rows[0]["status"] != "401" ||
			rows[0]["key_name"] != "second" ||
			rows[0]["session"] != "" {
			t.Fatalf("%v", rows)
		}
		row := rows[2]
		want := map[string]string{
			"at":       "2026-03-14T09:26:54.000Z",
			"version":  "1",
			"category": row["category"],
			"method":   "GET",
			"path":     `/b"c,d`,
			"status":   "200",
			"code":     "valid",
			"ip":       "203.0.113.7",
			"credits":  "3",
		}
		for column, value := range want {
			if row[column] != value {
				t.Errorf("%s is %q, want %q", column, row[column], value)
			}
		}
		if row["session"] == "" || row["session"] != rows[3]["session"] || row["id"] == "" || row["duration_ms"] == "" {
			t.Errorf("%v", row)
		}
		if rows[1]["path"] != "'=1+1" {
			t.Errorf("a path that a spreadsheet would run is %q", rows[1]["path"])
		}

		// JSON has the same, in the form of the management API.
		page = b.Get("/projects/shop/logs.json")
		wantDownload(t, page, "application/json", "shop-requests-2026-03-14.json")
		var list []map[string]any
		if err := json.Unmarshal([]byte(page.HTML), &list); err != nil || len(list) != 4 {
			t.Fatalf("%v: %s", err, page.HTML)
		}
		if list[2]["id"] != row["id"] ||
			list[2]["path"] != `/b"c,d` ||
			list[2]["credits"] != 3.0 ||
			list[1]["path"] != "=1+1" ||
			list[0]["session"] != nil {
			t.Errorf("%v", list)
		}

		// Only the filtered requests, by the links of the page.
		for _, ending := range []string{"csv", "json"} {
			page := b.Get("/projects/shop/logs?key=second&code=key_inactive&range=1h")
			link, _ := page.Find(fmt.Sprintf(`a[href*="logs.%s"]`, ending)).Attr("href")
			page = b.Get(link)
			if ending == "csv" {
				if rows := page.CSV(t); len(rows) != 1 || rows[0]["key_name"] != "second" {
					t.Errorf("%v", rows)
				}
				continue
			}
			if err := json.Unmarshal([]byte(page.HTML), &list); err != nil || len(list) != 1 {
				t.Errorf("%v: %s", err, page.HTML)
			}
		}
		if err := json.Unmarshal([]byte(b.Get("/projects/shop/logs.json?code=key_revoked").HTML), &list); err != nil ||
			len(list) != 0 {
			t.Errorf("without a match the export is %v (%v)", list, err)
		}

		if rows := b.Get("/projects/shop/logs.csv?before=" + row["id"]).CSV(t); len(rows) != 4 {
			t.Errorf("an export from a later page has %d rows", len(rows))
		}

		// An invalid filter must not export everything.
		wrong := url.Values{"range": {"custom"}, "from": {"yesterday"}}.Encode()
		for _, query := range []string{"key=no_such_key", wrong, "key=second;"} {
			if page := b.Get("/projects/shop/logs.csv?" + query); page.Status != 422 ||
				page.Header.Get("Content-Disposition") != "" {
				t.Errorf("%s gives %d", query, page.Status)
			}
			page := b.Get("/projects/shop/logs?" + query)
			if query != "key=second;" && page.Find(`a[href*="logs.csv"]`).Length() != 0 {
				t.Errorf("%s is offered for export", query)
			}
		}

		_, eve := app.SignUp("eve@example.com")
		if page := eve.Get("/projects/shop/logs.csv"); page.Status != 404 {
			t.Errorf("a stranger gets %d", page.Status)
		}
	})
}

func TestALongLogIsExportedInBatches(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, key, _ := app.Project(user, "shop")
		ids, err := app.Store.Log().NewIDs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const count = 2500
		want := map[string]bool{}
		var rows []requestlog.Row
		for range count {
			id := ids.Next()
			want[id.String()] = true
			rows = append(rows, requestlog.Row{
				ID: id, ProjectID: project.ID, KeyID: key.ID, Version: 1, Status: 200, Code: requestlog.CodeValid,
			})
		}
		if err := app.Store.Log().Write(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		before := ""
		for _, row := range b.Get("/projects/shop/logs.csv").CSV(t) {
			if !want[row["id"]] || before != "" && row["id"] >= before {
				t.Fatalf("%s comes twice, or not in order", row["id"])
			}
			delete(want, row["id"])
			before = row["id"]
		}
		if len(want) > 0 {
			t.Errorf("%d of %d rows are missing", len(want), count)
		}
		var list []map[string]any
		if err := json.Unmarshal([]byte(b.Get("/projects/shop/logs.json").HTML), &list); err != nil ||
			len(list) != count {
			t.Errorf("%d of %d objects (%v)", len(list), count, err)
		}
	})
}
