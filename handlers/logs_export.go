package handlers

import (
	"context"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

func (h *Handlers) exportLogsCSV(c echo.Context) error {
	return h.exportLogs(c, ".csv", web.CSVType, web.NewCSVRows(c, web.LogColumns, web.LogFields))
}

func (h *Handlers) exportLogsJSON(c echo.Context) error {
	return h.exportLogs(c, ".json", echo.MIMEApplicationJSON,
		web.NewJSONRows(c, func(e *models.LogEntry) any { return web.NewLogObject(e) }))
}

// exportLogs sends the requests that match the filter, newest first. Requests made during the export are not in it.
func (h *Handlers) exportLogs(c echo.Context, ending, contentType string, w web.RowWriter[models.LogEntry]) error {
	// Without this check a malformed filter would be ignored, and the export would have other rows than expected.
	if _, err := url.ParseQuery(c.QueryString()); err != nil {
		return models.Invalid(map[string]string{"query": "The filter in this URL cannot be read."})
	}
	q := readLogQuery(c)
	q.before, q.after = "", ""
	filter, problems, err := h.logFilter(c, q)
	if err != nil {
		return err
	}
	if len(problems) > 0 { // otherwise the export would have more rows than expected
		return models.Invalid(problems)
	}
	m := web.Membership(c)
	filter.Limit = web.ExportBatch
	name := m.Slug + "-requests-" + h.Now().UTC().Format(time.DateOnly) + ending
	return web.Export(c, h.Log, name, contentType, w, func(ctx context.Context) ([]models.LogEntry, bool, error) {
		page, err := h.Store.RequestLogs(ctx, m.ID, filter)
		if n := len(page.Entries); n > 0 {
			filter.Before = page.Entries[n-1].ID
		}
		return page.Entries, page.HasOlder, err
	})
}
