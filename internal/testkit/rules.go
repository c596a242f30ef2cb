package testkit

import (
	"testing"

	"github.com/claviger/claviger/models"
)

// EachApp runs a test against the whole service on each database.
func EachApp(t *testing.T, test func(t *testing.T, app *App), options ...Option) {
	EachDatabase(t, func(t *testing.T, url string) { test(t, NewApp(t, url, options...)) })
}

// Setup makes a project with everything a script gets.
func (a *App) Setup(slug string) *models.SetupResult {
	a.T.Helper()
	result, err := a.Store.Setup(a.T.Context(), "ada@example.com", Password, slug)
	if err != nil {
		a.T.Fatal(err)
	}
	return result
}

// ChangeState activates, deactivates or revokes a key.
func (a *App) ChangeState(key *models.Key, action models.KeyAction) {
	a.T.Helper()
	if _, err := a.Store.ChangeKeyState(a.T.Context(), key.ProjectID, key.ID, Actor(1), action); err != nil {
		a.T.Fatal(err)
	}
}

// CategoryID finds a label by its name.
func (a *App) CategoryID(project *models.Project, name string) int64 {
	a.T.Helper()
	list, err := a.Store.Categories(a.T.Context(), project.ID)
	if err != nil {
		a.T.Fatal(err)
	}
	for _, c := range list {
		if c.Name == name {
			return c.ID
		}
	}
	a.T.Fatalf("there is no category %s", name)
	return 0
}
