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

const (
	chartMinutes   = 60 // of the chart on the overview
	recentRequests = 10
)

func (h *Handlers) projects(c echo.Context) error {
	page, err := h.page(c, "Projects")
	if err != nil {
		return err
	}
	memberships, err := h.Store.Projects(c.Request().Context(), h.actor(c).ID)
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

// createProject answers with the overview of the new project, which shows the secret of the default key. No other
// response has it: a redirect would have to store the secret.
func (h *Handlers) createProject(c echo.Context) error {
	form := projects.NewProps{
		Name:      c.FormValue("name"),
		Slug:      c.FormValue("slug"),
		KeyPrefix: c.FormValue("key_prefix"),
	}
	project, key, secret, err := h.Store.CreateProject(c.Request().Context(), h.actor(c),
		models.ProjectInput{Name: form.Name, Slug: form.Slug, KeyPrefix: form.KeyPrefix})
	if err != nil {
		var other error
		if form.Errors, form.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderNewProject(c, http.StatusUnprocessableEntity, form)
	}
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

// overviewLive answers the polls of the page: with the live part, or 204 if it did not change.
func (h *Handlers) overviewLive(c echo.Context) error {
	p, changed, err := h.liveProps(c, &web.Membership(c).Project, c.QueryParam("seen"))
	if err != nil {
		return err
	}
	if !changed {
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
	h.fillProject(&p.Page, m, tabOverview)
	p.KeyPrefix = m.KeyPrefix
	p.CanWrite = m.Role.May(models.PermitWriteKeys)
	p.Live, _, err = h.liveProps(c, &m.Project, "")
	return p, err
}

// liveProps returns the live part of the overview. If it is still the same as seen, changed is false and p is not
// complete: open pages poll often, so the rest is not read then.
func (h *Handlers) liveProps(
	c echo.Context, project *models.Project, seen string,
) (p projects.LiveProps, changed bool, err error) {
	ctx := c.Request().Context()
	p = projects.LiveProps{
		Root: projectPath(project), Now: h.Now(), Zone: web.TimeZone(c),
		Curl: h.curl(project, "$API_KEY"), EnvLine: `export API_KEY="paste the key here"`,
	}
	recent, err := h.Store.RequestLogs(ctx, project.ID, models.LogFilter{Limit: recentRequests})
	if err != nil {
		return p, false, err
	}
	p.Recent = logEntries(recent.Entries)
	if p.Seen() == seen {
		return p, false, nil
	}
	usage, err := h.Store.UsageByMinute(ctx, project.ID, chartMinutes)
	if err != nil {
		return p, false, err
	}
	for _, m := range usage {
		p.Minutes = append(p.Minutes, projects.Minute(m))
	}
	p.ActiveKeys, err = h.Store.CountActiveKeys(ctx, project.ID)
	return p, true, err
}

// secretPanel returns the panel of a new secret, with commands that work as they are.
func (h *Handlers) secretPanel(project *models.Project, title string, secret models.Secret) *ui.SecretProps {
	return &ui.SecretProps{
		Title: title, Secret: secret.Plain(),
		EnvLine: envLine(project, "API_KEY", secret),
		Curl:    h.curl(project, secret.Plain()),
	}
}

// envLine returns a line that sets a variable, named after the project, to the secret.
func envLine(project *models.Project, name string, secret models.Secret) string {
	return strings.ToUpper(strings.ReplaceAll(project.Slug, "-", "_")) + "_" + name + "=" + secret.Plain()
}

// curl returns a command that validates key, which may be a variable of the shell.
func (h *Handlers) curl(project *models.Project, key string) string {
	return `curl -H "X-API-Key: ` + key + `" ` + h.BaseURL + "/v1/projects/" + project.Slug + "/validate"
}

// isLive reports whether the request is a poll for the live part of a page.
func isLive(c echo.Context) bool { return web.IsPartial(c) && c.QueryParams().Has("seen") }
