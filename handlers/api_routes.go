package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// APIRoute is one line of the table of the management API.
type APIRoute struct {
	Method, Path string
	Scope        models.Scope // that the service token must have; a line without one is refused at the start
	handle       echo.HandlerFunc
}

// NoToken stands in place of a scope where no service token is asked for.
const NoToken models.Scope = "none"

const (
	apiProject = "/v1/projects/:project"

	// apiPerMinute is how many requests one service token, or one key that rotates itself, has in a minute.
	apiPerMinute = 600
	maxAPIBody   = 16 << 10
)

// APIRoutes is the whole API but validate: product.md, section 10. The document at /v1/openapi.json describes each line.
func (h *Handlers) APIRoutes() []APIRoute {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
		keysRead, keysWrite   = models.ScopeKeysRead, models.ScopeKeysWrite
		logsRead              = models.ScopeLogsRead
		keys                  = apiProject + "/keys"
		categories            = apiProject + "/categories"
		logs                  = apiProject + "/logs"
	)
	return []APIRoute{
		{get, "/v1/openapi.json", NoToken, h.apiDocument},
		{get, "/v1/usage", NoToken, h.usage}, // with the key itself

		{get, keys, keysRead, h.apiKeys},
		{post, keys, keysWrite, h.apiCreateKey},
		{get, keys + "/:key", keysRead, h.apiKey},
		{patch, keys + "/:key", keysWrite, h.apiUpdateKey},
		{del, keys + "/:key", keysWrite, h.apiDeleteKey},
		{post, keys + "/:key/activate", keysWrite, h.apiChangeKeyState(models.ActionActivate)},
		{post, keys + "/:key/deactivate", keysWrite, h.apiChangeKeyState(models.ActionDeactivate)},
		{post, keys + "/:key/revoke", keysWrite, h.apiChangeKeyState(models.ActionRevoke)},
		{post, keys + "/:key/rotate", keysWrite, h.apiRotateKey},
		{get, keys + "/:key/versions", keysRead, h.apiVersions},
		{post, keys + "/:key/versions/:version/end", keysWrite, h.apiEndVersion},
		{post, keys + "/rotate", NoToken, h.rotateSelf}, // with the key itself

		{get, categories, keysRead, h.apiCategories},
		{post, categories, keysWrite, h.apiCreateCategory},
		{patch, categories + "/:category", keysWrite, h.apiRenameCategory},
		{post, categories + "/:category/merge", keysWrite, h.apiMergeCategory},
		{del, categories + "/:category", keysWrite, h.apiDeleteCategory},

		{get, logs, logsRead, h.apiLogs},
		{get, logs + "/:request", logsRead, h.apiLog},
		{post, apiProject + "/requests", models.ScopeReport, h.apiReport},
	}
}

// registerAPI puts every route of the API into e, each behind the check of its scope.
func (h *Handlers) registerAPI(e *echo.Echo) error {
	api := e.Group("", middleware.ContextTimeout(web.RequestTimeout), noStore)
	methods := map[string][]string{}
	for _, route := range h.APIRoutes() {
		methods[route.Path] = append(methods[route.Path], route.Method)
		switch route.Scope {
		case "":
			return fmt.Errorf("%s %s says no scope", route.Method, route.Path)
		case NoToken:
			api.Add(route.Method, route.Path, route.handle)
		default:
			api.Add(route.Method, route.Path, route.handle, h.requireScope(route.Scope))
		}
	}
	for path, allowed := range methods {
		for _, method := range otherMethods(allowed) {
			api.Add(method, path, func(c echo.Context) error {
				c.Response().Header().Set(echo.HeaderAllow, strings.Join(allowed, ", "))
				return echo.ErrMethodNotAllowed
			})
		}
	}
	return nil
}

// otherMethods are those that a path does not take. They are routes too, because the dashboard's page for unknown addresses
// would answer them otherwise.
func otherMethods(allowed []string) []string {
	all := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
	return slices.DeleteFunc(all, func(method string) bool { return slices.Contains(allowed, method) })
}

// noStore keeps answers out of caches: some hold a secret, and all hold what only the asker may see.
func noStore(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}

// apiCaller is who asks the API, and of what.
type apiCaller struct {
	project *gate.Project
	token   *models.ServiceToken
}

const apiCallerKey = "api_caller"

// caller of a route behind [Handlers.requireScope]. It panics elsewhere.
func caller(c echo.Context) apiCaller { return c.Get(apiCallerKey).(apiCaller) }

// requireScope checks the service token. This is the one place where scopes are enforced.
func (h *Handlers) requireScope(scope models.Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx, header := c.Request().Context(), c.Response().Header()
			plain := web.Bearer(c.Request().Header)
			if plain == "" {
				header.Set(echo.HeaderWWWAuthenticate, "Bearer")
				return &models.Error{Code: requestlog.CodeTokenMissing, Message: "Send a service token in Authorization: Bearer"}
			}
			project, err := h.apiProject(c)
			if err != nil {
				return err
			}
			token, code, err := h.Gate.Token(ctx, project, plain, h.callerIP(c), scope)
			switch {
			case err != nil:
				return err
			case code == requestlog.CodeTokenInvalid:
				header.Set(echo.HeaderWWWAuthenticate, `Bearer error="invalid_token"`)
				return models.Denied(code)
			}
			if err := h.apiRates.Take(header, "token "+strconv.FormatInt(token.ID, 10)); err != nil {
				return err
			}
			if code == requestlog.CodeTokenScope {
				return &models.Error{
					Code: code, Message: "The service token lacks the scope " + string(scope), Fields: map[string]string{"scope": string(scope)},
				}
			}
			c.Set(apiCallerKey, apiCaller{project, token})
			return next(c)
		}
	}
}

// apiProject finds the project that the path names.
func (h *Handlers) apiProject(c echo.Context) (*gate.Project, error) {
	project, err := h.Gate.Project(c.Request().Context(), c.Param("project"))
	if err == nil && project == nil {
		err = models.Denied(requestlog.CodeProjectUnknown)
	}
	return project, err
}

// apiBody reads the body of the request; nil where there is none.
func apiBody(c echo.Context) ([]byte, error) {
	return web.ReadJSONBody(c.Response(), c.Request(), maxAPIBody)
}

// readAPIBody reads the body of the request into target, which stays as it is where there is none.
func readAPIBody(c echo.Context, target any) error {
	body, err := apiBody(c)
	if err != nil {
		return err
	}
	return web.ParseJSON(body, target)
}

// apiActor is the service token as who makes a change.
func apiActor(c echo.Context) models.Actor { return caller(c).token.Actor(c.RealIP(), nil) }

const maxIdempotencyKey = 255

// apiActorOnce is [apiActor] for a change that must not be made twice where the caller sent an Idempotency-Key.
func apiActorOnce(c echo.Context, body []byte) (models.Actor, error) {
	keys := c.Request().Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return apiActor(c), nil
	}
	printable := func(r rune) bool { return r > ' ' && r <= '~' }
	if key := keys[0]; len(keys) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return !printable(r) }) {
		return models.Actor{}, &models.Error{Code: requestlog.CodeBadRequest, Message: "The Idempotency-Key cannot be used", Fields: map[string]string{
			"Idempotency-Key": "must be one header of 1 to 255 printable ASCII characters without spaces",
		}}
	}
	request := strings.Join([]string{c.Request().Method, c.Path(), c.Param("key"), string(body)}, "\n")
	return caller(c).token.Actor(c.RealIP(), &models.Once{Key: keys[0], Request: request}), nil
}
