package api

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// caller is the service token of a request and the project that it is for.
type caller struct {
	project *gate.Project
	token   *models.ServiceToken
}

const callerKey = "api_caller"

// callerOf returns the caller of a route with [API.requireScope]. It panics on other routes.
func callerOf(c echo.Context) caller { return c.Get(callerKey).(caller) }

// requireScope checks that the request has a service token with the scope. Scopes are enforced only here.
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

// project returns the project that the path names. Error: [requestlog.CodeProjectUnknown].
func (a *API) project(c echo.Context) (*gate.Project, error) {
	project, err := a.Gate.Project(c.Request().Context(), c.Param("project"))
	if err == nil && project == nil {
		err = models.Denied(requestlog.CodeProjectUnknown)
	}
	return project, err
}

// callerIP returns the address that a bad key counts for. It is empty for a trusted proxy, which has many clients.
func (a *API) callerIP(c echo.Context) string {
	ip := c.RealIP()
	if web.IsProxy(ip, a.TrustedProxies) {
		return ""
	}
	return ip
}
