package handlers

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/projects"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

func (h *Handlers) settings(c echo.Context) error {
	m := web.Membership(c)
	return h.renderSettings(c, http.StatusOK, projects.SettingsProps{
		Name: m.Name, KeyPrefix: m.KeyPrefix, QuotaStatus: strconv.Itoa(m.QuotaStatus), Slug: m.Slug,
	})
}

func (h *Handlers) renderSettings(c echo.Context, status int, p projects.SettingsProps) error {
	m := web.Membership(c)
	plan, err := h.Store.ProjectPlan(c.Request().Context(), &m.Project)
	if err != nil {
		return err
	}
	if p.Page, err = h.projectPage(c, "Settings", tabSettings); err != nil {
		return err
	}
	p.Root, p.ID, p.MayChangeSlug = projectPath(&m.Project), m.ID, m.Role.May(models.PermitOwn)
	p.Plan, p.Limits = plan.Plan.Name, planLimits(plan)
	if p.Page.User.Admin {
		p.PlanHref = adminProjectPath(&m.Project)
	}
	return web.Render(c, status, projects.Settings(p))
}

// planLimits returns the limits of a project in the order of the pages for admins.
func planLimits(plan *models.ProjectPlan) []projects.PlanLimit {
	overridden := func(name models.PlanLimit) bool { _, found := plan.Overrides[name]; return found }
	rotation := "No"
	if plan.Limits.Rotation {
		rotation = "Yes"
	}
	list := []projects.PlanLimit{
		{Label: limitLabels[models.LimitRotation], Value: rotation, Override: overridden(models.LimitRotation)},
	}
	for _, name := range models.NumberLimits {
		value := "No limit"
		if n := plan.Limits.Number(name); n != nil {
			value = ui.FormatCount(*n)
		}
		list = append(list, projects.PlanLimit{Label: limitLabels[name], Value: value, Override: overridden(name)})
	}
	return list
}

func (h *Handlers) updateProject(c echo.Context) error {
	m := web.Membership(c)
	p := projects.SettingsProps{
		Name:        c.FormValue("name"),
		KeyPrefix:   c.FormValue("key_prefix"),
		QuotaStatus: c.FormValue("quota_status"),
		Slug:        m.Slug,
	}
	in := models.ProjectInput{Name: p.Name, KeyPrefix: p.KeyPrefix}
	var err error
	if in.QuotaStatus, err = strconv.Atoi(p.QuotaStatus); err != nil {
		in.QuotaStatus = -1 // not a number; the store rejects -1
	}
	project, err := h.Store.UpdateProject(c.Request().Context(), m.ID, h.actor(c), in)
	if err != nil {
		return h.settingsProblem(c, p, err)
	}
	return h.projectChanged(c, project, "The settings were saved.")
}

func (h *Handlers) changeSlug(c echo.Context) error {
	m := web.Membership(c)
	p := projects.SettingsProps{
		Name: m.Name, KeyPrefix: m.KeyPrefix, QuotaStatus: strconv.Itoa(m.QuotaStatus), Slug: c.FormValue("slug"),
	}
	project, err := h.Store.ChangeSlug(c.Request().Context(), m.ID, h.actor(c), p.Slug)
	if err != nil {
		return h.settingsProblem(c, p, err)
	}
	return h.projectChanged(c, project, "The slug is "+project.Slug+" from now on.")
}

// settingsProblem shows the page again with the typed values and the messages.
func (h *Handlers) settingsProblem(c echo.Context, p projects.SettingsProps, err error) error {
	var other error
	if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
		return other
	}
	return h.renderSettings(c, http.StatusUnprocessableEntity, p)
}

// projectChanged answers a change of a project: with a message on its settings page.
func (h *Handlers) projectChanged(c echo.Context, project *models.Project, text string) error {
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
		return err
	}
	return web.Redirect(c, projectPath(project)+"/settings")
}
