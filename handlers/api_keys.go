package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

func (h *Handlers) apiKeys(c echo.Context) error {
	q := newAPIQuery(c)
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
	found, err := h.Store.Keys(c.Request().Context(), caller(c).project.ID, filter)
	if err != nil {
		return err
	}
	page := apiPage[keyObject]{Data: make([]keyObject, len(found.Keys))}
	for i := range found.Keys {
		page.Data[i] = h.keyObject(&found.Keys[i])
	}
	if found.Next > 0 {
		next := strconv.FormatInt(found.Next, 10)
		page.NextCursor = &next
	}
	return c.JSON(http.StatusOK, page)
}

func (h *Handlers) apiKey(c echo.Context) error {
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	return h.answerKey(c, id)
}

// answerKey answers with a key as it is.
func (h *Handlers) answerKey(c echo.Context, id int64) error {
	key, err := h.Store.Key(c.Request().Context(), caller(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, h.keyObject(key))
}

// apiCreateKey answers with the secret, in the only response that ever does.
func (h *Handlers) apiCreateKey(c echo.Context) error {
	ctx, project := c.Request().Context(), caller(c).project
	body, err := apiBody(c)
	if err != nil {
		return err
	}
	in, err := readKeyInput(body, nil, models.KeyInput{Category: models.BuiltInCategories[0]}, h.Now())
	if err != nil {
		return keyFieldsOfJSON(err)
	}
	actor, err := apiActorOnce(c, body)
	if err != nil {
		return err
	}
	key, secret, err := h.Store.CreateKey(ctx, project.ID, actor, in)
	if err != nil {
		return h.replayKey(c, http.StatusCreated, err)
	}
	return h.answerSecret(c, http.StatusCreated, &models.KeyDetails{Key: *key, Category: strings.TrimSpace(in.Category), Creator: actor.Name}, secret)
}

// answerSecret answers with a key and the secret that was just made for it.
func (h *Handlers) answerSecret(c echo.Context, status int, key *models.KeyDetails, secret models.Secret) error {
	key.Prefix, key.Last4 = secret.Prefix, secret.Last4()
	plain := secret.Plain()
	return h.answerIssued(c, status, issuedKey{h.keyObject(key), &plain, false})
}

func (h *Handlers) answerIssued(c echo.Context, status int, issued issuedKey) error {
	if status == http.StatusCreated {
		c.Response().Header().Set(echo.HeaderLocation, strings.TrimSuffix(c.Request().URL.Path, "/")+"/"+strconv.FormatInt(issued.ID, 10))
	}
	return c.JSON(status, issued)
}

// replayKey answers a request that was made before with the same Idempotency-Key: the key that came of it as it is now,
// without its secret, which is kept nowhere. Other errors come back with the names that JSON has for fields.
func (h *Handlers) replayKey(c echo.Context, status int, err error) error {
	var done models.Done
	if !errors.As(err, &done) {
		return keyFieldsOfJSON(err)
	}
	key, err := h.Store.Key(c.Request().Context(), caller(c).project.ID, done.ObjectID)
	if err != nil {
		return goneSince(err)
	}
	c.Response().Header().Set(headerReplayed, "true")
	return h.answerIssued(c, status, issuedKey{h.keyObject(key), nil, true})
}

const headerReplayed = "Idempotent-Replayed"

// goneSince says of a request that was made before that what came of it is not there any more.
func goneSince(err error) error {
	if models.IsNotFound(err) {
		return models.Conflict("This was done already, and what was made is deleted since. Use a new Idempotency-Key to make another.")
	}
	return err
}

func (h *Handlers) apiUpdateKey(c echo.Context) error {
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	body, err := apiBody(c)
	if err != nil {
		return err
	}
	_, err = h.Store.EditKey(c.Request().Context(), caller(c).project.ID, id, apiActor(c), func(key *models.Key, as models.KeyInput) (models.KeyInput, error) {
		return readKeyInput(body, key, as, h.Now())
	})
	if err != nil {
		return keyFieldsOfJSON(err)
	}
	return h.answerKey(c, id)
}

// apiChangeKeyState activates, deactivates or revokes a key.
func (h *Handlers) apiChangeKeyState(action models.KeyAction) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := web.KeyID(c)
		if err != nil {
			return err
		}
		if err := readAPIBody(c, &struct{}{}); err != nil {
			return err
		}
		if _, err := h.Store.ChangeKeyState(c.Request().Context(), caller(c).project.ID, id, apiActor(c), action); err != nil {
			return err
		}
		return h.answerKey(c, id)
	}
}

func (h *Handlers) apiDeleteKey(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	// A request answered a moment ago may not be in the log yet, and then the key would pass for never used.
	if err := h.Gate.Flush(ctx); err != nil {
		return err
	}
	if _, err := h.Store.DeleteKey(ctx, caller(c).project.ID, id, apiActor(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
