package models_test

import (
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func newProject(
	t *testing.T, store *models.Store, user *models.User, slug string,
) (*models.Project, *models.Key, models.Secret) {
	t.Helper()
	project, key, secret, err := store.CreateProject(
		t.Context(), user.Actor("192.0.2.1"), models.ProjectInput{Name: slug, Slug: slug},
	)
	if err != nil {
		t.Fatal(err)
	}
	return project, key, secret
}

func keyInput(name string) models.KeyInput {
	return models.KeyInput{Name: name, Type: models.TypeProduction, Category: "production"}
}

func newKey(
	t *testing.T, store *models.Store, project *models.Project, in models.KeyInput,
) (*models.Key, models.Secret) {
	t.Helper()
	key, secret, err := store.CreateKey(t.Context(), project.ID, testkit.Actor(*project.CreatedBy), in)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func TestANewProjectHasADefaultKeyAndTheBuiltInCategories(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, key, secret, err := store.CreateProject(
			t.Context(), user.Actor("192.0.2.1"), models.ProjectInput{Name: "Acme Inc.", KeyPrefix: "acme"},
		)
		if err != nil {
			t.Fatal(err)
		}
		if project.Slug != "acme-inc" {
			t.Errorf("slug %q", project.Slug)
		}
		if want := regexp.MustCompile(fmt.Sprintf(`^%d_default_\d{6}$`, project.ID)); !want.MatchString(key.Name) {
			t.Errorf("the default key is called %q", key.Name)
		}
		if !key.IsDefault ||
			key.State != models.StateActive ||
			key.Type != models.TypeProduction ||
			secret.Prefix != "acme" {
			t.Errorf("%+v with %s", key, secret)
		}
		found, err := store.FindKey(t.Context(), testkit.Pepper(t).Digest(secret))
		if err != nil ||
			found == nil ||
			found.KeyID != key.ID ||
			found.ProjectID != project.ID ||
			found.Category != "production" {
			t.Errorf("%+v %v", found, err)
		}
		categories, err := store.Categories(t.Context(), project.ID)
		var names []string
		for _, c := range categories {
			names = append(names, c.Name)
		}
		if err != nil || !slices.Equal(names, models.BuiltInCategories) {
			t.Errorf("%v %v", names, err)
		}
		for _, action := range []models.KeyAction{models.ActionDeactivate, models.ActionRevoke} {
			_, err := store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, action)
			if !hasCode(err, models.CodeConflict) {
				t.Errorf("%s the default key: %v", action, err)
			}
		}
		if _, err := store.DeleteKey(t.Context(), project.ID, key.ID, tester); !hasCode(err, models.CodeConflict) {
			t.Errorf("delete the default key: %v", err)
		}
	})
}

func TestASlugBelongsToOneProject(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		newProject(t, store, user, "shop")
		_, _, _, err := store.CreateProject(t.Context(), user.Actor("192.0.2.1"), models.ProjectInput{Name: "Shop"})
		if fieldsOf(t, err)["slug"] == "" {
			t.Errorf("%v", err)
		}
		if list, err := store.Projects(t.Context(), user.ID); err != nil || len(list) != 1 {
			t.Errorf("the refused project left something behind: %v %v", list, err)
		}
	})
}

func TestAKeyNameIsNeverUsedTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		key, _ := newKey(t, store, project, keyInput("one"))
		taken := func(name string) bool {
			t.Helper()
			_, _, err := store.CreateKey(t.Context(), project.ID, user.Actor("192.0.2.1"), keyInput(name))
			return err != nil && fieldsOf(t, err)["name"] != ""
		}
		if !taken("one") {
			t.Error("two keys have one name")
		}
		if _, err := store.UpdateKey(t.Context(), project.ID, key.ID, tester, keyInput("two")); err != nil {
			t.Fatal(err)
		}
		if !taken("one") {
			t.Error("a former name was given to another key")
		}
		if _, err := store.UpdateKey(t.Context(), project.ID, key.ID, tester, keyInput("one")); err != nil {
			t.Errorf("a key cannot have its own former name back: %v", err)
		}
		if _, err := store.DeleteKey(t.Context(), project.ID, key.ID, tester); err != nil {
			t.Fatal(err)
		}
		if !taken("one") || !taken("two") {
			t.Error("a name of a deleted key was given to another")
		}
		newKey(t, store, other, keyInput("one")) // names are the project's own
	})
}

func TestOfManyKeysOfOneNameAtOnceOneIsMade(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		var mu sync.Mutex
		made := 0
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				in := keyInput("same")
				in.Category = "new label" // which they make at the same moment, too
				_, _, err := store.CreateKey(t.Context(), project.ID, user.Actor("192.0.2.1"), in)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !hasCode(err, models.CodeInvalid) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made != 1 {
			t.Errorf("%d keys were made", made)
		}
		if categories, err := store.Categories(t.Context(), project.ID); err != nil || len(categories) != 4 {
			t.Errorf("%v %v", categories, err)
		}
	})
}

func TestEditingAKeyKeepsItsSecretTypeAndHistory(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		key, secret := newKey(
			t, store, project, models.KeyInput{Name: "one", Type: models.TypeTest, Category: "staging"},
		)
		expires := clock.Now().Add(time.Hour)
		clock.Advance(time.Minute)
		in := models.KeyInput{
			Name:         "renamed",
			Type:         models.TypeProduction,
			Description:  "for Acme",
			Category:     "partner-acme",
			ExpiresAt:    &expires,
			SelfRotation: true,
		}
		if _, err := store.UpdateKey(t.Context(), project.ID, key.ID, tester, in); err != nil {
			t.Fatal(err)
		}
		got, err := store.Key(t.Context(), project.ID, key.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != "renamed" ||
			got.Type != models.TypeTest ||
			got.Description != "for Acme" ||
			got.Category != "partner-acme" ||
			!got.SelfRotation ||
			got.ExpiresAt == nil ||
			!got.ExpiresAt.Equal(expires) ||
			!got.CreatedAt.Equal(key.CreatedAt) ||
			!got.UpdatedAt.Equal(clock.Now()) ||
			got.Last4 != secret.Last4() ||
			got.Creator != "ada@example.com" {
			t.Errorf("%+v", got)
		}
		found, err := store.FindKey(t.Context(), testkit.Pepper(t).Digest(secret))
		if err != nil || found.Name != "renamed" || !found.ExpiresAt.Equal(expires) {
			t.Errorf("%+v %v", found, err)
		}
		in.ExpiresAt, in.SelfRotation = nil, false
		if _, err := store.UpdateKey(t.Context(), project.ID, key.ID, tester, in); err != nil {
			t.Fatal(err)
		}
		if got, err = store.Key(t.Context(), project.ID, key.ID); err != nil ||
			got.ExpiresAt != nil ||
			got.SelfRotation {
			t.Errorf("the expiry cannot be taken away: %+v %v", got, err)
		}
	})
}

func TestEveryQueryOfKeysIsHeldToItsProject(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		ada, bob := signUp(t, store, "ada@example.com"), signUp(t, store, "bob@example.com")
		hers, _, _ := newProject(t, store, ada, "hers")
		his, _, _ := newProject(t, store, bob, "his")
		key, _ := newKey(t, store, hers, keyInput("one"))

		_, readErr := store.Key(t.Context(), his.ID, key.ID)
		_, updateErr := store.UpdateKey(t.Context(), his.ID, key.ID, tester, keyInput("two"))
		_, stateErr := store.ChangeKeyState(t.Context(), his.ID, key.ID, tester, models.ActionRevoke)
		_, deleteErr := store.DeleteKey(t.Context(), his.ID, key.ID, tester)
		_, nameErr := store.KeyIDByName(t.Context(), his.ID, "one")
		for _, err := range []error{readErr, updateErr, stateErr, deleteErr, nameErr} {
			if !models.IsNotFound(err) {
				t.Errorf("want not found, got %v", err)
			}
		}
		page, err := store.Keys(t.Context(), his.ID, models.KeyFilter{Limit: 10})
		if err != nil || len(page.Keys) != 1 || !page.Keys[0].IsDefault {
			t.Errorf("%+v %v", page, err)
		}
		for _, ref := range []string{"hers", fmt.Sprint(hers.ID)} {
			if _, err := store.Membership(t.Context(), bob.ID, ref); !models.IsNotFound(err) {
				t.Errorf("bob found %s: %v", ref, err)
			}
			m, err := store.Membership(t.Context(), ada.ID, ref)
			if err != nil || m.Role != models.RoleOwner || m.ID != hers.ID {
				t.Errorf("ada did not find %s: %+v %v", ref, m, err)
			}
		}
	})
}

func TestTheListOfKeysIsFilteredAndPaged(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, defaultKey, _ := newProject(t, store, user, "shop")
		soon := clock.Now().Add(time.Minute)
		newKey(
			t, store, project,
			models.KeyInput{
				Name:        "server_prod",
				Type:        models.TypeProduction,
				Category:    "production",
				Description: "100% Checkout",
			},
		)
		newKey(t, store, project, models.KeyInput{Name: "server_test", Type: models.TypeTest, Category: "staging"})
		inactive, _ := newKey(t, store, project, keyInput("switched_off"))
		newKey(
			t, store, project,
			models.KeyInput{Name: "ended", Type: models.TypeProduction, Category: "partner", ExpiresAt: &soon},
		)
		revoked, secret := newKey(t, store, project, keyInput("gone"))
		for id, action := range map[int64]models.KeyAction{
			inactive.ID: models.ActionDeactivate,
			revoked.ID:  models.ActionRevoke,
		} {
			if _, err := store.ChangeKeyState(t.Context(), project.ID, id, tester, action); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(time.Hour)
		d := defaultKey.Name
		for _, c := range []struct {
			name   string
			filter models.KeyFilter
			want   []string
		}{
			{
				"all, newest first",
				models.KeyFilter{},
				[]string{"gone", "ended", "switched_off", "server_test", "server_prod", d},
			},
			{"name", models.KeyFilter{Search: "SERVER_"}, []string{"server_test", "server_prod"}},
			{"an underscore is no wildcard", models.KeyFilter{Search: "r_t"}, []string{"server_test"}},
			{"a percent sign is no wildcard", models.KeyFilter{Search: "0% ch"}, []string{"server_prod"}},
			{"last four", models.KeyFilter{Search: secret.Last4()}, []string{"gone"}},
			{"nothing", models.KeyFilter{Search: "zzzzzz"}, nil},
			{"type", models.KeyFilter{Type: models.TypeTest}, []string{"server_test"}},
			{"category", models.KeyFilter{Category: "partner"}, []string{"ended"}},
			{"active", models.KeyFilter{Status: models.StatusActive}, []string{"server_test", "server_prod", d}},
			{"inactive", models.KeyFilter{Status: models.StatusInactive}, []string{"switched_off"}},
			{"expired", models.KeyFilter{Status: models.StatusExpired}, []string{"ended"}},
			{"revoked", models.KeyFilter{Status: models.StatusRevoked}, []string{"gone"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, limit := range []int{1, 2, 6, 50} {
					var got []string
					f := c.filter
					f.Limit = limit
					for {
						page, err := store.Keys(t.Context(), project.ID, f)
						if err != nil {
							t.Fatal(err)
						}
						for _, k := range page.Keys {
							got = append(got, k.Name)
							if f.Status != "" && k.Key.Status(clock.Now()) != f.Status {
								t.Errorf("the filter %s gave a key that is %s", f.Status, k.Key.Status(clock.Now()))
							}
						}
						if f.Before = page.Next; page.Next == 0 {
							break
						}
					}
					if !slices.Equal(got, c.want) {
						t.Errorf("pages of %d: %v, want %v", limit, got, c.want)
					}
				}
			})
		}
		if n, err := store.CountActiveKeys(t.Context(), project.ID); err != nil || n != 3 {
			t.Errorf("%d active, %v", n, err)
		}
	})
}

func TestARevokedKeyStaysAsItWas(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		key, _ := newKey(t, store, project, keyInput("one"))
		if _, err := store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, models.ActionRevoke); err != nil {
			t.Fatal(err)
		}
		for _, action := range []models.KeyAction{models.ActionActivate, models.ActionDeactivate, models.ActionRevoke} {
			_, err := store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, action)
			if !hasCode(err, models.CodeConflict) {
				t.Errorf("%s: %v", action, err)
			}
		}
		_, err := store.UpdateKey(t.Context(), project.ID, key.ID, tester, keyInput("two"))
		if !hasCode(err, models.CodeConflict) {
			t.Errorf("edit: %v", err)
		}
	})
}

func TestAProjectHasABoundedNumberOfCategories(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		for i := range 197 {
			in := keyInput(fmt.Sprintf("key_%d", i))
			in.Category = fmt.Sprintf("label %d", i)
			newKey(t, store, project, in)
		}
		in := keyInput("one_more")
		in.Category = "label 200"
		_, _, err := store.CreateKey(t.Context(), project.ID, user.Actor("192.0.2.1"), in)
		if fieldsOf(t, err)["category"] == "" {
			t.Errorf("%v", err)
		}
		in.Category = "label 7"
		newKey(t, store, project, in) // labels that are there can still be used
	})
}
