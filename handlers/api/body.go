package api

import (
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/web"
)

// maxBody is the most bytes of a body in the management API.
const maxBody = 16 << 10

// rawBody returns the body of the request, or nil if there is none.
func rawBody(c echo.Context) ([]byte, error) {
	return web.ReadJSONBody(c.Response(), c.Request(), maxBody)
}

// readBody reads the body of the request into target. Without a body target stays unchanged.
func readBody(c echo.Context, target any) error {
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	return web.ParseJSON(body, target)
}
