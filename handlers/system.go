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

// healthy answers 200 as long as the process runs. Benchmarks compare validate with it, because it is the simplest
// route with JSON.
func (h *Handlers) healthy(c echo.Context) error { return c.JSON(http.StatusOK, status{"ok"}) }

// ready answers 200 if requests should be sent to this process. It answers 503 while the process shuts down, while the
// database does not answer, and while the request log cannot be written.
func (h *Handlers) ready(c echo.Context) error {
	if h.draining.Load() {
		return c.JSON(http.StatusServiceUnavailable, status{"shutting down"})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if log := h.Gate.Recording(); log.Behind { // before the ping, because it has the reason
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

// errorPage shows a problem. If the data of the navigation cannot be read, the page has none.
func (h *Handlers) errorPage(c echo.Context, p web.Problem, partial bool) templ.Component {
	props := problem.Props{Status: p.Status, Message: p.Message}
	if p.Status >= 500 {
		props.RequestID = p.RequestID
		if banner := logBanner(h.Gate.Recording()); banner != nil { // most likely the cause
			props.Message = banner.Title + ". Pages that need the database cannot be shown until then."
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
