package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

func (a *API) listKeys(c echo.Context) error {
	q := newQuery(c)
	filter := models.KeyFilter{
		Search:   strings.TrimSpace(q.text("q")),
		Type:     models.KeyType(q.choice("type", string(models.TypeProduction), string(models.TypeTest))),
		Category: q.text("category"),
		Status: models.KeyStatus(q.choice("status", string(models.StatusActive), string(models.StatusInactive),
			string(models.StatusExpired), string(models.StatusRevoked))),
		Limit: q.limit(),
	}
	q.cursor(func(text string) bool {
		var err error
		filter.Before, err = strconv.ParseInt(text, 10, 64)
		return err == nil && filter.Before > 0
	})
	if err := q.err(); err != nil {
		return err
	}
	found, err := a.Store.Keys(c.Request().Context(), callerOf(c).project.ID, filter)
	if err != nil {
		return err
	}
	page := page[keyObject]{Data: make([]keyObject, len(found.Keys))}
	for i := range found.Keys {
		page.Data[i] = a.keyObject(&found.Keys[i])
	}
	if found.Next > 0 {
		next := strconv.FormatInt(found.Next, 10)
		page.NextCursor = &next
	}
	return c.JSON(http.StatusOK, page)
}

func (a *API) showKey(c echo.Context) error {
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	return a.answerKey(c, id)
}

// answerKey answers with a key.
func (a *API) answerKey(c echo.Context, id int64) error {
	key, err := a.Store.Key(c.Request().Context(), callerOf(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.keyObject(key))
}

// createKey answers with the key and its secret. No other response has the secret.
func (a *API) createKey(c echo.Context) error {
	ctx, project := c.Request().Context(), callerOf(c).project
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	in, err := readKeyInput(body, nil, models.KeyInput{Category: models.BuiltInCategories[0]}, a.Now())
	if err != nil {
		return withJSONNames(err)
	}
	actor, err := idempotentActor(c, body)
	if err != nil {
		return err
	}
	key, secret, err := a.Store.CreateKey(ctx, project.ID, actor, in)
	if err != nil {
		return a.replayKey(c, http.StatusCreated, err)
	}
	view := models.KeyView{Key: *key, Category: strings.TrimSpace(in.Category), Creator: actor.Name}
	return a.answerSecret(c, http.StatusCreated, &view, secret)
}

// answerSecret answers with a key and the secret that was just created for it.
func (a *API) answerSecret(c echo.Context, status int, key *models.KeyView, secret models.Secret) error {
	key.Prefix, key.Last4 = secret.Prefix, secret.Last4()
	plain := secret.Plain()
	return a.answerIssued(c, status, issuedKey{a.keyObject(key), &plain, false})
}

func (a *API) answerIssued(c echo.Context, status int, issued issuedKey) error {
	if status == http.StatusCreated {
		list := strings.TrimSuffix(c.Request().URL.Path, "/")
		c.Response().Header().Set(echo.HeaderLocation, list+"/"+strconv.FormatInt(issued.ID, 10))
	}
	return c.JSON(status, issued)
}

// replayKey answers a request that was made before with the same Idempotency-Key. The reply is the key as it is now,
// without its secret, which is not stored. It returns other errors with the JSON names of their fields.
func (a *API) replayKey(c echo.Context, status int, err error) error {
	var applied models.AlreadyApplied
	if !errors.As(err, &applied) {
		return withJSONNames(err)
	}
	key, err := a.Store.Key(c.Request().Context(), callerOf(c).project.ID, applied.ObjectID)
	if err != nil {
		return deletedSince(err)
	}
	c.Response().Header().Set(headerReplayed, "true")
	return a.answerIssued(c, status, issuedKey{a.keyObject(key), nil, true})
}

func (a *API) updateKey(c echo.Context) error {
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	edit := func(key *models.Key, current models.KeyInput) (models.KeyInput, error) {
		return readKeyInput(body, key, current, a.Now())
	}
	_, err = a.Store.EditKey(c.Request().Context(), callerOf(c).project.ID, id, actorOf(c), edit)
	if err != nil {
		return withJSONNames(err)
	}
	return a.answerKey(c, id)
}

// changeKeyState activates, deactivates or revokes a key.
func (a *API) changeKeyState(action models.KeyAction) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := web.KeyID(c)
		if err != nil {
			return err
		}
		if err := readBody(c, &struct{}{}); err != nil {
			return err
		}
		ctx, project := c.Request().Context(), callerOf(c).project
		if _, err := a.Store.ChangeKeyState(ctx, project.ID, id, actorOf(c), action); err != nil {
			return err
		}
		return a.answerKey(c, id)
	}
}

func (a *API) deleteKey(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	// A request that was just answered may not be in the log yet, and the key would seem never used.
	if err := a.Gate.Flush(ctx); err != nil {
		return err
	}
	if _, err := a.Store.DeleteKey(ctx, callerOf(c).project.ID, id, actorOf(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
