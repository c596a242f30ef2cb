// Package web is the HTTP toolkit of handlers: sessions, middleware, rendering, errors, and parsers that the pages and
// the API share.
package web

import (
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// RequestTimeout bounds the handling of a page or of an API call.
const RequestTimeout = 30 * time.Second

// Names of the values that middleware stores in echo's context.
const (
	requestIDKey  = "request_id"
	membershipKey = "membership"
)

// RequestID returns the id of the current request, or 0 if it has none yet.
func RequestID(c echo.Context) requestlog.ID {
	id, _ := c.Get(requestIDKey).(requestlog.ID)
	return id
}

// Membership returns the project of the current route with the user's role in it. It panics on routes without
// [Sessions.RequirePermission].
func Membership(c echo.Context) *models.Membership {
	return c.Get(membershipKey).(*models.Membership)
}

// AssignRequestID gives each request an id and sends it in X-Request-ID. The route except does that itself.
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

// SetRequestID stores the id of the current request and sends it in X-Request-ID.
func SetRequestID(c echo.Context, id requestlog.ID) {
	c.Set(requestIDKey, id)
	c.Response().Header().Set(echo.HeaderXRequestID, id.String())
}

// TimeZone returns the viewer's time zone from the cookie tz, which app.js sets. It is UTC if there is no cookie or the
// name is unknown.
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

// ParseTimeZone returns the zone with the IANA name, or UTC if there is none.
func ParseTimeZone(name string) *time.Location {
	// "Local" would disclose the server's zone.
	if loc, err := time.LoadLocation(name); err == nil && name != "Local" && len(name) <= 64 {
		return loc
	}
	return time.UTC
}
