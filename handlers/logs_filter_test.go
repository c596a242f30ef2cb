package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// The page, the export and the API have the same filters.
func TestTheLogIsFilteredByPropertiesOfRequests(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, secret := app.Project(user, "shop")
		_, test := app.Key(project, models.KeyInput{Name: "try", Type: models.TypeTest, Category: "staging"})
		api := app.Client(project)
		validate := func(key, method, path, ip string, status int) {
			t.Helper()
			verdict := app.Call("POST", "/v1/projects/shop/validate",
				fmt.Sprintf(`{"key":%q,"method":%q,"path":%q,"ip":%q}`, key, method, path, ip), "Authorization",
				"Bearer "+api.Token)
			app.Clock.Advance(time.Second)
			if verdict.Code() != "valid" {
				t.Fatal(verdict.Body)
			}
			report := fmt.Sprintf(`{"requests":[{"request_id":%q,"status":%d,"credits":%d}]}`,
				verdict.Body["request_id"], status, status)
			if reply := api.Ask("POST", "/requests", report); reply.Status != 200 || reply.Body["completed"] != 1.0 {
				t.Fatal(reply.Body)
			}
		}
		validate(secret, "GET", "/orders", "203.0.113.7", 200)
		validate(secret, "POST", "/orders", "203.0.113.7", 201)
		validate(secret, "GET", "/orders/5", "2001:db8::5", 404)
		validate(test, "GET", "/orders", "203.0.113.8", 302)
		long := "/" + strings.Repeat("x", requestlog.MaxPath-1)
		validate(secret, strings.Repeat("M", requestlog.MaxMethod), long, "192.0.2.200", 204)
		validate(test, "GET", "/a b?c=d", "203.0.113.8", 500)

		for query, want := range map[string]string{
			"type=test": "500 302",
			"endpoint=" + strings.Repeat("M", requestlog.MaxMethod) + " " + long: "204",
			"type=production":             "204 404 201 200",
			"status=2xx":                  "204 201 200",
			"status=5xx":                  "500",
			"status=1xx":                  "",
			"endpoint=/orders":            "302 201 200",
			"endpoint=GET /orders":        "302 200",
			"endpoint= POST  /orders ":    "201",
			"endpoint=/orders?x=1":        "302 201 200",
			"endpoint=/orders/":           "",
			"endpoint=/a b":               "500",
			"endpoint=GET /a b":           "500",
			"ip=203.0.113.7":              "201 200",
			"ip=2001:DB8:0:0::5":          "404",
			"ip=::ffff:203.0.113.8":       "500 302",
			"ip=192.0.2.1":                "",
			"type=test&status=5xx":        "500",
			"key=try&ip=203.0.113.7":      "",
			"key=try&endpoint=/orders":    "302",
			"key=try&type=production":     "",
			"category=staging&status=3xx": "302",
		} {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			query = "?" + values.Encode()
			page := b.Get("/projects/shop/logs" + query)
			var shown, exported, listed []string
			for _, row := range page.Find("#rows tbody tr .badge").EachIter() {
				shown = append(shown, strings.Fields(row.Text())[0])
			}
			for _, row := range b.Get("/projects/shop/logs.csv" + query).CSV(t) {
				exported = append(exported, row["status"])
			}
			for _, row := range api.Ask("GET", "/logs"+query, "").Rows() {
				listed = append(listed, fmt.Sprint(row["status"]))
			}
			for name, got := range map[string][]string{"the page": shown, "the export": exported, "the API": listed} {
				if strings.Join(got, " ") != want {
					t.Errorf("%s with %s lists %v, want %s", name, values, got, want)
				}
			}
			for name := range values { // the form shows the filter
				field := page.Find(fmt.Sprintf(`.filter-bar [name=%s]`, name))
				value, _ := field.Attr("value")
				if selected, is := field.Find("option[selected]").Attr("value"); is {
					value = selected
				}
				if value != strings.TrimSpace(values.Get(name)) && value != values.Get(name) {
					t.Errorf("with %s the field %s has %q", values, name, value)
				}
			}
		}

		for query, problem := range map[string]string{
			"ip=here":         "Enter one IP address.",
			"status=6xx":      "Choose one of",
			"endpoint=?a=1":   "Enter a path",
			"endpoint=GET ?a": "Enter a path",
			"type=both":       "Choose production or test.",
		} {
			query = strings.ReplaceAll(query, " ", "+")
			page := b.Get("/projects/shop/logs?" + query)
			if !strings.Contains(page.Text(), problem) ||
				page.Find("#rows tbody tr").Length() > 0 ||
				page.Find(`a[href*="logs.csv"]`).Length() > 0 {
				t.Errorf("the page with %s is %s", query, page.Text())
			}
			if page := b.Get("/projects/shop/logs.csv?" + query); page.Status != 422 {
				t.Errorf("an export with %s gives %d", query, page.Status)
			}
		}
		reply := api.Ask("GET", "/logs?ip=here&status=6xx&type=both&endpoint=?", "")
		if fields, _ := reply.Body["fields"].(map[string]any); reply.Status != 400 || len(fields) != 4 {
			t.Errorf("the API gives %d %v", reply.Status, reply.Body)
		}
	})
}
