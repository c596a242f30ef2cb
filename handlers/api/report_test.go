package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestAnAppReportsWhatItAnswered(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		_, _, foreign := app.Project(user, "other")
		_, token, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "server", models.AllScopes)
		if err != nil {
			t.Fatal(err)
		}
		report := func(items string) testkit.Reply {
			return app.Call("POST", "/v1/projects/shop/requests", `{"requests":[`+items+`]}`, testkit.Bearer(token)...)
		}
		first, second, theirs := app.Validate("shop", secret).Body, app.Validate("shop", secret).Body,
			app.Validate("other", foreign).Body
		id := func(verdict map[string]any) string { return verdict["request_id"].(string) }

		// The rows are not written yet.
		items := fmt.Sprintf(`{"request_id":%q,"status":503,"ttfb_ms":12.3456,"credits":7},
			{"request_id":%q,"credits":0},{"request_id":%q,"status":200}`, id(first), id(second), id(theirs))
		for range 2 { // repeating changes nothing
			reply := report(items)
			if want := fmt.Sprintf("map[completed:2 not_found:[%v]]", id(theirs)); reply.Status != 200 ||
				fmt.Sprint(reply.Body) != want {
				t.Fatalf("%d %v, want %s", reply.Status, reply.Body, want)
			}
		}
		app.Flush()
		entry := func(verdict map[string]any) map[string]any {
			return app.Call("GET", "/v1/projects/shop/logs/"+id(verdict), "", testkit.Bearer(token)...).Body
		}
		if e := entry(first); e["status"] != 503.0 || e["ttfb_ms"] != 12.346 || e["credits"] != 7.0 ||
			e["code"] != "valid" || e["type"] != "production" {
			t.Errorf("the row is %v", e)
		}
		if e := entry(second); e["status"] != 200.0 || e["ttfb_ms"] != nil || e["credits"] != 0.0 {
			t.Errorf("the row of which only the credits were reported is %v", e)
		}
		var credits, requests int
		app.Row(&credits, fmt.Sprint("SELECT SUM(credits) FROM usage_minutes WHERE project_id = ", project.ID))
		app.Row(&requests, fmt.Sprint("SELECT SUM(requests) FROM usage_minutes WHERE project_id = ", project.ID))
		if credits != 7 || requests != 2 {
			t.Errorf("%d credits of %d requests are counted", credits, requests)
		}

		page := b.Get("/projects/shop/logs?status=5xx")
		if rows := page.Find("#rows tbody tr"); rows.Length() != 1 || !strings.Contains(rows.Text(), "503 valid") ||
			!strings.Contains(rows.Text(), "12 ms") {
			t.Errorf("the page of what failed is %s", rows.Text())
		}
		if text := b.Get("/projects/shop/logs/" + id(first)).Text(); !strings.Contains(text,
			"Time to first byte (app)12 ms") {
			t.Errorf("the page of the request is %s", text)
		}
		rows := b.Get("/projects/shop/logs.csv").CSV(t)
		if len(rows) != 2 || rows[1]["ttfb_ms"] != "12.346" || rows[0]["ttfb_ms"] != "" ||
			rows[1]["type"] != "production" {
			t.Errorf("the export is %v", rows)
		}
	})
}

// If one item is wrong, nothing is written, and the reply names every wrong item.
func TestAReportWithAMistakeChangesNothing(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		_, token, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "server",
			[]models.Scope{models.ScopeReport, models.ScopeLogsRead})
		if err != nil {
			t.Fatal(err)
		}
		id := app.Validate("shop", secret).Body["request_id"]
		app.Flush()
		good := fmt.Sprintf(`{"request_id":%q,"status":500}`, id)
		many := strings.Repeat(good+",", 1000) + good
		other := good + `,{"request_id":"req_377ecf22e0003"`
		all := []string{"requests[1].status", "requests[1].ttfb_ms", "requests[1].credits"}
		for items, fields := range map[string][]string{
			good + `,{"request_id":"x","status":200}`:                        {"requests[1].request_id"},
			good + "," + good:                                                {"requests[1].request_id"},
			other + `,"status":99,"ttfb_ms":-1,"credits":-1}`:                all,
			other + `,"status":600,"ttfb_ms":86400001,"credits":1000000001}`: all,
			other + `}`:           {"requests[1].status"},
			other + `,"state":1}`: {"state"},
			"":                    {"requests"},
			many:                  {"requests"},
		} {
			reply := app.Call("POST", "/v1/projects/shop/requests", `{"requests":[`+items+`]}`,
				testkit.Bearer(token)...)
			got, _ := reply.Body["fields"].(map[string]any)
			if reply.Status != 400 || len(got) != len(fields) {
				t.Errorf("%.100s: %d %.300v", items, reply.Status, reply.Body)
			}
			for _, field := range fields {
				if got[field] == nil {
					t.Errorf("%.100s: nothing is said of %s: %.300v", items, field, reply.Body)
				}
			}
		}
		if e := app.Call("GET", fmt.Sprintf("/v1/projects/shop/logs/%s", id), "",
			testkit.Bearer(token)...).Body; e["status"] != 200.0 {
			t.Errorf("the row has the status %v", e["status"])
		}
		if reply := app.Call("POST", "/v1/projects/shop/requests", `{"requests":[`+strings.Repeat(good+", ", 6000)+`]}`,
			testkit.Bearer(token)...); reply.Status != 413 || !strings.Contains(fmt.Sprint(reply.Body), "256 KiB") {
			t.Errorf("a large report gives %d %v", reply.Status, reply.Body)
		}
	})
}

// A thousand items over many minutes, as a batch job would send them.
func TestAReportOfAThousand(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		_, token, err := app.Store.CreateServiceToken(t.Context(), project.ID, tester, "server", models.AllScopes)
		if err != nil {
			t.Fatal(err)
		}
		var items []string
		for i := range 1000 {
			items = append(items, fmt.Sprintf(`{"request_id":%q,"status":404,"ttfb_ms":%d,"credits":2}`,
				app.Validate("shop", secret).Body["request_id"], i))
			app.Clock.Advance(time.Second)
		}
		reply := app.Call("POST", "/v1/projects/shop/requests", `{"requests":[`+strings.Join(items, ",")+`]}`,
			testkit.Bearer(token)...)
		if reply.Status != 200 || reply.Body["completed"] != 1000.0 {
			t.Fatalf("%d %.300v", reply.Status, reply.Body)
		}
		var credits int
		app.Row(&credits, "SELECT SUM(credits) FROM usage_minutes")
		if credits != 2000 {
			t.Errorf("%d credits are counted", credits)
		}
		page, err := app.Store.RequestLogs(t.Context(), project.ID, models.LogFilter{StatusClass: 4, Limit: 2000})
		if err != nil || len(page.Entries) != 1000 {
			t.Fatalf("%d rows have the status: %v", len(page.Entries), err)
		}
		for i, e := range page.Entries {
			if want := int64(999-i) * 1000; e.TTFBUs.Int64 != want {
				t.Fatalf("row %d has a time of %d, want %d", i, e.TTFBUs.Int64, want)
			}
		}
	})
}
