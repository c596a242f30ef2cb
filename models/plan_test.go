package models_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// setPlan gives the project a plan and overrides.
func setPlan(t *testing.T, store *models.Store, project *models.Project, plan string, overrides models.Overrides) {
	t.Helper()
	all, _, err := store.Plans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == plan {
			_, err := store.ChangeProjectPlan(t.Context(), testkit.Actor(1), project.ID, p.ID, overrides)
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("there is no plan %s", plan)
}

func TestANewInstanceHasThePlansOfTheProduct(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		all, def, err := store.Plans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range all {
			line := fmt.Sprint(p.Name, " ", p.Rotation)
			for _, name := range models.NumberLimits {
				if n := p.Number(name); n != nil {
					line += fmt.Sprint(" ", *n)
				} else {
					line += " none"
				}
			}
			got = append(got, line)
			if (p.ID == def) != (p.Name == "Enterprise") {
				t.Errorf("%s is default: %v", p.Name, p.ID == def)
			}
		}
		// product.md, section 4: active keys, project /s, project /min, key /min, ip /min, session /min, logs kept.
		want := []string{
			"Free false 1 10 300 300 60 60 7",
			"Starter true 3 50 2000 1000 300 120 30",
			"Growth true 5 200 10000 5000 1000 300 90",
			"Pro true 10 1000 50000 20000 3000 600 180",
			"Enterprise true none none none none none none 365",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestConcurrentRequestsMakeNoMoreKeysThanThePlanAllows(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		setPlan(
			t, store, project, "Free", models.Overrides{models.LimitActiveKeys: ptr(int64(4))},
		) // the default key has one of them
		var (
			wait  sync.WaitGroup
			mu    sync.Mutex
			made  int
			start = make(chan struct{})
		)
		for i := range 50 {
			wait.Go(func() {
				<-start
				_, _, err := store.CreateKey(
					t.Context(), project.ID, testkit.Actor(1), keyInput(fmt.Sprintf("key_%d", i)),
				)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !hasCode(err, models.CodePlanLimit) {
					t.Error(err)
				}
			})
		}
		close(start)
		wait.Wait()
		active, err := store.CountActiveKeys(t.Context(), project.ID)
		if made != 3 || active != 4 || err != nil {
			t.Errorf("%d were made, %d are active, %v", made, active, err)
		}
	})
}

func TestThePlanBoundsTheActiveKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		ctx, actor := t.Context(), testkit.Actor(1)
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		setPlan(t, store, project, "Starter", nil)
		one, _ := newKey(t, store, project, keyInput("one"))
		short := keyInput("short")
		end := clock.Now().Add(time.Hour)
		short.ExpiresAt = &end
		expiring, _ := newKey(t, store, project, short)

		refused := func(what, message string, err error) {
			t.Helper()
			if !hasCode(err, models.CodePlanLimit) || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: %v, want %q", what, err, message)
			}
		}
		allowed := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		create := func(name string) error {
			_, _, err := store.CreateKey(ctx, project.ID, actor, keyInput(name))
			return err
		}
		state := func(key *models.Key, action models.KeyAction) error {
			_, err := store.ChangeKeyState(ctx, project.ID, key.ID, actor, action)
			return err
		}
		refused("a fourth key", "The Starter plan allows 3 active keys. The Growth plan allows more", create("four"))
		allowed("an edit", func() error {
			_, err := store.UpdateKey(ctx, project.ID, one.ID, actor, keyInput("renamed"))
			return err
		}())
		allowed("deactivate", state(one, models.ActionDeactivate))
		allowed("a key in its place", create("three"))
		refused("activate", "3 active keys", state(one, models.ActionActivate))

		clock.Advance(time.Hour) // one expires and leaves its place
		allowed("activate", state(one, models.ActionActivate))
		clock.Advance(time.Second)
		if active, err := store.CountActiveKeys(ctx, project.ID); active != 3 || err != nil {
			t.Errorf("%d active keys beside the expired one, %v", active, err)
		}
		later := clock.Now().Add(time.Hour)
		short.ExpiresAt = &later
		_, err := store.UpdateKey(ctx, project.ID, expiring.ID, actor, short)
		refused("a later end of an expired key", "3 active keys", err)
		allowed("deactivate an expired key", state(expiring, models.ActionDeactivate))
		allowed("activate an expired key, which takes no place", state(expiring, models.ActionActivate))
		allowed("revoke", state(one, models.ActionRevoke))
		_, err = store.UpdateKey(ctx, project.ID, expiring.ID, actor, short)
		allowed("a later end with room", err)

		// A downgrade takes nothing away and lets nothing be added.
		setPlan(t, store, project, "Free", nil)
		if active, err := store.CountActiveKeys(ctx, project.ID); active != 3 || err != nil {
			t.Errorf("%d active keys after the downgrade, %v", active, err)
		}
		refused(
			"a key after the downgrade",
			"The Free plan allows 1 active key. The Growth plan allows more",
			create("five"),
		)
		setPlan(t, store, project, "Free", models.Overrides{models.LimitActiveKeys: ptr(int64(2))})
		refused("a key over the project's own limit", "This project may have 2 active keys.", create("five"))
		setPlan(t, store, project, "Free", models.Overrides{models.LimitActiveKeys: nil})
		allowed("a key without a maximum", create("five"))
	})
}

func TestRotationNeedsAPlanThatAllowsIt(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		ctx := t.Context()
		user := signUp(t, store, "ada@example.com") // the admin of the instance
		project, defaultKey, _ := newProject(t, store, user, "shop")
		key, _ := newKey(t, store, project, keyInput("one"))
		setPlan(t, store, project, "Free", nil)
		member, admin := testkit.Actor(user.ID), user.Actor("192.0.2.1")
		for _, c := range []struct {
			what  string
			key   *models.Key
			actor models.Actor
			may   bool
		}{
			{"a member and a key", key, member, false}, {"a member and the default key", defaultKey, member, false},
			{"the admin and a key", key, admin, false}, {"the admin and the default key", defaultKey, admin, true},
		} {
			_, _, err := store.RotateKey(ctx, project.ID, c.key.ID, c.actor, 0, time.Hour)
			refused := hasCode(err, models.CodePlanLimit) && strings.Contains(err.Error(), "The Starter plan allows it")
			if refused == c.may {
				t.Errorf("%s: %v", c.what, err)
			}
		}
		// What is retiring can be ended on any plan.
		if _, err := store.EndVersion(ctx, project.ID, defaultKey.ID, member, 1, 0); err != nil {
			t.Error(err)
		}
		setPlan(t, store, project, "Free", models.Overrides{models.LimitRotation: ptr(int64(1))})
		if _, _, err := store.RotateKey(ctx, project.ID, key.ID, member, 0, 0); err != nil {
			t.Error(err)
		}
		setPlan(t, store, project, "Enterprise", models.Overrides{models.LimitRotation: ptr(int64(0))})
		if _, _, err := store.RotateKey(ctx, project.ID, key.ID, member, 0, 0); !hasCode(err, models.CodePlanLimit) {
			t.Error(err)
		}
	})
}

func TestNewProjectsGetTheDefaultPlan(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		if _, err := store.SetDefaultPlan(t.Context(), user.Actor(""), 1); err != nil {
			t.Fatal(err)
		}
		project, _, _ := newProject(t, store, user, "shop")
		plan, err := store.ProjectPlan(t.Context(), project)
		if err != nil || plan.Plan.Name != "Free" {
			t.Errorf("%+v %v", plan, err)
		}
	})
}

func TestPlanLimitsAreChecked(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		for _, n := range []int64{0, -1, 1_000_000_001} {
			for _, name := range models.NumberLimits {
				var limits models.PlanLimits
				limits.SetNumber(name, &n)
				_, err := store.UpdatePlan(t.Context(), user.Actor(""), 1, limits)
				if fieldsOf(t, err)[string(name)] == "" {
					t.Errorf("%s %d: %v", name, n, err)
				}
				overrides := models.Overrides{name: &n}
				_, err = store.ChangeProjectPlan(t.Context(), user.Actor(""), project.ID, 1, overrides)
				if fieldsOf(t, err)[string(name)] == "" {
					t.Errorf("override %s %d: %v", name, n, err)
				}
			}
		}
		_, err := store.ChangeProjectPlan(t.Context(), user.Actor(""), project.ID, 6, nil)
		if fieldsOf(t, err)["plan"] == "" {
			t.Error(err)
		}
		for _, bad := range []models.Overrides{
			{"speed": ptr(int64(1))}, {models.LimitRotation: nil}, {models.LimitRotation: ptr(int64(2))},
		} {
			_, err := store.ChangeProjectPlan(t.Context(), user.Actor(""), project.ID, 1, bad)
			if len(fieldsOf(t, err)) != 1 {
				t.Errorf("%v: %v", bad, err)
			}
		}
	})
}

func TestAProjectIsRenamedAndGetsAnotherSlugAndPrefix(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		ctx := t.Context()
		user := signUp(t, store, "ada@example.com")
		project, _, old := newProject(t, store, user, "shop")
		newProject(t, store, user, "other")
		changed, err := store.UpdateProject(
			ctx, project.ID, user.Actor(""), models.ProjectInput{Name: " Acme ", KeyPrefix: "acme"},
		)
		if err != nil || changed.Name != "Acme" || changed.KeyPrefix != "acme" || changed.Slug != "shop" {
			t.Fatalf("%+v %v", changed, err)
		}
		_, secret := newKey(t, store, project, keyInput("one"))
		if secret.Prefix != "acme" {
			t.Errorf("a new key has the prefix %s", secret.Prefix)
		}
		found, err := store.FindKey(ctx, testkit.Pepper(t).Digest(old))
		if err != nil || found == nil || old.Prefix != "clv" {
			t.Errorf("the old secret: %+v %v", found, err)
		}
		_, err = store.UpdateProject(ctx, project.ID, user.Actor(""), models.ProjectInput{Name: "", KeyPrefix: "A"})
		if fields := fieldsOf(t, err); fields["name"] == "" || fields["key_prefix"] == "" {
			t.Error(err)
		}
		for _, slug := range []string{"other", "new", "A", "1a", ""} {
			if _, err := store.ChangeSlug(ctx, project.ID, user.Actor(""), slug); fieldsOf(t, err)["slug"] == "" {
				t.Errorf("%q: %v", slug, err)
			}
		}
		if _, err := store.ChangeSlug(ctx, project.ID, user.Actor(""), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Project(ctx, "shop"); !models.IsNotFound(err) {
			t.Error("the old slug still finds the project")
		}
		if found, err := store.Project(ctx, "acme"); err != nil || found.ID != project.ID {
			t.Errorf("%+v %v", found, err)
		}
	})
}
