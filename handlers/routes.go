package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/static"
	"github.com/claviger/claviger/web"
)

// Access says who may use a route.
type Access struct {
	SignedIn      bool
	Permission    models.Permission // in the project that the path names; implies SignedIn
	InstanceAdmin bool              // implies SignedIn
}

var (
	anyone   = Access{}
	signedIn = Access{SignedIn: true}
	read     = Access{SignedIn: true, Permission: models.PermitRead}
	write    = Access{SignedIn: true, Permission: models.PermitWriteKeys}
	admin    = Access{SignedIn: true, Permission: models.PermitAdminister}
	owner    = Access{SignedIn: true, Permission: models.PermitOwn}

	instanceAdmin = Access{SignedIn: true, InstanceAdmin: true}
)

// Route is one line of the route table.
type Route struct {
	Method, Path string
	Access       Access
	handle       echo.HandlerFunc
}

// Routes returns every page and form of the dashboard.
func (h *Handlers) Routes() []Route {
	const get, post = http.MethodGet, http.MethodPost
	routes := []Route{
		{get, "/", anyone, h.home},
		{get, "/signup", anyone, h.signUpForm},
		{post, "/signup", anyone, h.signUp},
		{get, "/signin", anyone, h.signInForm},
		{post, "/signin", anyone, h.signIn},
		{post, "/signout", anyone, h.signOut},
		{get, "/docs/api", anyone, h.apiDocs},

		{get, "/account", signedIn, h.account},
		{post, "/account/password", signedIn, h.changePassword},
		{post, "/account/sessions/end", signedIn, h.endAllSessions},
		{post, "/account/sessions/:session/end", signedIn, h.endSession},

		{get, "/projects", signedIn, h.projects},
		{get, "/projects/new", signedIn, h.newProject},
		{post, "/projects", signedIn, h.createProject},
		{get, "/projects/:project", read, h.overview},

		{get, "/projects/:project/keys", read, h.keys},
		{get, "/projects/:project/keys/new", write, h.newKey},
		{post, "/projects/:project/keys", write, h.createKey},
		{get, "/projects/:project/keys/:key", read, h.key},
		{get, "/projects/:project/keys/:key/edit", write, h.editKey},
		{post, "/projects/:project/keys/:key", write, h.updateKey},
		{post, "/projects/:project/keys/:key/activate", write, h.changeKeyState(models.ActionActivate)},
		{post, "/projects/:project/keys/:key/deactivate", write, h.changeKeyState(models.ActionDeactivate)},
		{post, "/projects/:project/keys/:key/delete", write, h.deleteKey},
		{get, "/projects/:project/keys/:key/rotate", write, h.rotateForm},
		{post, "/projects/:project/keys/:key/rotate", write, h.rotateKey},
		{post, "/projects/:project/keys/:key/versions/:version/end", write, h.endVersion},
		{get, "/projects/:project/keys/:key/revoke", write, h.revokeForm},
		{post, "/projects/:project/keys/:key/revoke", write, h.revokeKey},

		{get, "/projects/:project/logs", read, h.logs},
		{get, "/projects/:project/logs.csv", read, h.exportLogsCSV},
		{get, "/projects/:project/logs.json", read, h.exportLogsJSON},
		{get, "/projects/:project/logs/:request", read, h.log},

		{get, "/projects/:project/blocks", read, h.blocks},
		{post, "/projects/:project/blocks/:block/lift", admin, h.liftBlock},

		{get, "/projects/:project/audit", admin, h.auditRows},
		{get, "/projects/:project/audit.csv", admin, h.exportAudit},
		{get, "/projects/:project/audit/:seq", admin, h.auditRow},

		{get, "/projects/:project/categories", read, h.categories},
		{get, "/projects/:project/categories/new", write, h.addCategory},
		{post, "/projects/:project/categories", write, h.createCategory},
		{get, "/projects/:project/categories/:category", write, h.editCategory},
		{post, "/projects/:project/categories/:category", write, h.renameCategory},
		{post, "/projects/:project/categories/:category/merge", write, h.mergeCategory},
		{post, "/projects/:project/categories/:category/delete", write, h.deleteCategory},

		{get, "/projects/:project/tokens", admin, h.tokens},
		{get, "/projects/:project/tokens/new", admin, h.newToken},
		{post, "/projects/:project/tokens", admin, h.createToken},
		{post, "/projects/:project/tokens/:token/revoke", admin, h.revokeToken},

		{get, "/projects/:project/settings", admin, h.settings},
		{post, "/projects/:project/settings", admin, h.updateProject},
		{post, "/projects/:project/settings/slug", owner, h.changeSlug},

		{get, "/admin/plans", instanceAdmin, h.plans},
		{post, "/admin/plans/default", instanceAdmin, h.setDefaultPlan},
		{get, "/admin/plans/:plan", instanceAdmin, h.editPlan},
		{post, "/admin/plans/:plan", instanceAdmin, h.updatePlan},
		{get, "/admin/projects", instanceAdmin, h.adminProjects},
		{get, "/admin/projects/:project", instanceAdmin, h.editProjectPlan},
		{post, "/admin/projects/:project", instanceAdmin, h.changeProjectPlan},
		{get, "/admin/audit", instanceAdmin, h.auditRows},
		{get, "/admin/audit.csv", instanceAdmin, h.exportAudit},
		{get, "/admin/audit/:seq", instanceAdmin, h.auditRow},
	}
	if h.Dev {
		routes = append(routes, Route{get, "/dev/components", anyone, h.components})
	}
	return routes
}

const maxFormBody = "64K"

// Register adds every route to e, with the middleware that its access requires. Error: if BaseURL is not a valid
// origin, or a route of the API has no scope.
func (h *Handlers) Register(e *echo.Echo) error {
	e.IPExtractor = web.ClientIP(h.TrustedProxies)
	e.HTTPErrorHandler = web.ErrorHandler(h.errorPage, h.Log)
	e.Use(web.AssignRequestID(h.IDs, api.ValidatePath), h.recover(), web.SecurityHeaders(h.secure()))

	if err := h.API.Register(e); err != nil {
		return err
	}
	e.GET("/healthz", h.healthy)
	e.GET("/readyz", h.ready)
	e.GET("/static/*", echo.WrapHandler(static.Handler()))
	e.GET("/favicon.ico", func(c echo.Context) error {
		return c.Redirect(http.StatusMovedPermanently, static.URL("favicon.svg"))
	})

	sameOrigin, err := web.RefuseCrossOrigin(h.BaseURL)
	if err != nil {
		return err
	}
	pageTime := middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{
		Timeout: web.RequestTimeout, Skipper: isExport,
	})
	pages := e.Group("", middleware.Gzip(), pageTime, sameOrigin, middleware.BodyLimit(maxFormBody))
	for _, route := range h.Routes() {
		var guards []echo.MiddlewareFunc
		switch {
		case route.Access.InstanceAdmin:
			guards = append(guards, h.Sessions.RequireInstanceAdmin)
		case route.Access.Permission != "":
			guards = append(guards, h.Sessions.RequirePermission(route.Access.Permission))
		case route.Access.SignedIn:
			guards = append(guards, h.Sessions.RequireUser)
		}
		pages.Add(route.Method, route.Path, route.handle, guards...)
	}
	pages.RouteNotFound("/*", func(echo.Context) error { return echo.ErrNotFound })
	return nil
}

func (h *Handlers) secure() bool { return strings.HasPrefix(h.BaseURL, "https://") }

// recover turns a panic into an error, so that only the request fails and not the process.
func (h *Handlers) recover() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			if web.RequestID(c) == 0 {
				web.SetRequestID(c, h.IDs.Next())
			}
			h.Log.Error("panic", "request_id", web.RequestID(c).String(), "error", err, "stack", string(stack))
			return err
		},
	})
}

// isExport reports whether the route is an export. The time limit of pages does not apply to exports.
func isExport(c echo.Context) bool {
	return strings.HasSuffix(c.Path(), ".csv") || strings.HasSuffix(c.Path(), ".json")
}
