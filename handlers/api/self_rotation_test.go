package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func rotateSelf(app *testkit.App, project, secret, body string) testkit.Reply {
	app.T.Helper()
	return app.Call("POST", "/v1/projects/"+project+"/keys/rotate", body, "X-API-Key", secret)
}

func TestAKeyRotatesItselfWhereThatIsOn(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, old := app.Key(project, models.KeyInput{Name: "robot", SelfRotation: true})
		reply := rotateSelf(app, "shop", old, `{"grace":"1h"}`)
		fresh, _ := reply.Body["secret"].(string)
		if reply.Status != 200 || reply.Body["version"] != 2.0 || reply.Body["name"] != "robot" ||
			reply.Header.Get("Cache-Control") != "no-store" ||
			reply.Body["previous_ends_at"] != app.Clock.Now().Add(time.Hour).Format(time.RFC3339) {
			t.Fatalf("%d %v", reply.Status, reply.Body)
		}
		for _, secret := range []string{old, fresh} {
			if code := app.Validate("shop", secret).Code(); code != "valid" {
				t.Errorf("%s", code)
			}
		}
		// The old one may be used for an hour, and may not rotate: who found it somewhere must not take the key over.
		if reply := rotateSelf(app, "shop", old, ""); reply.Status != 409 || reply.Code() != "version_retiring" ||
			!strings.Contains(fmt.Sprint(reply.Body["error"]), "newest") {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		reply = rotateSelf(app, fmt.Sprint(project.ID), fresh, "")
		if reply.Status != 200 || reply.Body["version"] != 3.0 || app.Validate("shop", fresh).Code() != "key_revoked" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		list, _, err := app.Store.AuditRows(t.Context(), project.ID, models.AuditFilter{
			Action: "key.rotate",
			Limit:  10,
		})
		if err != nil || len(list) != 2 || list[0].ActorKind != models.ActorKey || list[0].ActorID != key.ID ||
			list[0].ActorName != "robot" || list[0].IP != "127.0.0.1" {
			t.Errorf("%+v %v", list, err)
		}
		if text := b.Get("/projects/shop/audit").Text(); !strings.Contains(text, "key itself") {
			t.Errorf("the audit log says %s", text)
		}
		if text := b.Get(testkit.KeyPath(project, key)).Find("table").First().Text(); !strings.Contains(text, "robot") {
			t.Errorf("the timeline says %s", text)
		}
	})
}

func TestSelfRotationIsRefusedWithItsReason(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, plain := app.Project(user, "shop")
		app.Project(user, "other")
		made := func(name string) (*models.Key, string) {
			soon := app.Clock.Now().Add(time.Minute)
			in := models.KeyInput{Name: name, SelfRotation: true}
			if name == "expired" {
				in.ExpiresAt = &soon
			}
			return app.Key(project, in)
		}
		change := func(key *models.Key, action models.KeyAction) {
			if _, err := app.Store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, action); err != nil {
				t.Fatal(err)
			}
		}
		inactive, inactiveSecret := made("inactive")
		change(inactive, models.ActionDeactivate)
		revoked, revokedSecret := made("revoked")
		change(revoked, models.ActionRevoke)
		_, expiredSecret := made("expired")
		_, good := made("good")
		ended, endedSecret := made("ended")
		if _, _, err := app.Store.RotateKey(t.Context(), project.ID, ended.ID, tester, 0, 0); err != nil {
			t.Fatal(err)
		}
		app.Clock.Advance(time.Hour)
		for _, c := range []struct {
			what, project, secret, body string
			status                      int
			code                        string
		}{
			{"no key", "shop", "", "", 401, "key_missing"},
			{"nonsense", "shop", "nonsense", "", 401, "key_invalid"},
			{"an unknown key", "shop", testkit.UnknownSecret(t, 1), "", 401, "key_invalid"},
			{"another project's", "other", good, "", 401, "key_invalid"},
			{"no such project", "nowhere", good, "", 404, "project_unknown"},
			{"inactive", "shop", inactiveSecret, "", 401, "key_inactive"},
			{"revoked", "shop", revokedSecret, "", 401, "key_revoked"},
			{"expired", "shop", expiredSecret, "", 401, "key_expired"},
			{"an ended version", "shop", endedSecret, "", 401, "key_revoked"},
			{"off", "shop", plain, "", 403, "self_rotation_off"},
			{"a wrong grace", "shop", good, `{"grace":"2h"}`, 422, "invalid"},
			{"a version", "shop", good, `{"version":1}`, 400, "bad_request"},
		} {
			if reply := rotateSelf(app, c.project, c.secret, c.body); reply.Status != c.status ||
				reply.Code() != c.code {
				t.Errorf("%s: %d %v", c.what, reply.Status, reply.Body)
			}
		}
		plans, _, err := app.Store.Plans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		admin := user.Actor("192.0.2.1")
		if _, err := app.Store.ChangeProjectPlan(t.Context(), admin, project.ID, plans[0].ID, nil); err != nil {
			t.Fatal(err)
		}
		if reply := rotateSelf(app, "shop", good, ""); reply.Status != 403 || reply.Code() != "plan_limit" ||
			!strings.Contains(fmt.Sprint(reply.Body["error"]), "Starter") {
			t.Errorf("on the Free plan: %d %v", reply.Status, reply.Body)
		}
		if _, err := app.Store.ChangeProjectPlan(t.Context(), admin, project.ID, plans[1].ID, nil); err != nil {
			t.Fatal(err)
		}
		if reply := rotateSelf(app, "shop", good, ""); reply.Status != 200 {
			t.Errorf("on the Starter plan: %d %v", reply.Status, reply.Body)
		}
	})
}

func TestOfManySelfRotationsAtTheSameMomentOneWins(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, secret := app.Key(project, models.KeyInput{Name: "robot", SelfRotation: true})
		var (
			all  sync.WaitGroup
			mu   sync.Mutex
			seen = map[string]int{}
		)
		for range 10 {
			all.Go(func() {
				reply := rotateSelf(app, "shop", secret, `{"grace":"15m"}`)
				mu.Lock()
				defer mu.Unlock()
				seen[fmt.Sprintf("%d %s", reply.Status, reply.Code())]++
			})
		}
		all.Wait()
		if fmt.Sprint(seen) != "map[200 :1 409 version_retiring:9]" {
			t.Errorf("%v", seen)
		}
		if rotated, err := app.Store.Key(t.Context(), project.ID, key.ID); err != nil || rotated.Version != 2 {
			t.Errorf("version %d, %v", rotated.Version, err)
		}
	})
}
