package api

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// caller is who asks the API, and of what.
type caller struct {
	project *gate.Project
	token   *models.ServiceToken
}

const callerKey = "api_caller"

// callerOf is who asks a route behind [API.requireScope]. It panics elsewhere.
func callerOf(c echo.Context) caller { return c.Get(callerKey).(caller) }

// requireScope checks the service token. This is the one place where scopes are enforced.
func (a *API) requireScope(scope models.Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx, header := c.Request().Context(), c.Response().Header()
			plain := web.Bearer(c.Request().Header)
			if plain == "" {
				header.Set(echo.HeaderWWWAuthenticate, "Bearer")
				return &models.Error{Code: requestlog.CodeTokenMissing,
					Message: "Send a service token in Authorization: Bearer"}
			}
			project, err := a.project(c)
			if err != nil {
				return err
			}
			token, code, err := a.Gate.Token(ctx, project, plain, a.callerIP(c), scope)
			switch {
			case err != nil:
				return err
			case code == requestlog.CodeTokenInvalid:
				header.Set(echo.HeaderWWWAuthenticate, `Bearer error="invalid_token"`)
				return models.Denied(code)
			}
			if err := a.rates.Take(header, "token "+strconv.FormatInt(token.ID, 10)); err != nil {
				return err
			}
			if code == requestlog.CodeTokenScope {
				return &models.Error{
					Code: code, Message: "The service token lacks the scope " + string(scope),
					Fields: map[string]string{"scope": string(scope)},
				}
			}
			c.Set(callerKey, caller{project, token})
			return next(c)
		}
	}
}

// project finds the project that the path names.
func (a *API) project(c echo.Context) (*gate.Project, error) {
	project, err := a.Gate.Project(c.Request().Context(), c.Param("project"))
	if err == nil && project == nil {
		err = models.Denied(requestlog.CodeProjectUnknown)
	}
	return project, err
}

// callerIP is the address that a bad key counts against; empty for that of a trusted proxy, which speaks for many.
func (a *API) callerIP(c echo.Context) string {
	ip := c.RealIP()
	if web.IsProxy(ip, a.TrustedProxies) {
		return ""
	}
	return ip
}
