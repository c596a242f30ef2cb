// Package web is the toolkit between HTTP and the rest: sessions, middleware, rendering, errors.
package web

import (
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// RequestTimeout is how long answering a page or a call of the API may take.
const RequestTimeout = 30 * time.Second

// What middleware puts into echo's context for handlers.
const (
	requestIDKey  = "request_id"
	membershipKey = "membership"
)

// RequestID of the present request; 0 where it has none yet.
func RequestID(c echo.Context) requestlog.ID {
	id, _ := c.Get(requestIDKey).(requestlog.ID)
	return id
}

// Membership is the project of the present route with the user's role in it. It panics on routes without a project.
func Membership(c echo.Context) *models.Membership {
	return c.Get(membershipKey).(*models.Membership)
}

// AssignRequestID gives each request its id and says it in X-Request-ID, but for the route that sees to that itself.
func AssignRequestID(ids *requestlog.IDs, except string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if c.Path() != except {
				SetRequestID(c, ids.Next())
			}
			return next(c)
		}
	}
}

// SetRequestID gives the present request its id and says it in X-Request-ID.
func SetRequestID(c echo.Context, id requestlog.ID) {
	c.Set(requestIDKey, id)
	c.Response().Header().Set(echo.HeaderXRequestID, id.String())
}

// TimeZone is the viewer's, as its browser told by the cookie tz; UTC where it did not or the name is unknown.
func TimeZone(c echo.Context) *time.Location {
	cookie, err := c.Cookie("tz")
	if err != nil {
		return time.UTC
	}
	name, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return time.UTC
	}
	return ParseTimeZone(name)
}

// ParseTimeZone finds a zone by its IANA name; UTC where there is none of that name.
func ParseTimeZone(name string) *time.Location {
	// "Local" would be the server's zone, which is nobody's business.
	if loc, err := time.LoadLocation(name); err == nil && name != "Local" && len(name) <= 64 {
		return loc
	}
	return time.UTC
}
