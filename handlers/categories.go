package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/categories"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

func (h *Handlers) categories(c echo.Context) error {
	m := web.Membership(c)
	list, err := h.Store.CategoryUses(c.Request().Context(), m.ID)
	if err != nil {
		return err
	}
	p := categories.ListProps{Root: projectPath(&m.Project), CanWrite: m.Role.May(models.PermitWriteKeys)}
	if p.Page, err = h.projectPage(c, "Categories", tabCategories); err != nil {
		return err
	}
	for _, category := range list {
		p.Categories = append(p.Categories, categoryItem(&m.Project, &category))
	}
	return web.Render(c, http.StatusOK, categories.List(p))
}

func categoryItem(project *models.Project, c *models.CategoryUse) categories.Item {
	query := url.Values{"category": {c.Name}}.Encode()
	return categories.Item{
		ID: c.ID, Name: c.Name, BuiltIn: c.BuiltIn, Keys: c.KeyCount,
		KeysHref: projectPath(project) + "/keys?" + query, LogsHref: projectPath(project) + "/logs?" + query,
	}
}

func (h *Handlers) addCategory(c echo.Context) error {
	return h.renderNewCategory(c, http.StatusOK, categories.NewProps{})
}

func (h *Handlers) renderNewCategory(c echo.Context, status int, p categories.NewProps) error {
	var err error
	if p.Page, err = h.projectPage(c, "New category", tabCategories); err != nil {
		return err
	}
	p.Root = projectPath(&web.Membership(c).Project)
	return web.Render(c, status, categories.New(p))
}

func (h *Handlers) createCategory(c echo.Context) error {
	m, p := web.Membership(c), categories.NewProps{Name: c.FormValue("name")}
	added, err := h.Store.CreateCategory(c.Request().Context(), m.ID, h.actor(c), p.Name)
	if err != nil {
		var other error
		if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderNewCategory(c, http.StatusUnprocessableEntity, p)
	}
	return h.categoryChanged(c, "The category "+added.Name+" was added.")
}

// categoryOf returns the category that the path names. Error: [models.CodeConflict] if it is built in.
func (h *Handlers) categoryOf(c echo.Context) (*models.CategoryUse, error) {
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return nil, err
	}
	category, err := h.Store.Category(c.Request().Context(), web.Membership(c).ID, id)
	if err != nil {
		return nil, err
	}
	if why := category.BlockedReason(); why != "" {
		return nil, models.Conflict(why)
	}
	return category, nil
}

func (h *Handlers) editCategory(c echo.Context) error {
	category, err := h.categoryOf(c)
	if err != nil {
		return err
	}
	return h.renderCategory(c, http.StatusOK, category, categories.EditProps{Name: category.Name})
}

func (h *Handlers) renderCategory(
	c echo.Context, status int, category *models.CategoryUse, p categories.EditProps,
) error {
	m := web.Membership(c)
	var err error
	if p.Page, err = h.projectPage(c, category.Name, tabCategories); err != nil {
		return err
	}
	list, err := h.Store.Categories(c.Request().Context(), m.ID)
	if err != nil {
		return err
	}
	for _, other := range list {
		if other.ID != category.ID {
			p.Others = append(p.Others, categories.Choice{ID: other.ID, Name: other.Name})
		}
	}
	p.Root, p.Category = projectPath(&m.Project), categoryItem(&m.Project, category)
	p.DeleteBlockedReason = category.DeleteBlockedReason()
	return web.Render(c, status, categories.Edit(p))
}

func (h *Handlers) renameCategory(c echo.Context) error {
	m := web.Membership(c)
	category, err := h.categoryOf(c)
	if err != nil {
		return err
	}
	p := categories.EditProps{Name: c.FormValue("name")}
	renamed, err := h.Store.RenameCategory(c.Request().Context(), m.ID, category.ID, h.actor(c), p.Name)
	if err != nil {
		return h.categoryProblem(c, category, p, err)
	}
	return h.categoryChanged(c, "The category "+category.Name+" was renamed to "+renamed.Name+".")
}

func (h *Handlers) mergeCategory(c echo.Context) error {
	m := web.Membership(c)
	category, err := h.categoryOf(c)
	if err != nil {
		return err
	}
	p := categories.EditProps{Name: category.Name}
	p.Into, _ = strconv.ParseInt(c.FormValue("into"), 10, 64) // 0 if it is not a number; no category has the id 0
	into, moved, err := h.Store.MergeCategory(c.Request().Context(), m.ID, category.ID, p.Into, h.actor(c))
	if err != nil {
		return h.categoryProblem(c, category, p, err)
	}
	text := fmt.Sprintf("%s was merged into %s, with %d keys.", category.Name, into.Name, moved)
	if moved == 1 {
		text = category.Name + " was merged into " + into.Name + ", with one key."
	}
	return h.categoryChanged(c, text)
}

// categoryProblem shows the page of the category again with the typed values and the messages.
func (h *Handlers) categoryProblem(
	c echo.Context, category *models.CategoryUse, p categories.EditProps, err error,
) error {
	fields, message, other := web.FieldProblems(err)
	if other != nil {
		return other
	}
	if len(fields) == 0 {
		return err
	}
	p.Errors, p.Message = fields, message
	return h.renderCategory(c, http.StatusUnprocessableEntity, category, p)
}

func (h *Handlers) deleteCategory(c echo.Context) error {
	category, err := h.categoryOf(c)
	if err != nil {
		return err
	}
	_, err = h.Store.DeleteCategory(c.Request().Context(), web.Membership(c).ID, category.ID, h.actor(c))
	if err != nil {
		return err
	}
	return h.categoryChanged(c, "The category "+category.Name+" was deleted.")
}

// categoryChanged answers a change of a category: with a message on the list of categories.
func (h *Handlers) categoryChanged(c echo.Context, text string) error {
	m := web.Membership(c)
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
		return err
	}
	return web.Redirect(c, projectPath(&m.Project)+"/categories")
}
