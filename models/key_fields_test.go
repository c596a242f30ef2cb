package models_test

import (
	"reflect"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// A new field that is forgotten in one of the statements would be lost, or be cleared by the next edit.
func TestEveryFieldOfAKeyIsStoredAndKept(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		inputs := testkit.FullKeyInputs(t, clock)
		for i, in := range inputs {
			key, _ := newKey(t, store, project, in)
			if got := testkit.KeyInput(t, store, key); !reflect.DeepEqual(got, in) {
				t.Errorf("created with %+v\nread         %+v", in, got)
			}
			next := inputs[1-i]
			next.Name = in.Name + "_2"
			_, err := store.EditKey(t.Context(), project.ID, key.ID, tester,
				func(*models.Key, models.KeyInput) (models.KeyInput, error) { return next, nil })
			if err != nil {
				t.Fatal(err)
			}
			if got := testkit.KeyInput(t, store, key); !reflect.DeepEqual(got, next) {
				t.Errorf("edited to %+v\nread      %+v", next, got)
			}
		}
	})
}
