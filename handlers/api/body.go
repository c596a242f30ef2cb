package api

import (
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/web"
)

// maxBody is how many bytes a call of the management API may send.
const maxBody = 16 << 10

// rawBody reads the body of the request; nil where there is none.
func rawBody(c echo.Context) ([]byte, error) {
	return web.ReadJSONBody(c.Response(), c.Request(), maxBody)
}

// readBody reads the body of the request into target, which stays as it is where there is none.
func readBody(c echo.Context, target any) error {
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	return web.ParseJSON(body, target)
}
