package api_test

import (
	"log/slog"
	"testing"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// process returns the gate of a second process on the same database, and a function that checks a key with it.
func process(t *testing.T, app *testkit.App) (*gate.Gate, func(key string) requestlog.Code) {
	t.Helper()
	g, err := gate.New(app.Store, app.Store.Log(), testkit.Pepper(t),
		gate.Options{Now: app.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(t.Context()) })
	project, err := g.Project(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return g, func(key string) requestlog.Code {
		v, err := g.Check(t.Context(), &gate.Request{ID: app.Handlers.IDs.Next(), Started: app.Clock.Now(),
			Project: project, Key: key, Peer: gate.Origin{IP: "127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		return v.Code
	}
}

func TestABlockSurvivesARestartAndIsKnownToOtherProcesses(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		key := result.Key.Plain()
		running, ask := process(t, app)
		if code := ask(key); code != requestlog.CodeValid {
			t.Fatal(code)
		}
		testkit.Validator{App: app}.AskBad(20)
		app.Flush()
		if err := running.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code := ask(key); code != requestlog.CodeIPBlocked {
			t.Errorf("in the other process: %s", code)
		}
		_, askLater := process(t, app)
		if code := askLater(key); code != requestlog.CodeIPBlocked {
			t.Errorf("after a restart: %s", code)
		}
		page, err := app.Store.AddressBlocks(t.Context(), result.Project.ID, models.AddressBlockFilter{Limit: 10})
		if err != nil || len(page.Blocks) != 1 {
			t.Fatalf("%+v %v", page, err)
		}
		if _, err := app.Store.LiftAddressBlock(t.Context(), result.Project.ID, page.Blocks[0].ID, tester); err != nil {
			t.Fatal(err)
		}
		for name, code := range map[string]requestlog.Code{"one": ask(key), "the other": askLater(key),
			"the first": requestlog.Code(app.Validate("shop", key).Code())} {
			if code != requestlog.CodeValid {
				t.Errorf("after the lift %s says %s", name, code)
			}
		}
		_, askLast := process(t, app)
		if code := askLast(key); code != requestlog.CodeValid {
			t.Errorf("the lift did not survive a restart: %s", code)
		}
		testkit.Validator{App: app}.AskBad(20)
		app.Flush()
		if page, err = app.Store.AddressBlocks(t.Context(), result.Project.ID,
			models.AddressBlockFilter{Limit: 10}); err != nil || page.Blocks[0].Strikes != 2 {
			t.Errorf("the next block: %+v %v", page, err)
		}
	})
}
