package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// Route is one line of the table of the management API.
type Route struct {
	Method, Path string
	Scope        models.Scope // of the service token; required, see NoToken
	handle       echo.HandlerFunc
}

// NoToken is the scope of a route that needs no service token.
const NoToken models.Scope = "none"

const (
	projectPath = "/v1/projects/:project"
	// ValidatePath accepts any method. It is not in [API.Routes], because its errors are verdicts too.
	ValidatePath = projectPath + "/validate"
)

// Routes returns every route except validate: product.md, section 10. The document at /v1/openapi.json describes them.
func (a *API) Routes() []Route {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
		keysRead, keysWrite   = models.ScopeKeysRead, models.ScopeKeysWrite
		logsRead              = models.ScopeLogsRead
		keys                  = projectPath + "/keys"
		categories            = projectPath + "/categories"
		logs                  = projectPath + "/logs"
	)
	return []Route{
		{get, "/v1/openapi.json", NoToken, a.document},
		{get, "/v1/usage", NoToken, a.usage}, // with the key itself

		{get, keys, keysRead, a.listKeys},
		{post, keys, keysWrite, a.createKey},
		{get, keys + "/:key", keysRead, a.showKey},
		{patch, keys + "/:key", keysWrite, a.updateKey},
		{del, keys + "/:key", keysWrite, a.deleteKey},
		{post, keys + "/:key/activate", keysWrite, a.changeKeyState(models.ActionActivate)},
		{post, keys + "/:key/deactivate", keysWrite, a.changeKeyState(models.ActionDeactivate)},
		{post, keys + "/:key/revoke", keysWrite, a.changeKeyState(models.ActionRevoke)},
		{post, keys + "/:key/rotate", keysWrite, a.rotateKey},
		{get, keys + "/:key/versions", keysRead, a.listVersions},
		{post, keys + "/:key/versions/:version/end", keysWrite, a.endVersion},
		{post, keys + "/rotate", NoToken, a.rotateSelf}, // with the key itself

		{get, categories, keysRead, a.listCategories},
		{post, categories, keysWrite, a.createCategory},
		{patch, categories + "/:category", keysWrite, a.renameCategory},
		{post, categories + "/:category/merge", keysWrite, a.mergeCategory},
		{del, categories + "/:category", keysWrite, a.deleteCategory},

		{get, logs, logsRead, a.listLogs},
		{get, logs + "/:request", logsRead, a.showLog},
		{post, projectPath + "/requests", models.ScopeReport, a.report},
	}
}

// Register adds every route of the API to e, with the check of its scope. Error: if a route has no scope.
func (a *API) Register(e *echo.Echo) error {
	// Validate is called for every request of every consumer, so it has no session and no middleware of pages. Echo's
	// Any would accept only the methods that Echo knows.
	e.RouteNotFound(ValidatePath, a.validate)
	api := e.Group("", middleware.ContextTimeout(web.RequestTimeout), noStore)
	methods := map[string][]string{}
	for _, route := range a.Routes() {
		methods[route.Path] = append(methods[route.Path], route.Method)
		switch route.Scope {
		case "":
			return fmt.Errorf("route %s %s has no scope; use NoToken if it needs no service token", route.Method,
				route.Path)
		case NoToken:
			api.Add(route.Method, route.Path, route.handle)
		default:
			api.Add(route.Method, route.Path, route.handle, a.requireScope(route.Scope))
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

// otherMethods returns the methods that a path does not accept. They need routes, because otherwise the dashboard would
// answer them with its page for unknown URLs.
func otherMethods(allowed []string) []string {
	all := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions,
	}
	return slices.DeleteFunc(all, func(method string) bool { return slices.Contains(allowed, method) })
}

// noStore keeps replies out of caches: some have a secret, and all have data that only the caller may see.
func noStore(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}
