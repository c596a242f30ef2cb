package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
)

// RequireUser sends strangers to the sign-in page, and back afterwards.
func (s *Sessions) RequireUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		session, err := s.Current(c)
		if err != nil {
			return err
		}
		if session == nil {
			target := "/signin"
			if r := c.Request(); r.Method == http.MethodGet && !IsPartial(c) {
				target += "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			return Redirect(c, target)
		}
		return next(c)
	}
}

// RequirePermission finds the project that the path names and checks that the user's role allows the act. This is the
// one place where roles are enforced for the dashboard. Who is no member gets the same answer as for no project.
func (s *Sessions) RequirePermission(p models.Permission) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return s.RequireUser(func(c echo.Context) error {
			session, err := s.Current(c)
			if err != nil {
				return err
			}
			membership, err := s.store.Membership(c.Request().Context(), session.UserID, c.Param("project"))
			if err != nil {
				return err
			}
			if !membership.Role.May(p) {
				role := string(membership.Role)
				return models.Forbidden("Your role in this project, " + role + ", does not allow this.")
			}
			c.Set(membershipKey, membership)
			return next(c)
		})
	}
}

// RequireInstanceAdmin lets the admins of the instance in. For everybody else there is nothing at the address.
func (s *Sessions) RequireInstanceAdmin(next echo.HandlerFunc) echo.HandlerFunc {
	return s.RequireUser(func(c echo.Context) error {
		session, err := s.Current(c)
		if err != nil {
			return err
		}
		if !session.User.IsAdmin {
			return echo.ErrNotFound
		}
		return next(c)
	})
}

// SafeNext gives where to go after signing in: a path of ours, or otherwise.
func SafeNext(next, otherwise string) string {
	// A browser reads "//host" and "/\host" as another site.
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return otherwise
	}
	return next
}
