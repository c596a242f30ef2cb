package api

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// categoryObject is a category in JSON.
type categoryObject struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in"`
	Keys    int64  `json:"keys"` // in the category, including revoked ones
}

func newCategoryObject(c *models.CategoryUse) categoryObject {
	return categoryObject{ID: c.ID, Name: c.Name, BuiltIn: c.BuiltIn, Keys: c.KeyCount}
}

// listCategories lists all categories. A project has at most 200.
func (a *API) listCategories(c echo.Context) error {
	if err := newQuery(c).err(); err != nil {
		return err
	}
	list, err := a.Store.CategoryUses(c.Request().Context(), callerOf(c).project.ID)
	if err != nil {
		return err
	}
	page := page[categoryObject]{Data: make([]categoryObject, len(list))}
	for i := range list {
		page.Data[i] = newCategoryObject(&list[i])
	}
	return c.JSON(http.StatusOK, page)
}

type nameBody struct {
	Name string `json:"name"`
}

func (a *API) createCategory(c echo.Context) error {
	body, err := rawBody(c)
	if err != nil {
		return err
	}
	var in nameBody
	if err := web.ParseJSON(body, &in); err != nil {
		return err
	}
	actor, err := idempotentActor(c, body)
	if err != nil {
		return err
	}
	added, err := a.Store.CreateCategory(c.Request().Context(), callerOf(c).project.ID, actor, in.Name)
	var applied models.AlreadyApplied
	switch {
	case errors.As(err, &applied):
		c.Response().Header().Set(headerReplayed, "true")
		return deletedSince(a.answerCategory(c, http.StatusCreated, applied.ObjectID))
	case err != nil:
		return err
	}
	return a.answerCategory(c, http.StatusCreated, added.ID)
}

// answerCategory answers with a category.
func (a *API) answerCategory(c echo.Context, status int, id int64) error {
	category, err := a.Store.Category(c.Request().Context(), callerOf(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(status, newCategoryObject(category))
}

func (a *API) renameCategory(c echo.Context) error {
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	var in nameBody
	if err := readBody(c, &in); err != nil {
		return err
	}
	ctx, project := c.Request().Context(), callerOf(c).project
	if _, err := a.Store.RenameCategory(ctx, project.ID, id, actorOf(c), in.Name); err != nil {
		return err
	}
	return a.answerCategory(c, http.StatusOK, id)
}

// merged is the reply to a merge of categories.
type merged struct {
	Into      categoryObject `json:"into"`
	KeysMoved int64          `json:"keys_moved"`
}

func (a *API) mergeCategory(c echo.Context) error {
	ctx, project := c.Request().Context(), callerOf(c).project
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	var in struct {
		Into int64 `json:"into"`
	}
	if err := readBody(c, &in); err != nil {
		return err
	}
	into, moved, err := a.Store.MergeCategory(ctx, project.ID, id, in.Into, actorOf(c))
	if err != nil {
		return err
	}
	use, err := a.Store.Category(ctx, project.ID, into.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, merged{newCategoryObject(use), moved})
}

func (a *API) deleteCategory(c echo.Context) error {
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	if _, err := a.Store.DeleteCategory(c.Request().Context(), callerOf(c).project.ID, id, actorOf(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
