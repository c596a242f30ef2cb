// Package handlers has the pages and forms of the dashboard. It turns HTTP requests into calls of models and gate, and
// their results into pages. routes.go lists every route; each other file has one resource.
package handlers

import (
	"log/slog"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/views/layout"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

// Options are the dependencies and settings of the pages and of the API.
type Options struct {
	Store          *models.Store
	Gate           *gate.Gate
	IDs            *requestlog.IDs
	Sessions       *web.Sessions
	Log            *slog.Logger
	Now            func() time.Time
	BaseURL        string // scheme://host, no slash at the end
	TrustedProxies []netip.Prefix
	Signup         models.SignupMode
	Version        string
	Dev            bool
	Durations      prometheus.Histogram // of validate, in seconds
}

// Handlers has the handlers of the dashboard, and those of the API.
type Handlers struct {
	Options
	API                              *api.API
	addressThrottle, accountThrottle *web.Throttle
	draining                         atomic.Bool
}

const (
	// An account must not have to wait long: otherwise anybody could lock out its owner with wrong passwords. An
	// address may have to wait longer.
	longestAddressWait = 15 * time.Minute
	longestAccountWait = 15 * time.Second
)

// New returns the handlers.
func New(o Options) *Handlers {
	return &Handlers{
		Options:         o,
		addressThrottle: web.NewThrottle(o.Now, longestAddressWait),
		accountThrottle: web.NewThrottle(o.Now, longestAccountWait),
		API: api.New(api.Options{
			Store: o.Store, Gate: o.Gate, IDs: o.IDs, Log: o.Log, Now: o.Now, TrustedProxies: o.TrustedProxies,
			Durations: o.Durations,
		}),
	}
}

// Drain makes /readyz answer 503, so that a load balancer sends no new requests.
func (h *Handlers) Drain() { h.draining.Store(true) }

// page returns the props that every page has. It removes the messages of the session, so that they are shown once.
func (h *Handlers) page(c echo.Context, title string) (layout.PageProps, error) {
	p := layout.PageProps{Title: title, Version: h.Version}
	session, err := h.Sessions.Current(c)
	if err != nil || session == nil {
		return p, err
	}
	p.User = &layout.User{Email: session.User.Email, Admin: session.User.IsAdmin}
	projects, err := h.Store.Projects(c.Request().Context(), session.UserID)
	if err != nil {
		return p, err
	}
	for _, m := range projects {
		p.Projects = append(p.Projects, layout.ProjectNav{Name: m.Name, Slug: m.Slug})
	}
	notices, err := h.Sessions.Notices(c)
	for _, n := range notices {
		p.Flash = append(p.Flash, layout.Flash{Kind: ui.Kind(n.Kind), Text: n.Text})
	}
	return p, err
}

// The tabs of a project.
const (
	tabOverview   = "Overview"
	tabKeys       = "Keys"
	tabLogs       = "Logs"
	tabBlocks     = "Blocks"
	tabCategories = "Categories"
	tabTokens     = "Tokens"
	tabAudit      = "Audit log"
	tabSettings   = "Settings"
)

// projectPage is page for the routes of a project.
func (h *Handlers) projectPage(c echo.Context, title, tab string) (layout.PageProps, error) {
	p, err := h.page(c, title)
	if err != nil {
		return p, err
	}
	h.fillProject(&p, web.Membership(c), tab)
	return p, nil
}

// fillProject adds the name of the project, the tabs that the role of the member may open, and a banner if the request
// log cannot be written.
func (h *Handlers) fillProject(p *layout.PageProps, m *models.Membership, tab string) {
	p.Title += " · " + m.Name
	p.Project = &layout.ProjectNav{Name: m.Name, Slug: m.Slug}
	p.Banner = logBanner(h.Gate.Recording())
	root := projectPath(&m.Project)
	p.Tabs = []ui.Tab{
		{Label: tabOverview, Href: root, Icon: "chart", Current: tab == tabOverview},
		{Label: tabKeys, Href: root + "/keys", Icon: "key", Current: tab == tabKeys},
		{Label: tabLogs, Href: root + "/logs", Icon: "logs", Current: tab == tabLogs},
		{Label: tabBlocks, Href: root + "/blocks", Icon: "blocked", Current: tab == tabBlocks},
		{Label: tabCategories, Href: root + "/categories", Icon: "folder", Current: tab == tabCategories},
	}
	if m.Role.May(models.PermitAdminister) {
		p.Tabs = append(p.Tabs,
			ui.Tab{Label: tabTokens, Href: root + "/tokens", Icon: "shield", Current: tab == tabTokens},
			ui.Tab{Label: tabAudit, Href: root + "/audit", Icon: "clock", Current: tab == tabAudit},
			ui.Tab{Label: tabSettings, Href: root + "/settings", Icon: "settings", Current: tab == tabSettings})
	}
}

func projectPath(p *models.Project) string { return "/projects/" + p.Slug }

// actor returns the signed-in user as the actor of a change. It panics on routes that do not require a user.
func (h *Handlers) actor(c echo.Context) models.Actor {
	session, err := h.Sessions.Current(c)
	if err != nil || session == nil {
		panic("actor: the route does not require a user")
	}
	return session.User.Actor(c.RealIP())
}

// withQuery returns a path with query parameters, and without the question mark if there are none.
func withQuery(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}
