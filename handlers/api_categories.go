package handlers

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// categoryObject is a label in JSON.
type categoryObject struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in"`
	Keys    int64  `json:"keys"` // that have it, revoked ones included
}

func newCategoryObject(c *models.CategoryUse) categoryObject {
	return categoryObject{ID: c.ID, Name: c.Name, BuiltIn: c.BuiltIn, Keys: c.KeyCount}
}

// apiCategories lists all labels: there are at most 200 of them.
func (h *Handlers) apiCategories(c echo.Context) error {
	if err := newAPIQuery(c).err(); err != nil {
		return err
	}
	list, err := h.Store.CategoryUses(c.Request().Context(), caller(c).project.ID)
	if err != nil {
		return err
	}
	page := apiPage[categoryObject]{Data: make([]categoryObject, len(list))}
	for i := range list {
		page.Data[i] = newCategoryObject(&list[i])
	}
	return c.JSON(http.StatusOK, page)
}

type nameBody struct {
	Name string `json:"name"`
}

func (h *Handlers) apiCreateCategory(c echo.Context) error {
	body, err := apiBody(c)
	if err != nil {
		return err
	}
	var said nameBody
	if err := web.ParseJSON(body, &said); err != nil {
		return err
	}
	actor, err := apiActorOnce(c, body)
	if err != nil {
		return err
	}
	added, err := h.Store.CreateCategory(c.Request().Context(), caller(c).project.ID, actor, said.Name)
	var done models.Done
	switch {
	case errors.As(err, &done):
		c.Response().Header().Set(headerReplayed, "true")
		return goneSince(h.answerCategory(c, http.StatusCreated, done.ObjectID))
	case err != nil:
		return err
	}
	return h.answerCategory(c, http.StatusCreated, added.ID)
}

// answerCategory answers with a label as it is.
func (h *Handlers) answerCategory(c echo.Context, status int, id int64) error {
	category, err := h.Store.Category(c.Request().Context(), caller(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(status, newCategoryObject(category))
}

func (h *Handlers) apiRenameCategory(c echo.Context) error {
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	var said nameBody
	if err := readAPIBody(c, &said); err != nil {
		return err
	}
	if _, err := h.Store.RenameCategory(c.Request().Context(), caller(c).project.ID, id, apiActor(c), said.Name); err != nil {
		return err
	}
	return h.answerCategory(c, http.StatusOK, id)
}

// merged is what a merge of labels gives.
type merged struct {
	Into      categoryObject `json:"into"`
	KeysMoved int64          `json:"keys_moved"`
}

func (h *Handlers) apiMergeCategory(c echo.Context) error {
	ctx, project := c.Request().Context(), caller(c).project
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	var said struct {
		Into int64 `json:"into"`
	}
	if err := readAPIBody(c, &said); err != nil {
		return err
	}
	into, moved, err := h.Store.MergeCategory(ctx, project.ID, id, said.Into, apiActor(c))
	if err != nil {
		return err
	}
	use, err := h.Store.Category(ctx, project.ID, into.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, merged{newCategoryObject(use), moved})
}

func (h *Handlers) apiDeleteCategory(c echo.Context) error {
	id, err := web.PathID(c, "category", "category")
	if err != nil {
		return err
	}
	if _, err := h.Store.DeleteCategory(c.Request().Context(), caller(c).project.ID, id, apiActor(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
