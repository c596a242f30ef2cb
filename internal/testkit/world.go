package testkit

import (
	"fmt"
	"strings"

	"github.com/claviger/claviger/models"
)

// World is a project with one of everything that a route can name.
type World struct {
	Project *models.Project
	Key     *models.Key
	Request string
	Session int64
	label   *models.Category
	token   *models.ServiceToken
	block   *models.AddressBlock
}

// World makes the project shop with one of everything, and gives its owner's browser.
func (a *App) World() (*World, *Browser) {
	a.T.Helper()
	ctx := a.T.Context()
	must := func(err error) {
		a.T.Helper()
		if err != nil {
			a.T.Fatal(err)
		}
	}
	user, browser := a.SignUp("ada@example.com")
	w := &World{}
	w.Project, _, _ = a.Project(user, "shop")
	var secret string
	w.Key, secret = a.Key(w.Project, models.KeyInput{Name: "one"})
	w.Request = fmt.Sprint(a.Validate("shop", secret).Body["request_id"])
	a.Flush()
	sessions, err := a.Store.UserSessions(ctx, user.ID)
	must(err)
	w.Session = sessions[0].ID
	w.label, err = a.Store.CreateCategory(ctx, w.Project.ID, Actor(1), "partner")
	must(err)
	w.token, _, err = a.Store.CreateServiceToken(ctx, w.Project.ID, Actor(1), "gateway", models.AllScopes)
	must(err)
	w.block, err = a.Store.BlockAddress(ctx, models.AddressBlock{
		ProjectID: w.Project.ID, Address: "203.0.113.7", Strikes: 1, BlockedAt: a.Clock.Now(),
	})
	must(err)
	a.Flush() // the gate reads the block: no page's statement
	return w, browser
}

// Path fills in what the path of a route leaves open. project is a slug or a number; seq is a row of the audit log.
func (w *World) Path(path, project, seq string) string {
	return strings.NewReplacer(
		":project", project, ":key", fmt.Sprint(w.Key.ID), ":request", w.Request, ":session", fmt.Sprint(w.Session),
		":category", fmt.Sprint(w.label.ID), ":token", fmt.Sprint(w.token.ID), ":version", "1",
		":block", fmt.Sprint(w.block.ID), ":seq", seq, ":plan", "2",
	).Replace(path)
}
