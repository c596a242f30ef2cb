package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
)

// contentSecurityPolicy lets pages load only from this origin, without inline scripts and styles.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// SecurityHeaders sets the security headers of every page, error pages included. https adds Strict-Transport-Security.
// The API does not need them: no browser renders its replies.
func SecurityHeaders(https bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if strings.HasPrefix(c.Request().URL.Path, "/v1/") {
				return next(c)
			}
			h := c.Response().Header()
			h.Set("Content-Security-Policy", contentSecurityPolicy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY")
			h.Set("Referrer-Policy", "same-origin")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			if https {
				h.Set("Strict-Transport-Security", "max-age=31536000")
			}
			return next(c)
		}
	}
}

// RefuseCrossOrigin rejects requests that change something and come from a page of another site. Error: if baseURL is
// not a valid origin.
func RefuseCrossOrigin(baseURL string) (echo.MiddlewareFunc, error) {
	protection := http.NewCrossOriginProtection()
	// Behind a proxy that rewrites Host, the browser's Origin is still the base URL.
	if err := protection.AddTrustedOrigin(baseURL); err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if protection.Check(c.Request()) != nil {
				return models.Forbidden("This request came from another site and was refused.")
			}
			return next(c)
		}
	}, nil
}
