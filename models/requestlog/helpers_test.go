package requestlog_test

import (
	"errors"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

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
	user, err := store.SignUp(t.Context(), models.SignupOpen, email, testkit.Password, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	return user
}

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

func requestIDs(t *testing.T, store *models.Store) *requestlog.IDs {
	t.Helper()
	ids, err := store.Log().NewIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func logRow(id requestlog.ID, key *models.Key, code requestlog.Code) requestlog.Row {
	row := requestlog.Row{
		ID: id, ProjectID: key.ProjectID, KeyID: key.ID, Version: 1, Type: string(key.Type),
		Category: "production", Method: "GET", Path: "/orders",
		Status: code.Status(), DurationUs: 42, IP: "192.0.2.7", Code: code,
	}
	if code == requestlog.CodeValid {
		row.Credits = 2
	}
	return row
}

func hasCode(err error, code requestlog.Code) bool {
	var e *models.Error
	return errors.As(err, &e) && e.Code == code
}
