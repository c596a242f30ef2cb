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
	Scope        models.Scope // that the service token must have; a line without one is refused at the start
	handle       echo.HandlerFunc
}

// NoToken stands in place of a scope where no service token is asked for.
const NoToken models.Scope = "none"

const (
	projectPath = "/v1/projects/:project"
	// ValidatePath takes any method. It is no line of [API.Routes]: it answers with a verdict, also where it refuses.
	ValidatePath = projectPath + "/validate"
)

// Routes is the whole API but validate: product.md, section 10. The document at /v1/openapi.json describes each line.
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

// Register puts every route of the API into e, each behind the check of its scope.
func (a *API) Register(e *echo.Echo) error {
	// Asked on every request of our users' users: no session, no cookies, nothing that writes a page.
	// Any of Echo would answer the methods alone that it has names for.
	e.RouteNotFound(ValidatePath, a.validate)
	api := e.Group("", middleware.ContextTimeout(web.RequestTimeout), noStore)
	methods := map[string][]string{}
	for _, route := range a.Routes() {
		methods[route.Path] = append(methods[route.Path], route.Method)
		switch route.Scope {
		case "":
			return fmt.Errorf("%s %s says no scope", route.Method, route.Path)
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

// otherMethods are those that a path does not take. They are routes too, because the dashboard's page for unknown
// addresses would answer them otherwise.
func otherMethods(allowed []string) []string {
	all := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions,
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
