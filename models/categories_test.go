package models_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// labels are the categories of a project with their counts.
func labels(t *testing.T, store *models.Store, projectID int64) map[string]models.CategoryUse {
	t.Helper()
	list, err := store.CategoryUses(t.Context(), projectID)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]models.CategoryUse{}
	for _, c := range list {
		byName[c.Name] = c
	}
	return byName
}

func keyWith(name, category string) models.KeyInput {
	in := keyInput(name)
	in.Category = category
	return in
}

func TestALabelIsUniqueInItsProject(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		partner, err := store.CreateCategory(t.Context(), project.ID, tester, "  partner ")
		if err != nil || partner.Name != "partner" || partner.BuiltIn {
			t.Fatalf("%+v %v", partner, err)
		}
		for _, name := range []string{"", "  ", "partner", "production", "a\x00b", "a\nb", strings.Repeat("ä", 41)} {
			_, err := store.CreateCategory(t.Context(), project.ID, tester, name)
			if err == nil || fieldsOf(t, err)["name"] == "" {
				t.Errorf("%q: %v", name, err)
			}
			if name == "partner" {
				continue // its own
			}
			_, err = store.RenameCategory(t.Context(), project.ID, partner.ID, tester, name)
			if err == nil || fieldsOf(t, err)["name"] == "" {
				t.Errorf("renamed to %q: %v", name, err)
			}
		}
		if _, err := store.CreateCategory(t.Context(), other.ID, tester, "partner"); err != nil {
			t.Errorf("labels are the project's own: %v", err)
		}
		if _, err := store.CreateCategory(t.Context(), project.ID, tester, strings.Repeat("ä", 40)); err != nil {
			t.Error(err)
		}
	})
}

func TestABuiltInCategoryStaysAsItIs(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		all := labels(t, store, project.ID)
		for _, name := range models.BuiltInCategories {
			id := all[name].ID
			_, rename := store.RenameCategory(t.Context(), project.ID, id, tester, "mine")
			_, _, merge := store.MergeCategory(t.Context(), project.ID, id, all["staging"].ID, tester)
			_, remove := store.DeleteCategory(t.Context(), project.ID, id, tester)
			for _, err := range []error{rename, merge, remove} {
				if !hasCode(err, models.CodeConflict) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if after := labels(t, store, project.ID); len(after) != 3 {
			t.Errorf("%v", after)
		}
	})
}

func TestMergingMovesTheKeysAndDeletesTheLabel(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		one, _ := newKey(t, store, project, keyWith("one", "partner"))
		two, _ := newKey(t, store, project, keyWith("two", "partner"))
		newKey(t, store, other, keyWith("one", "partner"))
		if _, err := store.ChangeKeyState(t.Context(), project.ID, two.ID, tester, models.ActionRevoke); err != nil {
			t.Fatal(err)
		}
		all, foreign := labels(t, store, project.ID), labels(t, store, other.ID)["partner"]
		partner := all["partner"]
		if partner.KeyCount != 2 || all["production"].KeyCount != 1 || all["staging"].KeyCount != 0 {
			t.Errorf("counts %+v", all)
		}
		_, err := store.DeleteCategory(t.Context(), project.ID, partner.ID, tester)
		if !hasCode(err, models.CodeConflict) {
			t.Errorf("a label that keys have was deleted: %v", err)
		}
		for _, into := range []int64{partner.ID, foreign.ID, 0, 999} {
			_, _, err := store.MergeCategory(t.Context(), project.ID, partner.ID, into, tester)
			if err == nil || fieldsOf(t, err)["into"] == "" {
				t.Errorf("merged into %d: %v", into, err)
			}
		}
		into, moved, err := store.MergeCategory(t.Context(), project.ID, partner.ID, all["staging"].ID, tester)
		if err != nil || into.Name != "staging" || moved != 2 {
			t.Fatalf("%+v %d %v", into, moved, err)
		}
		after := labels(t, store, project.ID)
		if _, there := after["partner"]; there || after["staging"].KeyCount != 2 {
			t.Errorf("%+v", after)
		}
		for _, id := range []int64{one.ID, two.ID} {
			if key, err := store.Key(t.Context(), project.ID, id); err != nil || key.Category != "staging" {
				t.Errorf("%+v %v", key, err)
			}
		}
		if labels(t, store, other.ID)["partner"].KeyCount != 1 {
			t.Error("another project's keys moved")
		}
	})
}

func TestALabelIsOutOfReachFromAnotherProject(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		partner, err := store.CreateCategory(t.Context(), project.ID, tester, "partner")
		if err != nil {
			t.Fatal(err)
		}
		_, read := store.Category(t.Context(), other.ID, partner.ID)
		_, rename := store.RenameCategory(t.Context(), other.ID, partner.ID, tester, "x")
		_, _, merge := store.MergeCategory(t.Context(), other.ID, partner.ID, 1, tester)
		_, remove := store.DeleteCategory(t.Context(), other.ID, partner.ID, tester)
		for i, err := range []error{read, rename, merge, remove} {
			if !models.IsNotFound(err) {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

func TestEachChangeOfALabelIsInTheAuditLog(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		ctx, id := t.Context(), project.ID
		partner, err := store.CreateCategory(ctx, id, tester, "partner")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.RenameCategory(ctx, id, partner.ID, tester, "partners"); err != nil {
			t.Fatal(err)
		}
		_, err = store.RenameCategory(ctx, id, partner.ID, tester, "partners")
		if err != nil { // which changes nothing
			t.Fatal(err)
		}
		_, _, err = store.MergeCategory(ctx, id, partner.ID, labels(t, store, id)["staging"].ID, tester)
		if err != nil {
			t.Fatal(err)
		}
		again, err := store.CreateCategory(ctx, id, tester, "partner")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.DeleteCategory(ctx, id, again.ID, tester); err != nil {
			t.Fatal(err)
		}
		rows, _, err := store.AuditRows(ctx, id, models.AuditFilter{Action: "category", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, row.Action+" "+row.ObjectName+" "+row.Before+row.After)
		}
		want := []string{
			`category.delete partner {"name":"partner"}{}`,
			`category.create partner {}{"name":"partner"}`,
			`category.merge partners {"name":"partners"}{"keys_moved":0,"merged_into":"staging"}`,
			`category.rename partners {"name":"partner"}{"name":"partners"}`,
			`category.create partner {}{"name":"partner"}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
		if _, err := store.VerifyAudit(ctx, nil); err != nil {
			t.Error(err)
		}
	})
}

// Keys come under a label while it is merged: none may be left without one, and no attempt may fail for another reason.
func TestALabelIsMergedWhileKeysAreMadeUnderIt(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		newKey(t, store, project, keyWith("first", "partner"))
		all := labels(t, store, project.ID)
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				_, _, err := store.CreateKey(
					t.Context(), project.ID, tester, keyWith("key_"+string(rune('a'+i)), "partner"),
				)
				if err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				_, _, err := store.MergeCategory(t.Context(), project.ID, all["partner"].ID, all["staging"].ID, tester)
				if err != nil && !models.IsNotFound(err) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		after := labels(t, store, project.ID)
		if n := after["partner"].KeyCount + after["staging"].KeyCount; n != 11 {
			t.Errorf("%d keys of 11: %+v", n, after)
		}
	})
}
