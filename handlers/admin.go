package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/instance"
	"github.com/claviger/claviger/views/layout"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

// Paths and tabs of the pages for admins of the instance.
const (
	adminRoot       = "/admin"
	tabPlans        = "Plans"
	tabProjects     = "Projects"
	projectsPerPage = 50
)

// limitLabels are the labels of the limits of a plan.
var limitLabels = map[models.PlanLimit]string{
	models.LimitActiveKeys:       "Active keys",
	models.LimitRotation:         "Rotation",
	models.LimitProjectPerSecond: "Project, per second",
	models.LimitProjectPerMinute: "Project, per minute",
	models.LimitKeyPerMinute:     "Key, per minute",
	models.LimitIPPerMinute:      "Address, per minute",
	models.LimitSessionPerMinute: "Session, per minute", models.LimitLogDays: "Logs kept, days",
}

// adminPage is [Handlers.page] for the routes of the instance.
func (h *Handlers) adminPage(c echo.Context, title, tab string) (layout.PageProps, error) {
	p, err := h.page(c, title+" · Instance")
	p.Tabs = []ui.Tab{
		{Label: tabPlans, Href: adminRoot + "/plans", Icon: "chart", Current: tab == tabPlans},
		{Label: tabProjects, Href: adminRoot + "/projects", Icon: "folder", Current: tab == tabProjects},
		{Label: tabAudit, Href: adminRoot + "/audit", Icon: "clock", Current: tab == tabAudit},
	}
	return p, err
}

func (h *Handlers) plans(c echo.Context) error {
	return h.renderPlans(c, http.StatusOK, instance.PlansProps{})
}

func (h *Handlers) renderPlans(c echo.Context, status int, p instance.PlansProps) error {
	plans, defaultID, err := h.Store.Plans(c.Request().Context())
	if err != nil {
		return err
	}
	if p.Page, err = h.adminPage(c, "Plans", tabPlans); err != nil {
		return err
	}
	for _, name := range models.NumberLimits {
		p.Columns = append(p.Columns, limitLabels[name])
	}
	for _, plan := range plans {
		item := instance.Plan{ID: plan.ID, Name: plan.Name, Default: plan.ID == defaultID, Rotation: plan.Rotation}
		for _, name := range models.NumberLimits {
			item.Numbers = append(item.Numbers, plan.Number(name))
		}
		p.Plans = append(p.Plans, item)
	}
	return web.Render(c, status, instance.Plans(p))
}

func (h *Handlers) setDefaultPlan(c echo.Context) error {
	id, _ := strconv.ParseInt(c.FormValue("plan"), 10, 64) // 0 if it is not a number; no plan has the id 0
	plan, err := h.Store.SetDefaultPlan(c.Request().Context(), h.actor(c), id)
	if models.IsNotFound(err) {
		return h.renderPlans(c, http.StatusUnprocessableEntity, instance.PlansProps{
			DefaultError: "Choose one of the options.",
		})
	}
	if err != nil {
		return err
	}
	return h.adminDone(c, "New projects get the "+plan.Name+" plan.", adminRoot+"/plans")
}

func (h *Handlers) adminDone(c echo.Context, text, target string) error {
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
		return err
	}
	return web.Redirect(c, target)
}

// planOf returns the plan that the path names.
func (h *Handlers) planOf(c echo.Context) (*models.Plan, error) {
	id, err := web.PathID(c, "plan", "plan")
	if err != nil {
		return nil, err
	}
	return h.Store.Plan(c.Request().Context(), id)
}

func (h *Handlers) editPlan(c echo.Context) error {
	plan, err := h.planOf(c)
	if err != nil {
		return err
	}
	p := instance.PlanProps{Rotation: plan.Rotation}
	for _, name := range models.NumberLimits {
		p.Fields = append(p.Fields, instance.Field{
			Name:  string(name),
			Label: limitLabels[name],
			Value: numberText(plan.Number(name)),
		})
	}
	return h.renderPlan(c, http.StatusOK, plan, p)
}

func (h *Handlers) renderPlan(c echo.Context, status int, plan *models.Plan, p instance.PlanProps) error {
	var err error
	if p.Page, err = h.adminPage(c, plan.Name, tabPlans); err != nil {
		return err
	}
	p.ID, p.Name = plan.ID, plan.Name
	return web.Render(c, status, instance.EditPlan(p))
}

func (h *Handlers) updatePlan(c echo.Context) error {
	before, err := h.planOf(c)
	if err != nil {
		return err
	}
	limits := models.PlanLimits{Rotation: c.FormValue("rotation") == "true"}
	p, problems := instance.PlanProps{Rotation: limits.Rotation}, map[string]string{}
	for _, name := range models.NumberLimits {
		text := c.FormValue(string(name))
		p.Fields = append(p.Fields, instance.Field{Name: string(name), Label: limitLabels[name], Value: text})
		limits.SetNumber(name,
			parseWhole(string(name), text, "Enter a whole number, or leave it empty for no limit.", problems))
	}
	var plan *models.Plan
	if len(problems) > 0 {
		err = web.WithProblems(problems, limits.Check())
	} else {
		plan, err = h.Store.UpdatePlan(c.Request().Context(), h.actor(c), before.ID, limits)
	}
	if err != nil {
		var other error
		if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderPlan(c, http.StatusUnprocessableEntity, before, p)
	}
	return h.adminDone(c, "The "+plan.Name+" plan was saved.", adminRoot+"/plans")
}

func (h *Handlers) adminProjects(c echo.Context) error {
	p := instance.ProjectsProps{Search: strings.TrimSpace(web.QueryText(c.QueryParam("q")))}
	before, _ := strconv.ParseInt(c.QueryParam("before"), 10, 64)
	list, next, err := h.Store.ProjectUses(c.Request().Context(), models.ProjectFilter{
		Search: p.Search,
		Before: before,
		Limit:  projectsPerPage,
	})
	if err != nil {
		return err
	}
	if p.Page, err = h.adminPage(c, "Projects", tabProjects); err != nil {
		return err
	}
	for _, project := range list {
		p.Projects = append(p.Projects, instance.Project{
			Href:       adminProjectPath(&project.Project),
			Name:       project.Name,
			Slug:       project.Slug,
			Plan:       project.PlanName,
			Overrides:  project.OverrideCount,
			ActiveKeys: project.ActiveKeyCount,
			CreatedAt:  project.CreatedAt,
		})
	}
	p.Now, p.Zone = h.Now(), web.TimeZone(c)
	query := c.QueryParams()
	if before > 0 {
		p.NewestHref = withQuery(adminRoot+"/projects", without(query, "before"))
	}
	if next > 0 {
		older := without(query, "before")
		older.Set("before", strconv.FormatInt(next, 10))
		p.OlderHref = withQuery(adminRoot+"/projects", older)
	}
	return web.Render(c, http.StatusOK, instance.Projects(p))
}

func adminProjectPath(p *models.Project) string {
	return adminRoot + "/projects/" + strconv.FormatInt(p.ID, 10)
}

// noLimit is the value of an override for "no limit". An empty field means the limit of the plan.
const noLimit = "none"

func (h *Handlers) editProjectPlan(c echo.Context) error {
	ctx := c.Request().Context()
	project, err := h.Store.Project(ctx, c.Param("project"))
	if err != nil {
		return err
	}
	plan, err := h.Store.ProjectPlan(ctx, project)
	if err != nil {
		return err
	}
	p := instance.ProjectProps{Plan: plan.Plan.ID}
	if value, overridden := plan.Overrides[models.LimitRotation]; overridden {
		p.Rotation = strconv.FormatInt(*value, 10)
	}
	for _, name := range models.NumberLimits {
		field := instance.Field{Name: string(name), Label: limitLabels[name]}
		if value, overridden := plan.Overrides[name]; overridden && value == nil {
			field.Value = noLimit
		} else if overridden {
			field.Value = numberText(value)
		}
		p.Fields = append(p.Fields, field)
	}
	return h.renderProjectPlan(c, http.StatusOK, project, p)
}

func (h *Handlers) renderProjectPlan(
	c echo.Context, status int, project *models.Project, p instance.ProjectProps,
) error {
	ctx := c.Request().Context()
	plans, _, err := h.Store.Plans(ctx)
	if err != nil {
		return err
	}
	if p.Page, err = h.adminPage(c, project.Name, tabProjects); err != nil {
		return err
	}
	if p.ActiveKeys, err = h.Store.CountActiveKeys(ctx, project.ID); err != nil {
		return err
	}
	p.ID, p.Name, p.Slug = project.ID, project.Name, project.Slug
	for _, plan := range plans {
		p.Plans = append(p.Plans, ui.Option{
			Value:    strconv.FormatInt(plan.ID, 10),
			Label:    plan.Name,
			Selected: plan.ID == p.Plan,
		})
		if plan.ID == project.PlanID {
			for i := range p.Fields {
				p.Fields[i].Hint = "Plan: " + limitText(plan.Number(models.PlanLimit(p.Fields[i].Name)))
			}
		}
	}
	return web.Render(c, status, instance.EditProject(p))
}

func (h *Handlers) changeProjectPlan(c echo.Context) error {
	ctx := c.Request().Context()
	project, err := h.Store.Project(ctx, c.Param("project"))
	if err != nil {
		return err
	}
	p := instance.ProjectProps{Rotation: c.FormValue("rotation")}
	problems, overrides := map[string]string{}, models.Overrides{}
	p.Plan, _ = strconv.ParseInt(c.FormValue("plan"), 10, 64) // 0 if it is not a number; no plan has the id 0
	if p.Rotation != "" {
		overrides[models.LimitRotation] = parseWhole(
			string(models.LimitRotation), p.Rotation, "Choose one of the options.", problems)
	}
	for _, name := range models.NumberLimits {
		text := strings.ToLower(strings.TrimSpace(c.FormValue(string(name))))
		p.Fields = append(p.Fields, instance.Field{Name: string(name), Label: limitLabels[name], Value: text})
		switch text {
		case "":
		case noLimit:
			overrides[name] = nil
		default:
			overrides[name] = parseWhole(
				string(name), text, "Enter a whole number or none, or leave it empty.", problems)
		}
	}
	if len(problems) > 0 {
		err = web.WithProblems(problems, overrides.Check())
	} else {
		_, err = h.Store.ChangeProjectPlan(ctx, h.actor(c), project.ID, p.Plan, overrides)
	}
	if err != nil {
		var other error
		if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderProjectPlan(c, http.StatusUnprocessableEntity, project, p)
	}
	return h.adminDone(c, "The plan of "+project.Name+" was saved.", adminProjectPath(project))
}

func numberText(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func limitText(n *int64) string {
	if n == nil {
		return noLimit
	}
	return ui.FormatCount(*n)
}
