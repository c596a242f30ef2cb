package models_test

import (
	"errors"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

const password = "correct horse battery"

var tester = testkit.Actor(1)

// eachStore runs a test with an empty store on each database.
func eachStore(t *testing.T, test func(t *testing.T, store *models.Store, clock *testkit.Clock)) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		clock := testkit.NewClock()
		test(t, testkit.Store(t, url, clock, nil), clock)
	})
}

func signUp(t *testing.T, store *models.Store, email string) *models.User {
	t.Helper()
	user, err := store.SignUp(t.Context(), models.SignupOpen, email, password, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// fieldsOf are the messages by field of an error that a form can show.
func fieldsOf(t *testing.T, err error) map[string]string {
	t.Helper()
	var e *models.Error
	if !errors.As(err, &e) {
		t.Fatalf("want an error with fields, got %v", err)
	}
	return e.Fields
}

func hasCode(err error, code requestlog.Code) bool {
	var e *models.Error
	return errors.As(err, &e) && e.Code == code
}

func TestTheFirstAccountIsTheAdminAndClosesSignUp(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		first, err := store.SignUp(t.Context(), models.SignupDefault, "First@Example.com", password, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		if !first.IsAdmin || first.Email != "first@example.com" {
			t.Errorf("the first account is %+v", first)
		}
		_, err = store.SignUp(t.Context(), models.SignupDefault, "second@example.com", password, "192.0.2.1")
		if !hasCode(err, models.CodeForbidden) {
			t.Errorf("a second stranger was let in: %v", err)
		}
		if second := signUp(t, store, "second@example.com"); second.IsAdmin {
			t.Error("the second account is an admin as well")
		}
		_, err = store.SignUp(t.Context(), models.SignupOpen, "FIRST@example.com", password, "192.0.2.1")
		if fieldsOf(t, err)["email"] == "" {
			t.Errorf("one address got two accounts: %v", err)
		}
	})
}

func TestOfManyFirstSignUpsAtOnceOneWins(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		var mu sync.Mutex
		made, refused := 0, 0
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				_, err := store.SignUp(
					t.Context(), models.SignupDefault, "user"+strconv.Itoa(i)+"@example.com", password, "192.0.2.1",
				)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case hasCode(err, models.CodeForbidden):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made != 1 || refused != 7 {
			t.Errorf("%d made, %d refused", made, refused)
		}
	})
}

func TestSignInGivesOneAnswerForUnknownAddressAndWrongPassword(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		signUp(t, store, "ada@example.com")
		if _, err := store.SignIn(t.Context(), " ADA@example.com", password); err != nil {
			t.Fatal(err)
		}
		_, wrong := store.SignIn(t.Context(), "ada@example.com", password+"x")
		_, unknown := store.SignIn(t.Context(), "bob@example.com", password)
		_, empty := store.SignIn(t.Context(), "bob@example.com", "")
		if wrong == nil ||
			unknown == nil ||
			empty == nil ||
			wrong.Error() != unknown.Error() ||
			wrong.Error() != empty.Error() {
			t.Errorf("%v, %v, %v", wrong, unknown, empty)
		}
	})
}

func TestChangingThePasswordEndsEveryOtherSession(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		keep, other := models.HashSession([]byte("keep")), models.HashSession([]byte("other"))
		for _, hash := range []models.SessionHash{keep, other} {
			if _, err := store.CreateSession(t.Context(), hash, user.ID, nil, "192.0.2.1", "Firefox"); err != nil {
				t.Fatal(err)
			}
		}
		err := store.ChangePassword(t.Context(), user.Actor("192.0.2.1"), "wrong", "short", keep)
		if fields := fieldsOf(t, err); fields["current_password"] == "" || fields["new_password"] == "" {
			t.Errorf("messages: %v", fields)
		}
		if _, err := store.FindSession(t.Context(), other); err != nil {
			t.Errorf("a change that failed ended a session: %v", err)
		}
		err = store.ChangePassword(t.Context(), user.Actor("192.0.2.1"), password, "another good one", keep)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.FindSession(t.Context(), keep); err != nil {
			t.Error(err)
		}
		if _, err := store.FindSession(t.Context(), other); !models.IsNotFound(err) {
			t.Errorf("the other session goes on: %v", err)
		}
		if _, err := store.SignIn(t.Context(), "ada@example.com", password); err == nil {
			t.Error("the old password still works")
		}
		if _, err := store.SignIn(t.Context(), "ada@example.com", "another good one"); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionsEndWhenIdleAndAfterTheirLifetime(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		hash := models.HashSession([]byte("secret"))
		start := func() {
			if _, err := store.CreateSession(t.Context(), hash, user.ID, nil, "192.0.2.1", "Firefox"); err != nil {
				t.Fatal(err)
			}
		}
		alive := func() bool {
			_, err := store.FindSession(t.Context(), hash)
			if err != nil && !models.IsNotFound(err) {
				t.Fatal(err)
			}
			return err == nil
		}
		start()
		clock.Advance(models.SessionIdle - time.Second)
		if !alive() {
			t.Error("ended before it was idle long enough")
		}
		clock.Advance(models.SessionIdle + time.Second)
		if alive() {
			t.Error("an idle session goes on")
		}
		start() // the ended one with the same hash is gone by now
		for used := time.Duration(0); used < models.SessionLifetime-24*time.Hour; used += 24 * time.Hour {
			clock.Advance(24 * time.Hour)
			if !alive() {
				t.Fatalf("ended after %v although it was used every day", used)
			}
		}
		clock.Advance(24 * time.Hour)
		if alive() {
			t.Error("a session outlived its lifetime")
		}
	})
}

func TestASessionIsOnlyEndedByItsOwnAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		ada, bob := signUp(t, store, "ada@example.com"), signUp(t, store, "bob@example.com")
		session, err := store.CreateSession(
			t.Context(), models.HashSession([]byte("a")), ada.ID, nil, "192.0.2.1", "Firefox",
		)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.EndSession(t.Context(), bob.ID, session.ID); !models.IsNotFound(err) {
			t.Errorf("bob ended ada's session: %v", err)
		}
		if err := store.EndAllSessions(t.Context(), bob.Actor("192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		if list, err := store.UserSessions(t.Context(), ada.ID); err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
	})
}

func TestADatabaseRemembersItsPepper(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		store := testkit.Store(t, url, testkit.NewClock(), nil)
		if _, err := store.Migrate(t.Context()); err != nil { // again, with the same one
			t.Fatal(err)
		}
		other, err := models.NewPepper([]byte("quite another pepper of 32 bytes"))
		if err != nil {
			t.Fatal(err)
		}
		wrong, err := app.ConnectStore(t.Context(), app.StoreOptions{URL: url, Options: models.Options{Pepper: other}})
		if err != nil {
			t.Fatal(err)
		}
		defer wrong.Close()
		if _, err := wrong.Migrate(t.Context()); err == nil {
			t.Error("another pepper was accepted")
		}
	})
}

func TestSetupMakesEverythingOrNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		first, err := store.Setup(t.Context(), "ada@example.com", password, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if !first.UserCreated || !first.User.IsAdmin || first.Project.Slug != "shop" {
			t.Errorf("%+v", first)
		}
		token, err := store.FindServiceToken(t.Context(), testkit.Pepper(t).Digest(first.ServiceToken))
		if err != nil || token == nil || token.ProjectID != first.Project.ID {
			t.Fatalf("%+v %v", token, err)
		}
		for _, scope := range models.AllScopes {
			if !token.Has(scope) {
				t.Errorf("the token lacks %s", scope)
			}
		}
		if _, err := store.Setup(t.Context(), "ada@example.com", "", "shop"); fieldsOf(t, err)["slug"] == "" {
			t.Errorf("the same slug again: %v", err)
		}
		if _, err := store.Setup(t.Context(), "bob@example.com", password, "other"); fieldsOf(t, err)["email"] == "" {
			t.Errorf("an unknown address: %v", err)
		}
		second, err := store.Setup(t.Context(), "ADA@example.com", "", "other")
		if err != nil {
			t.Fatal(err)
		}
		if second.UserCreated || second.User.ID != first.User.ID {
			t.Errorf("%+v", second)
		}
		list, err := store.Projects(t.Context(), first.User.ID)
		if err != nil || len(list) != 2 {
			t.Errorf("%d projects, %v", len(list), err)
		}
	})
}

// A database URL may hold characters that mean something in one.
func TestASQLitePathMayHoldAnyCharacter(t *testing.T) {
	path := t.TempDir() + "/a b?c#d%20" + url.QueryEscape("ä") + ".db"
	store := testkit.Store(t, path, testkit.NewClock(), nil)
	signUp(t, store, "ada@example.com")
	store.Close()
	store = testkit.Store(t, path, testkit.NewClock(), nil)
	if some, err := store.HasUsers(t.Context()); err != nil || !some {
		t.Errorf("%v %v", some, err)
	}
}
