package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
)

// RequireUser sends visitors who are not signed in to the sign-in page, and back afterwards.
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

// RequirePermission finds the project that the path names and checks that the user's role has the permission. Roles are
// enforced only here for the dashboard. A user who is not a member gets the same 404 as for a project that does not
// exist.
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

// RequireInstanceAdmin admits the admins of the instance. Everybody else gets 404.
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

// SafeNext returns next if it is a path of this server, to go there after signing in; otherwise it returns fallback.
func SafeNext(next, fallback string) string {
	// A browser reads "//host" and "/\host" as another site.
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return fallback
	}
	return next
}
