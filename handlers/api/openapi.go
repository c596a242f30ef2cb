package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Document describes the API in OpenAPI 3.1. It is written by hand. Tests compare it with the routes and their replies.
//
//go:embed openapi.json
var Document []byte

func (a *API) document(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "public, max-age=300")
	return c.JSONBlob(http.StatusOK, Document)
}
