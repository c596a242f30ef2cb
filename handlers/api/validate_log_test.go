package api_test

import (
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestAMalformedKeyCostsNoQueryAndAKnownOneNoneOnceSeen(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		_, _, secret := app.Project(user, "shop")
		app.Validate("shop", secret)
		app.Flush()
		before := app.Queries.Load()
		typo := secret[:len(secret)-2] + "__"
		for range 50 {
			app.Validate("shop", typo)
		}
		if n := app.Queries.Load() - before; n != 0 {
			t.Errorf("50 malformed keys cost %d statements", n)
		}
		unknown := testkit.UnknownSecret(t, 1)
		for range 50 {
			app.Validate("shop", unknown)
		}
		if n := app.Queries.Load() - before; n != 1 {
			t.Errorf("50 requests with one unknown key cost %d statements", n)
		}
	})
}

func TestEveryRequestWithAKnownKeyIsLogged(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, key, secret := app.Project(user, "shop")
		inactiveKey, inactive := app.Key(project, models.KeyInput{Name: "off", Category: "partner"})
		app.ChangeState(inactiveKey, models.ActionDeactivate)
		app.Validate("shop", secret, "X-Session-ID", "abc")
		app.Validate("shop", inactive)
		app.Validate("shop", "nonsense")
		app.Validate("shop", testkit.UnknownSecret(t, 1))
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), project.ID, models.LogFilter{Limit: 10})
		if err != nil || len(page.Entries) != 2 {
			t.Fatalf("%d rows, %v", len(page.Entries), err)
		}
		rejected, admitted := page.Entries[0], page.Entries[1]
		if admitted.KeyID != key.ID || admitted.Status != 200 || admitted.Credits != 1 ||
			len(admitted.SessionHash) == 0 || admitted.Method != "GET" {
			t.Errorf("%+v", admitted)
		}
		if rejected.KeyID != inactiveKey.ID || rejected.Status != 401 || rejected.Credits != 0 ||
			rejected.Category != "partner" || rejected.SessionHash != nil {
			t.Errorf("%+v", rejected)
		}
	})
}

// The row of every request must be writable, whatever bytes a caller sends: otherwise it would block the rows after it.
func TestStrangeBytesDoNotStopTheLog(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		token := []string{"X-API-Key", result.Key.Plain(), "Authorization", "Bearer " + result.ServiceToken.Plain()}
		for _, body := range []string{
			`{"path":"/a\u0000b","method":"G\u0000T","session":"\u0000"}`, `{"path":"/\ud800"}`,
			"{\"path\":\"/\xff\xfe\"}",
			`{"path":"/` + strings.Repeat("ä", 5000) + `"}`, `{"method":"` + strings.Repeat("A", 5000) + `"}`,
			`{"ip":"fe80::1%eth0"}`,
		} {
			if reply := app.Call("POST", "/v1/projects/shop/validate", body, token...); reply.Status != 200 {
				t.Errorf("%q: %v", body, reply.Body)
			}
		}
		app.Call("GET", "/v1/projects/shop/validate?a=%00%ff", "", "X-API-Key", result.Key.Plain(),
			"X-Session-ID", "\xff\xfe")
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), result.Project.ID, models.LogFilter{Limit: 50})
		if err != nil || len(page.Entries) != 7 {
			t.Errorf("%d rows, %v", len(page.Entries), err)
		}
	})
}

func TestARequestForAnUnknownProjectIsCounted(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		for range 2 {
			if reply := app.Validate("nowhere", "nonsense"); reply.Status != 404 || reply.Code() != "project_unknown" {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
		}
		if n := app.Gate.Stats().Verdicts[requestlog.CodeProjectUnknown]; n != 2 {
			t.Errorf("2 verdicts are counted as %d", n)
		}
	})
}

func TestEveryAnswerIsCountedByItsCode(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		key, token := result.Key.Plain(), "Bearer "+result.ServiceToken.Plain()
		path := "/v1/projects/shop/validate"
		app.Call("POST", path, `{"key":7}`)
		app.Call("POST", path, `{"key":"`+strings.Repeat("x", 16<<10)+`"}`)
		app.Call("POST", path, `{"key":"`+key+`"}`)
		app.Call("POST", path, `{"key":"`+key+`","dry_run":true}`, "Authorization", token) // counts nothing
		app.Exec("ALTER TABLE key_versions RENAME TO elsewhere")                           // the database is no good
		reply := app.Call("POST", path, `{"key":"`+testkit.UnknownSecret(t, 1)+`"}`)
		if reply.Status != 503 || reply.Code() != "unavailable" || reply.Header.Get("Retry-After") != "1" ||
			reply.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		counted := app.Gate.Stats().Verdicts
		for code, want := range map[requestlog.Code]uint64{requestlog.CodeBadRequest: 1, requestlog.CodeTooLarge: 1,
			requestlog.CodeValid: 1, requestlog.CodeUnavailable: 1} {
			if counted[code] != want {
				t.Errorf("%s is counted %d times, want %d", code, counted[code], want)
			}
		}
	})
}
