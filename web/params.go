package web

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// PathID is the number that the path has for a thing; [models.CodeNotFound] where it is none. what names the thing.
func PathID(c echo.Context, param, what string) (int64, error) {
	id, err := strconv.ParseInt(c.Param(param), 10, 64)
	if err != nil {
		return 0, models.NotFound(what)
	}
	return id, nil
}

// KeyID is the key that the path names.
func KeyID(c echo.Context) (int64, error) { return PathID(c, "key", "key") }

// MaxQueryText is the length of the longest endpoint: its method, a space, its path.
const MaxQueryText = requestlog.MaxMethod + 1 + requestlog.MaxPath

// QueryText is a parameter of an address as every database takes it in a condition: a NUL byte, which no row can hold,
// would make Postgres refuse the query.
func QueryText(value string) string { return models.LogText(value, MaxQueryText) }
