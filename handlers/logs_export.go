package handlers

import (
	"context"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// logColumns are the members of a request in JSON, in their order.
var logColumns = []string{
	"id", "at", "key_id", "key_name", "version", "type", "category", "method", "path", "status", "code", "duration_ms", "ttfb_ms", "ip", "credits", "session",
}

func logFields(e *models.LogEntry) []string {
	ttfb := ""
	if e.TTFBUs.Valid {
		ttfb = milliseconds(e.TTFBUs.Int64)
	}
	return []string{
		e.ID.String(), e.ID.Time().UTC().Format(exportTime), strconv.FormatInt(e.KeyID, 10), e.KeyName, strconv.Itoa(e.Version), string(e.Type), e.Category,
		e.Method, e.Path, strconv.Itoa(e.Status), string(e.Code), milliseconds(e.DurationUs), ttfb,
		e.IP, strconv.FormatInt(e.Credits, 10), hex.EncodeToString(e.SessionHash),
	}
}

func milliseconds(us int64) string { return strconv.FormatFloat(float64(us)/1000, 'f', -1, 64) }

func (h *Handlers) exportLogsCSV(c echo.Context) error {
	return h.exportLogs(c, ".csv", csvType, newCSVRows(c, logColumns, logFields))
}

func (h *Handlers) exportLogsJSON(c echo.Context) error {
	return h.exportLogs(c, ".json", echo.MIMEApplicationJSON, newJSONRows(c, func(e *models.LogEntry) any { return newLogObject(e) }))
}

// exportLogs sends what the filter leaves of the requests, newest first. Those that come meanwhile are not in it.
func (h *Handlers) exportLogs(c echo.Context, ending, contentType string, w rowWriter[models.LogEntry]) error {
	// A filter that is dropped would give what was not asked for.
	if _, err := url.ParseQuery(c.QueryString()); err != nil {
		return models.Invalid(map[string]string{"query": "The filter in this address cannot be read."})
	}
	q := readLogQuery(c)
	q.before, q.after = "", ""
	filter, problems, err := h.logFilter(c, q)
	if err != nil {
		return err
	}
	if len(problems) > 0 { // else it would hold more than was asked for
		return models.Invalid(problems)
	}
	m := web.Membership(c)
	filter.Limit = exportBatch
	name := m.Slug + "-requests-" + h.Now().UTC().Format(time.DateOnly) + ending
	return export(h, c, name, contentType, w, func(ctx context.Context) ([]models.LogEntry, bool, error) {
		page, err := h.Store.RequestLogs(ctx, m.ID, filter)
		if n := len(page.Entries); n > 0 {
			filter.Before = page.Entries[n-1].ID
		}
		return page.Entries, page.HasOlder, err
	})
}
