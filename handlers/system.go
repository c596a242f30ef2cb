package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/views/dev"
	"github.com/claviger/claviger/views/problem"
	"github.com/claviger/claviger/web"
)

const readyTimeout = 2 * time.Second

type status struct {
	Status string `json:"status"`
}

// healthy says that the process runs. It is the plainest JSON route there is: what validate is measured against.
func (h *Handlers) healthy(c echo.Context) error { return c.JSON(http.StatusOK, status{"ok"}) }

// ready says whether requests should be sent here: not while the process ends, without its database, or while the
// request log cannot be written.
func (h *Handlers) ready(c echo.Context) error {
	if h.draining.Load() {
		return c.JSON(http.StatusServiceUnavailable, status{"shutting down"})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if log := h.Gate.Recording(); log.Behind { // first: it knows the reason
		return c.JSON(http.StatusServiceUnavailable, status{"the request log cannot be written: " + log.Reason})
	}
	if err := h.Store.Ping(ctx); err != nil {
		h.Log.Error("not ready", "error", err)
		return c.JSON(http.StatusServiceUnavailable, status{"the database does not answer"})
	}
	return c.JSON(http.StatusOK, status{"ready"})
}

func (h *Handlers) components(c echo.Context) error {
	return web.Render(c, http.StatusOK, dev.Components(h.Now()))
}

// errorPage shows a problem. Where even the navigation cannot be read, it goes without.
func (h *Handlers) errorPage(c echo.Context, p web.Problem, partial bool) templ.Component {
	props := problem.Props{Status: p.Status, Message: p.Message}
	if p.Status >= 500 {
		props.RequestID = p.RequestID
		if trouble := logBanner(h.Gate.Recording()); trouble != nil { // most likely why
			props.Message = trouble.Title + ". Pages that need the database cannot be shown until it can."
		}
	}
	if partial {
		return problem.Part(props)
	}
	page, err := h.page(c, http.StatusText(p.Status))
	if err != nil {
		page.User, page.Projects = nil, nil
	}
	props.Page = page
	return problem.Page(props)
}
