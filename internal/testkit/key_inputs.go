package testkit

import (
	"reflect"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// FullKeyInputs returns two inputs for keys that together set every field: no single key may have them all.
func FullKeyInputs(t testing.TB, clock *Clock) [2]models.KeyInput {
	t.Helper()
	expires := clock.Now().AddDate(1, 0, 0).Truncate(time.Minute) // as exact as the form
	inputs := [2]models.KeyInput{
		{
			Name: "rotating", Description: "Rotates itself", Type: models.TypeTest, Category: "staging",
			SelfRotation: true,
			ExpiresAt:    &expires,
		},
		{
			Name: "mobile", Description: "Ships in the app", Type: models.TypeTest, Category: "partner",
			Restrictions: models.Restrictions{
				PlatformIOS: true, PlatformAndroid: true, IOSBundleID: "com.example.ios",
				AndroidPackage: "com.example.android",
			},
			Quotas: models.Quotas{Total: new(int64(9000)), Daily: new(int64(10)), Weekly: new(int64(70)),
				Monthly: new(int64(300))},
		},
	}
	requireSet(t, "KeyInput", reflect.ValueOf(inputs[0]), reflect.ValueOf(inputs[1]))
	return inputs
}

// requireSet fails for a field that neither struct sets.
func requireSet(t testing.TB, path string, a, b reflect.Value) {
	t.Helper()
	for i := range a.NumField() {
		field := a.Type().Field(i)
		if field.Anonymous {
			requireSet(t, path+"."+field.Name, a.Field(i), b.Field(i))
		} else if a.Field(i).IsZero() && b.Field(i).IsZero() {
			t.Fatalf("%s.%s is new: set it in FullKeyInputs", path, field.Name)
		}
	}
}

// KeyInput returns what a person chose of a key, as the database has it.
func KeyInput(t testing.TB, store *models.Store, key *models.Key) (input models.KeyInput) {
	t.Helper()
	_, err := store.EditKey(t.Context(), key.ProjectID, key.ID, Actor(1),
		func(_ *models.Key, as models.KeyInput) (models.KeyInput, error) {
			input = as
			return as, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if input.ExpiresAt != nil {
		input.ExpiresAt = new(input.ExpiresAt.UTC())
	}
	return input
}
