package web

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// PathID returns the number in the path parameter. Error: [models.CodeNotFound] if it is not a number; what is the kind
// of object, for the message.
func PathID(c echo.Context, param, what string) (int64, error) {
	id, err := strconv.ParseInt(c.Param(param), 10, 64)
	if err != nil {
		return 0, models.NotFound(what)
	}
	return id, nil
}

// KeyID returns the id of the key that the path names.
func KeyID(c echo.Context) (int64, error) { return PathID(c, "key", "key") }

// MaxQueryText is the most bytes of a query parameter: those of the longest endpoint, which is a method, a space and a
// path.
const MaxQueryText = requestlog.MaxMethod + 1 + requestlog.MaxPath

// QueryText returns the value of a query parameter so that both databases accept it in a condition: Postgres rejects a
// query with a NUL byte.
func QueryText(value string) string { return models.LogText(value, MaxQueryText) }
