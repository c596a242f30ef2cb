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

func TestARepeatedIdempotencyKeyCreatesNothingASecondTime(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api, other := app.Client(project), app.Client(project)
		const body = `{"name":"server","type":"test","category":"a new label"}`
		first := api.Ask("POST", "/keys", body, "Idempotency-Key", "k1")
		again := api.Ask("POST", "/keys", body, "Idempotency-Key", "k1")
		if first.Status != 201 || first.Body["replayed"] != false || first.Body["secret"] == nil ||
			first.Header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("%d %v", first.Status, first.Body)
		}
		if again.Status != 201 || again.Body["replayed"] != true || again.Header.Get("Idempotent-Replayed") != "true" ||
			again.Body["id"] != first.Body["id"] ||
			again.Body["name"] != "server" || again.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%d %v %v", again.Status, again.Body, again.Header)
		}
		if secret, there := again.Body["secret"]; secret != nil || !there {
			t.Errorf("the second answer has the secret %v", secret)
		}
		if reply := api.Ask("POST", "/keys", `{"name":"other","type":"test"}`,
			"Idempotency-Key", "k1"); reply.Status != 422 || reply.Code() != "idempotency_mismatch" {
			t.Errorf("another body: %d %v", reply.Status, reply.Body)
		}
		path := fmt.Sprintf("/keys/%v", first.Body["id"])
		if reply := api.Ask("POST", path+"/rotate", "",
			"Idempotency-Key", "k1"); reply.Code() != "idempotency_mismatch" {
			t.Errorf("another route: %d %v", reply.Status, reply.Body)
		}
		// Another token's keys are its own.
		if reply := other.Ask("POST", "/keys", `{"name":"other","type":"test"}`,
			"Idempotency-Key", "k1"); reply.Status != 201 || reply.Body["replayed"] != false {
			t.Errorf("another token: %d %v", reply.Status, reply.Body)
		}

		rotated := api.Ask("POST", path+"/rotate", `{"grace":"1h"}`, "Idempotency-Key", "k2")
		again = api.Ask("POST", path+"/rotate", `{"grace":"1h"}`, "Idempotency-Key", "k2")
		if rotated.Body["version"] != 2.0 || again.Body["version"] != 2.0 || again.Body["secret"] != nil ||
			again.Body["replayed"] != true {
			t.Errorf("%v\n%v", rotated.Body, again.Body)
		}
		if code := app.Validate("shop", rotated.Body["secret"].(string)).Code(); code != "valid" {
			t.Errorf("after the second request the new secret is %s", code)
		}

		label := api.Ask("POST", "/categories", `{"name":"partner"}`, "Idempotency-Key", "k3")
		again = api.Ask("POST", "/categories", `{"name":"partner"}`, "Idempotency-Key", "k3")
		if again.Status != 201 || again.Body["id"] != label.Body["id"] ||
			again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %v", again.Status, again.Body)
		}

		// What was refused is not remembered: the corrected request goes through with the same key.
		for _, refused := range []string{"a b", "server"} { // by the rules, and because of what is there
			if reply := api.Ask("POST", "/keys", `{"name":"`+refused+`","type":"test"}`,
				"Idempotency-Key", "k4"); reply.Status != 422 || reply.Code() != "invalid" {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
		}
		if reply := api.Ask("POST", "/keys", `{"name":"a_b","type":"test"}`,
			"Idempotency-Key", "k4"); reply.Status != 201 || reply.Body["replayed"] != false {
			t.Errorf("the corrected request: %d %v", reply.Status, reply.Body)
		}

		// A day later the key may be used for something else.
		app.Clock.Advance(24 * time.Hour)
		if reply := api.Ask("POST", "/keys", `{"name":"tomorrow","type":"test"}`,
			"Idempotency-Key", "k1"); reply.Status != 201 || reply.Body["replayed"] != false {
			t.Errorf("a day later: %d %v", reply.Status, reply.Body)
		}
	})
}

func TestAnIdempotencyKeyIsValidated(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		for key, status := range map[string]int{
			strings.Repeat("x", 255): 201, strings.Repeat("x", 256): 400, "a b": 400, "é": 400, "": 400,
		} {
			reply := api.Ask("POST", "/keys", `{"name":"k`+fmt.Sprint(len(key))+`","type":"test"}`,
				"Idempotency-Key", key)
			if reply.Status != status || status == 400 && reply.Field("Idempotency-Key") == "" {
				t.Errorf("%.20q: %d %v", key, reply.Status, reply.Body)
			}
		}
	})
}

func TestTwoRequestsAtTheSameMomentMakeOneKey(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		var (
			all     sync.WaitGroup
			mu      sync.Mutex
			secrets int
			ids     = map[any]bool{}
		)
		key, _ := app.Key(project, models.KeyInput{Name: "rotated"})
		for n := range 20 {
			all.Go(func() {
				reply := api.Ask("POST", "/keys", `{"name":"server","type":"test"}`, "Idempotency-Key", "same")
				if n%2 == 0 {
					reply = api.Ask("POST", fmt.Sprintf("/keys/%d/rotate", key.ID), "", "Idempotency-Key", "rotation")
				}
				mu.Lock()
				defer mu.Unlock()
				if reply.Status >= 300 {
					t.Errorf("%d %v", reply.Status, reply.Body)
				}
				ids[reply.Body["id"]] = true
				if reply.Body["secret"] != nil {
					secrets++
				}
			})
		}
		all.Wait()
		page, err := app.Store.Keys(t.Context(), project.ID, models.KeyFilter{Search: "server", Limit: 10})
		if err != nil || len(page.Keys) != 1 || len(ids) != 2 || secrets > 2 {
			t.Errorf("%d keys, ids %v, %d answers with a secret: %v", len(page.Keys), ids, secrets, err)
		}
		if rotated, err := app.Store.Key(t.Context(), project.ID, key.ID); err != nil || rotated.Version != 2 {
			t.Errorf("version %d after one rotation, %v", rotated.Version, err)
		}
	})
}

func TestOldIdempotencyKeysAreRemovedInSmallSteps(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		for n := range 50 {
			api.Ask("POST", "/categories", fmt.Sprintf(`{"name":"label %d"}`, n), "Idempotency-Key", fmt.Sprint(n))
		}
		left := func() (n int) {
			app.Row(&n, "SELECT COUNT(*) FROM idempotency_keys")
			return n
		}
		if n := left(); n != 50 {
			t.Fatalf("%d rows", n)
		}
		app.Clock.Advance(24*time.Hour + time.Second)
		for n, want := range []int{31, 12, 3, 4} {
			api.Ask("POST", "/categories", fmt.Sprintf(`{"name":"later %d"}`, n),
				"Idempotency-Key", fmt.Sprintf("later-%d", n))
			if n := left(); n != want {
				t.Errorf("%d rows are left, want %d", n, want)
			}
		}
	})
}
