package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// keyStates are the states of product.md, section 2, and an expired, a used and the default key.
var keyStates = []string{"active", "inactive", "revoked", "expired", "used", "default"}

// validateCode is the code of validate for a key in each state.
var validateCode = map[string]string{
	"active": "valid", "inactive": "key_inactive", "revoked": "key_revoked", "expired": "key_expired",
	"used": "valid", "default": "valid",
}

const (
	saysActive   = "The key is active already."
	saysInactive = "The key is inactive already."
	saysRevoked  = "The key is revoked already."
	saysFinal    = "revoking is final."
	saysStays    = "A revoked key stays as it was"
	saysUsed     = "A key that was used cannot be deleted"
	saysDefault  = "The default key cannot be"
)

// outcome of an action: the reason why it is refused, or the code of validate for the secret afterwards, and for the
// new secret if the action created one.
type outcome struct{ refused, code, freshCode string }

// transitions has the outcome of each action in each state. A refused action changes nothing.
var transitions = map[models.KeyAction]map[string]outcome{
	models.ActionActivate: {
		"active": {refused: saysActive}, "inactive": {code: "valid"}, "revoked": {refused: saysFinal},
		"expired": {refused: saysActive}, "used": {refused: saysActive}, "default": {refused: saysActive},
	},
	models.ActionDeactivate: {
		"active": {code: "key_inactive"}, "inactive": {refused: saysInactive}, "revoked": {refused: saysFinal},
		"expired": {code: "key_inactive"}, "used": {code: "key_inactive"}, "default": {refused: saysDefault},
	},
	models.ActionRevoke: {
		"active": {code: "key_revoked"}, "inactive": {code: "key_revoked"}, "revoked": {refused: saysRevoked},
		"expired": {code: "key_revoked"}, "used": {code: "key_revoked"}, "default": {refused: saysDefault},
	},
	models.ActionDelete: {
		"active": {code: "key_invalid"}, "inactive": {code: "key_invalid"}, "revoked": {code: "key_invalid"},
		"expired": {code: "key_invalid"}, "used": {refused: saysUsed}, "default": {refused: saysDefault},
	},
	models.ActionRotate: {
		"active":   {code: "key_revoked", freshCode: "valid"},
		"inactive": {code: "key_revoked", freshCode: "key_inactive"},
		"revoked":  {refused: saysStays},
		"expired":  {code: "key_revoked", freshCode: "key_expired"},
		"used":     {code: "key_revoked", freshCode: "valid"},
		"default":  {code: "key_revoked", freshCode: "valid"},
	},
	models.ActionEdit: {
		"active": {code: "valid"}, "inactive": {code: "key_inactive"}, "revoked": {refused: saysStays},
		"expired": {code: "key_expired"}, "used": {code: "valid"}, "default": {code: "valid"},
	},
}

// performer performs an action on a key. It returns the status, the message, and the new secret if there is one.
type performer func(project *models.Project, key *models.Key, action models.KeyAction) (status int, says, fresh string)

func TestEveryActionOnAKeyInEveryState(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, browser := app.SignUp("ada@example.com")
		shared, _, _ := app.Project(user, "shop")
		for name, do := range map[string]performer{"dashboard": byDashboard(browser), "api": byAPI(t, app)} {
			for action, byState := range transitions {
				if len(byState) != len(keyStates) {
					t.Fatalf("the table has %d states for %s, want %d", len(byState), action, len(keyStates))
				}
				for _, state := range keyStates {
					t.Run(fmt.Sprintf("%s/%s/%s", name, action, state), func(t *testing.T) {
						want := byState[state]
						project, key, secret := shared, (*models.Key)(nil), ""
						if state == "default" {
							project, key, secret = app.Project(user, fmt.Sprintf("%s-%s", name, action))
						} else {
							key, secret = keyInState(t, app, project, state,
								fmt.Sprintf("%s_%s_%s", name, action, state))
						}
						status, says, fresh := do(project, key, action)
						if want.refused != "" {
							if status != 409 || !strings.Contains(says, want.refused) {
								t.Errorf("got %d %s, want 409 with %q", status, says, want.refused)
							}
							want.code = validateCode[state]
						} else if status >= 300 {
							t.Errorf("%d %s", status, says)
						}
						if code := app.Validate(project.Slug, secret).Code(); code != want.code {
							t.Errorf("the next request is %s, want %s", code, want.code)
						}
						if (fresh != "") != (want.freshCode != "") {
							t.Fatalf("the new secret is %q", fresh)
						}
						if fresh != "" {
							if code := app.Validate(project.Slug, fresh).Code(); code != want.freshCode {
								t.Errorf("the new secret is %s, want %s", code, want.freshCode)
							}
						}
						if action == models.ActionEdit {
							edited, err := app.Store.Key(t.Context(), project.ID, key.ID)
							if err != nil || (edited.Description == "edited") == (want.refused != "") {
								t.Errorf("%q %v", edited.Description, err)
							}
						}
					})
				}
			}
		}
	})
}

// keyInState creates a key in the state. It is unused, except in the state "used".
func keyInState(t *testing.T, app *testkit.App, project *models.Project, state, name string) (*models.Key, string) {
	t.Helper()
	in := models.KeyInput{Name: name}
	if state == "expired" {
		soon := app.Clock.Now().Add(time.Minute)
		in.ExpiresAt = &soon
	}
	key, secret := app.Key(project, in)
	switch state {
	case "inactive", "revoked":
		action := map[string]models.KeyAction{
			"inactive": models.ActionDeactivate,
			"revoked":  models.ActionRevoke,
		}[state]
		if _, err := app.Store.ChangeKeyState(t.Context(), project.ID, key.ID, tester, action); err != nil {
			t.Fatal(err)
		}
	case "expired":
		app.Clock.Advance(time.Hour)
	case "used":
		app.Validate(project.Slug, secret)
		app.Flush()
	}
	return key, secret
}

func byDashboard(b *testkit.Browser) performer {
	return func(project *models.Project, key *models.Key, action models.KeyAction) (int, string, string) {
		path, form := testkit.KeyPath(project, key)+"/"+string(action), url.Values{}
		switch action {
		case models.ActionRevoke:
			form.Set("confirm", key.Name)
		case models.ActionRotate:
			form.Set("version", "1")
			form.Set("grace", "now")
		case models.ActionEdit:
			path = testkit.KeyPath(project, key)
			form = url.Values{
				"name":        {key.Name},
				"category":    {"production"},
				"description": {"edited"},
				"time_zone":   {"UTC"},
			}
			if key.ExpiresAt != nil {
				form.Set("expires_at", key.ExpiresAt.UTC().Format("2006-01-02T15:04"))
			}
		}
		page := b.Post(path, form)
		return page.Status, page.Text(), secretPattern.FindString(page.Find("#secret-value").Text())
	}
}

func byAPI(t *testing.T, app *testkit.App) performer {
	clients := map[int64]testkit.Client{}
	return func(project *models.Project, key *models.Key, action models.KeyAction) (int, string, string) {
		api, known := clients[project.ID]
		if !known {
			api = app.Client(project)
			clients[project.ID] = api
		}
		path := fmt.Sprintf("/keys/%d", key.ID)
		var reply testkit.Reply
		switch action {
		case models.ActionDelete:
			reply = api.Ask("DELETE", path, "")
		case models.ActionEdit:
			reply = api.Ask("PATCH", path, `{"description":"edited"}`)
		default:
			reply = api.Ask("POST", path+"/"+string(action), "")
		}
		fresh, _ := reply.Body["secret"].(string)
		return reply.Status, fmt.Sprint(reply.Body["error"]), fresh
	}
}
