package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/projects"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

// lastHour is how many minutes the overview's chart covers.
const (
	lastHour       = 60
	recentRequests = 10
)

func (h *Handlers) projects(c echo.Context) error {
	page, err := h.page(c, "Projects")
	if err != nil {
		return err
	}
	memberships, err := h.Store.Projects(c.Request().Context(), h.userID(c))
	if err != nil {
		return err
	}
	p := projects.ListProps{Page: page, Now: h.Now(), Zone: web.TimeZone(c)}
	for _, m := range memberships {
		p.Projects = append(p.Projects, projects.Item{
			Name: m.Name, Slug: m.Slug, KeyPrefix: m.KeyPrefix, Role: string(m.Role), CreatedAt: m.CreatedAt,
		})
	}
	return web.Render(c, http.StatusOK, projects.List(p))
}

func (h *Handlers) newProject(c echo.Context) error {
	return h.renderNewProject(c, http.StatusOK, projects.NewProps{KeyPrefix: models.DefaultKeyPrefix})
}

func (h *Handlers) renderNewProject(c echo.Context, status int, p projects.NewProps) error {
	var err error
	if p.Page, err = h.page(c, "New project"); err != nil {
		return err
	}
	return web.Render(c, status, projects.New(p))
}

// createProject answers with the new project's overview, because that response is the only one with the default key's
// secret. A redirect would have to keep the secret somewhere.
func (h *Handlers) createProject(c echo.Context) error {
	form := projects.NewProps{Name: c.FormValue("name"), Slug: c.FormValue("slug"), KeyPrefix: c.FormValue("key_prefix")}
	project, key, secret, err := h.Store.CreateProject(c.Request().Context(), h.actor(c),
		models.ProjectInput{Name: form.Name, Slug: form.Slug, KeyPrefix: form.KeyPrefix})
	if err != nil {
		var other error
		if form.Errors, form.Message, other = formProblem(err); other != nil {
			return other
		}
		return h.renderNewProject(c, http.StatusUnprocessableEntity, form)
	}
	h.Gate.ForgetProject(project.ID)
	p, err := h.overviewProps(c, &models.Membership{Project: *project, Role: models.RoleOwner})
	if err != nil {
		return err
	}
	p.Page.ReplaceURL = projectPath(project)
	p.Secret = h.secretPanel(project, "Your first key, "+key.Name, secret)
	return web.Render(c, http.StatusCreated, projects.Overview(p))
}

func (h *Handlers) overview(c echo.Context) error {
	if isLive(c) {
		return h.overviewLive(c)
	}
	p, err := h.overviewProps(c, web.Membership(c))
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, projects.Overview(p))
}

// overviewLive is what the page asks for every second: nothing while nothing is new.
func (h *Handlers) overviewLive(c echo.Context) error {
	p, err := h.liveProps(c, &web.Membership(c).Project)
	if err != nil {
		return err
	}
	if c.QueryParam("seen") == p.Seen() {
		return c.NoContent(http.StatusNoContent)
	}
	p.SecretShown = c.QueryParam("secret") == "shown"
	return web.Render(c, http.StatusOK, projects.Live(p))
}

func (h *Handlers) overviewProps(c echo.Context, m *models.Membership) (projects.OverviewProps, error) {
	var p projects.OverviewProps
	var err error
	if p.Page, err = h.page(c, "Overview"); err != nil {
		return p, err
	}
	fillProject(&p.Page, m, tabOverview)
	p.KeyPrefix = m.KeyPrefix
	p.CanWrite = m.Role.May(models.PermitWriteKeys)
	p.Live, err = h.liveProps(c, &m.Project)
	return p, err
}

func (h *Handlers) liveProps(c echo.Context, project *models.Project) (projects.LiveProps, error) {
	ctx := c.Request().Context()
	p := projects.LiveProps{
		Root: projectPath(project), Now: h.Now(), Zone: web.TimeZone(c),
		Curl: h.curl(project, "$API_KEY"), EnvLine: `export API_KEY="paste the key here"`,
	}
	usage, err := h.Store.UsageByMinute(ctx, project.ID, lastHour)
	if err != nil {
		return p, err
	}
	for _, m := range usage {
		p.Minutes = append(p.Minutes, projects.Minute(m))
	}
	recent, err := h.Store.RequestLogs(ctx, project.ID, models.LogFilter{Limit: recentRequests})
	if err != nil {
		return p, err
	}
	p.Recent = logEntries(recent.Entries)
	p.ActiveKeys, err = h.Store.CountActiveKeys(ctx, project.ID)
	return p, err
}

// secretPanel is what is shown of a secret this once, with commands that work as they are.
func (h *Handlers) secretPanel(project *models.Project, title string, secret models.Secret) *ui.SecretProps {
	return &ui.SecretProps{
		Title: title, Secret: secret.Plain(),
		EnvLine: strings.ToUpper(strings.ReplaceAll(project.Slug, "-", "_")) + "_API_KEY=" + secret.Plain(),
		Curl:    h.curl(project, secret.Plain()),
	}
}

// curl is a command that validates key; a variable of the shell stays one.
func (h *Handlers) curl(project *models.Project, key string) string {
	return `curl -H "X-API-Key: ` + key + `" ` + h.BaseURL + "/v1/projects/" + project.Slug + "/validate"
}

// isLive tells whether a page that stays open asks for news of its live part.
func isLive(c echo.Context) bool { return web.IsPartial(c) && c.QueryParams().Has("seen") }
