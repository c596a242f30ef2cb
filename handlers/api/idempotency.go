package api

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

const headerReplayed = "Idempotent-Replayed"

// deletedSince turns a "not found" into an error for a repeated request: the object that it created was deleted.
func deletedSince(err error) error {
	if models.IsNotFound(err) {
		return models.Conflict("This request was made before, and what it created has been deleted. " +
			"Use a new Idempotency-Key to create another.")
	}
	return err
}

// actorOf returns the service token as the actor of a change.
func actorOf(c echo.Context) models.Actor { return callerOf(c).token.Actor(c.RealIP(), nil) }

const maxIdempotencyKey = 255

// idempotentActor is [actorOf] for a change that is made only once if the caller sent an Idempotency-Key. Error:
// [requestlog.CodeBadRequest] if the header is not valid.
func idempotentActor(c echo.Context, body []byte) (models.Actor, error) {
	keys := c.Request().Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return actorOf(c), nil
	}
	key := keys[0]
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(keys) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, unprintable) {
		const problem = "must be one header of 1 to 255 printable ASCII characters without spaces"
		return models.Actor{}, &models.Error{
			Code: requestlog.CodeBadRequest, Message: "The Idempotency-Key is not valid",
			Fields: map[string]string{"Idempotency-Key": problem},
		}
	}
	request := strings.Join([]string{c.Request().Method, c.Path(), c.Param("key"), string(body)}, "\n")
	return callerOf(c).token.Actor(c.RealIP(), &models.IdempotencyKey{Key: key, Request: request}), nil
}
