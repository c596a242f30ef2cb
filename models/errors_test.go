package models_test

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// The log line of a 500 must say which call failed.
func TestEveryErrorOfTheStoreSaysWhatWasBeingDone(t *testing.T) {
	store := testkit.Store(t, t.TempDir()+"/claviger.db", testkit.NewClock(), nil)
	store.Close()
	said, doing := 0, regexp.MustCompile(`^[a-z]+( [a-z-]+)+: `)
	for method := range reflect.TypeOf(store).Methods() {
		call := reflect.ValueOf(store).MethodByName(method.Name)
		kind := call.Type()
		if kind.NumIn() == 0 || kind.In(0) != reflect.TypeFor[context.Context]() ||
			kind.NumOut() == 0 || kind.Out(kind.NumOut()-1) != reflect.TypeFor[error]() {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for i := 1; i < kind.NumIn(); i++ {
			args = append(args, plausible(kind.In(i)))
		}
		results := call.Call(args)
		err, _ := results[len(results)-1].Interface().(error)
		switch {
		case err == nil && method.Name == "CountUnknownKeys": // there are none to count
		case err == nil:
			t.Errorf("%s succeeds on a closed database", method.Name)
		case errors.As(err, new(*models.Error)): // the arguments are refused before the database is asked
			t.Logf("%s: %v", method.Name, err)
		case !doing.MatchString(err.Error()):
			t.Errorf("%s: %q does not begin with what was being done", method.Name, err)
		default:
			said++
		}
	}
	if said < 65 {
		t.Errorf("only %d methods came as far as the database", said)
	}
}

// plausible is an argument with which a method asks the database.
func plausible(kind reflect.Type) reflect.Value {
	switch kind {
	case reflect.TypeFor[models.KeyInput]():
		return reflect.ValueOf(keyInput("server"))
	case reflect.TypeFor[models.ProjectInput]():
		return reflect.ValueOf(models.ProjectInput{Name: "Shop", Slug: "shop"})
	case reflect.TypeFor[models.Actor]():
		return reflect.ValueOf(tester)
	case reflect.TypeFor[models.KeyAction]():
		return reflect.ValueOf(models.ActionDeactivate)
	case reflect.TypeFor[[]models.Scope]():
		return reflect.ValueOf(models.AllScopes)
	case reflect.TypeFor[models.SignupMode]():
		return reflect.ValueOf(models.SignupDefault)
	}
	switch kind.Kind() {
	case reflect.String:
		return reflect.ValueOf("shop").Convert(kind)
	case reflect.Int, reflect.Int64:
		return reflect.ValueOf(1).Convert(kind)
	case reflect.Pointer:
		return reflect.New(kind.Elem())
	}
	return reflect.Zero(kind)
}
