package models_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func verdict(t *testing.T, store *models.Store, clock *testkit.Clock, secret models.Secret) requestlog.Code {
	t.Helper()
	key, err := store.FindKey(t.Context(), testkit.Pepper(t).Digest(secret))
	if err != nil || key == nil {
		t.Fatalf("the secret is unknown: %v", err)
	}
	return key.DenialCode(clock.Now(), models.ClientApp{})
}

func TestAfterARotationTheOldSecretLivesForItsGrace(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		for _, grace := range models.Graces {
			t.Run(grace.Name, func(t *testing.T) {
				key, old := newKey(t, store, project, keyInput("key_"+grace.Name))
				rotated, fresh, err := store.RotateKey(t.Context(), project.ID, key.ID, tester, 1, grace.Length)
				if err != nil {
					t.Fatal(err)
				}
				if rotated.Version != 2 || rotated.Name != key.Name || fresh.Plain() == old.Plain() {
					t.Errorf("%+v", rotated)
				}
				if grace.Length > 0 {
					clock.Advance(grace.Length - time.Millisecond)
					if got := verdict(t, store, clock, old); got != requestlog.CodeValid {
						t.Errorf("within its grace the old secret is %s", got)
					}
					clock.Advance(time.Millisecond)
				}
				if got := verdict(t, store, clock, old); got != requestlog.CodeKeyRevoked {
					t.Errorf("after its grace the old secret is %s", got)
				}
				if got := verdict(t, store, clock, fresh); got != requestlog.CodeValid {
					t.Errorf("the new secret is %s", got)
				}
				versions, err := store.Versions(t.Context(), project.ID, key.ID)
				if err != nil ||
					len(versions) != 2 ||
					versions[0].Number != 2 ||
					versions[0].CreatedByName != tester.Name ||
					versions[0].EndsAt != nil ||
					versions[1].Last4 != old.Last4() ||
					versions[1].EndsAt == nil {
					t.Errorf("%+v %v", versions, err)
				}
			})
		}
	})
}

func TestOfTwoRotationsAtOnceOneWins(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		key, _ := newKey(t, store, project, keyInput("one"))
		var mu sync.Mutex
		won, rejected := 0, 0
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				_, _, err := store.RotateKey(t.Context(), project.ID, key.ID, tester, 1, 0)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case hasCode(err, models.CodeConflict):
					rejected++
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won != 1 || rejected != 7 {
			t.Errorf("%d rotations succeeded and %d were conflicts, want 1 and 7", won, rejected)
		}
		if versions, err := store.Versions(t.Context(), project.ID, key.ID); err != nil || len(versions) != 2 {
			t.Errorf("%d versions, %v", len(versions), err)
		}
	})
}

// Compares the verdicts of all secrets with a simple model after random rotations, graces, ends and changes of state.
func TestSecretsAreValidAsTheModelSaysAfterRandomChanges(t *testing.T) {
	type version struct {
		secret models.Secret
		ends   time.Time // zero: open
	}
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		for run := range 6 {
			random := rand.New(rand.NewPCG(uint64(run), 7))
			key, secret := newKey(t, store, project, keyInput(fmt.Sprintf("run_%d", run)))
			versions, state := []version{{secret: secret}}, models.StateActive
			for step := range 40 {
				act := random.IntN(10)
				clock.Advance(time.Duration(random.Int64N(int64(9 * time.Hour))))
				now := clock.Now()
				switch {
				case act < 4:
					grace := models.Graces[random.IntN(len(models.Graces))].Length
					_, fresh, err := store.RotateKey(t.Context(), project.ID, key.ID, tester, 0, grace)
					if (err == nil) != (state != models.StateRevoked) {
						t.Fatalf("rotating a key that is %s: %v", state, err)
					}
					if err == nil {
						versions[len(versions)-1].ends = now.Add(grace)
						versions = append(versions, version{secret: fresh})
					}
				case act < 7:
					n := random.IntN(len(versions))
					in := models.Graces[random.IntN(len(models.Graces))].Length
					_, err := store.EndVersion(t.Context(), project.ID, key.ID, tester, n+1, in)
					retiring := !versions[n].ends.IsZero() && now.Before(versions[n].ends)
					if (err == nil) != (retiring && state != models.StateRevoked) {
						t.Fatalf("moving the end %v of a version at %v, key %s: %v", versions[n].ends, now, state, err)
					}
					if err == nil {
						versions[n].ends = now.Add(in)
					}
				default:
					action, next := models.ActionDeactivate, models.StateInactive
					if state == models.StateInactive {
						action, next = models.ActionActivate, models.StateActive
					}
					if act == 9 && step > 30 {
						action, next = models.ActionRevoke, models.StateRevoked
					}
					_, err := store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, action)
					if (err == nil) != (state != models.StateRevoked) {
						t.Fatalf("%s a key that is %s: %v", action, state, err)
					}
					if err == nil {
						state = next
					}
				}
				for i, v := range versions {
					want := requestlog.CodeValid
					switch {
					case state == models.StateRevoked || !v.ends.IsZero() && !now.Before(v.ends):
						want = requestlog.CodeKeyRevoked
					case state == models.StateInactive:
						want = requestlog.CodeKeyInactive
					}
					if got := verdict(t, store, clock, v.secret); got != want {
						t.Fatalf("run %d step %d: version %d is %s, want %s", run, step, i+1, got, want)
					}
				}
			}
		}
	})
}

func TestANewVersionHasTheProjectsCurrentPrefix(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		app := testkit.NewApp(t, url)
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, old := app.Key(project, models.KeyInput{Name: "one"})
		app.Exec("UPDATE projects SET key_prefix = 'acme' WHERE id = ?", project.ID)
		_, fresh, err := app.Store.RotateKey(t.Context(), project.ID, key.ID, tester, 1, time.Hour)
		if err != nil || fresh.Prefix != "acme" {
			t.Fatalf("%s %v", fresh, err)
		}
		for _, secret := range []string{old, fresh.Plain()} {
			if reply := app.Validate("shop", secret); reply.Status != 200 {
				t.Errorf("%v", reply.Body)
			}
		}
	})
}

func TestAKeyIsDueForRotationAfter90Days(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		key, _ := newKey(t, store, project, keyInput("one"))
		due := func() bool {
			t.Helper()
			k, err := store.Key(t.Context(), project.ID, key.ID)
			if err != nil {
				t.Fatal(err)
			}
			return k.RotationDue(clock.Now())
		}
		clock.Advance(models.RotationAge)
		if due() {
			t.Error("due at 90 days to the moment")
		}
		clock.Advance(time.Second)
		if !due() {
			t.Error("not due after 90 days")
		}
		if _, _, err := store.RotateKey(t.Context(), project.ID, key.ID, tester, 0, 0); err != nil {
			t.Fatal(err)
		}
		if due() {
			t.Error("due right after a rotation")
		}
	})
}

func TestDatabasesEnforceTheRulesWithConstraints(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		app := testkit.NewApp(t, url)
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, _ := app.Key(project, models.KeyInput{Name: "one"})
		for _, change := range []string{
			"quota_daily = 0",
			"quota_total = -1",
			"self_rotation = TRUE, platform_ios = TRUE",
			"state = 'expired'",
			"type = 'live'",
			"version = 0",
			"is_default = TRUE, state = 'inactive'",
		} {
			if err := app.TryExec("UPDATE keys SET "+change+" WHERE id = ?", key.ID); err == nil {
				t.Errorf("the database accepted %s", change)
			}
		}
	})
}
