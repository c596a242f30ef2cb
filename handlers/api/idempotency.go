package api

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

const headerReplayed = "Idempotent-Replayed"

// goneSince says of a request that was made before that what came of it is not there any more.
func goneSince(err error) error {
	if models.IsNotFound(err) {
		return models.Conflict("This was done already, and what was made is deleted since. " +
			"Use a new Idempotency-Key to make another.")
	}
	return err
}

// actorOf is the service token as who makes a change.
func actorOf(c echo.Context) models.Actor { return callerOf(c).token.Actor(c.RealIP(), nil) }

const maxIdempotencyKey = 255

// actorOnce is [actorOf] for a change that must not be made twice where the caller sent an Idempotency-Key.
func actorOnce(c echo.Context, body []byte) (models.Actor, error) {
	keys := c.Request().Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return actorOf(c), nil
	}
	key := keys[0]
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(keys) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, unprintable) {
		const problem = "must be one header of 1 to 255 printable ASCII characters without spaces"
		return models.Actor{}, &models.Error{
			Code: requestlog.CodeBadRequest, Message: "The Idempotency-Key cannot be used",
			Fields: map[string]string{"Idempotency-Key": problem},
		}
	}
	request := strings.Join([]string{c.Request().Method, c.Path(), c.Param("key"), string(body)}, "\n")
	return callerOf(c).token.Actor(c.RealIP(), &models.IdempotencyKey{Key: key, Request: request}), nil
}
