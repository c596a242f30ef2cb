package handlers

import (
	"encoding/hex"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// logObject is one request in JSON.
type logObject struct {
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	KeyID      int64           `json:"key_id"`
	KeyName    *string         `json:"key_name"` // as it is called now; null where it is deleted
	Version    int             `json:"version"`
	Type       string          `json:"type"`     // of the key
	Category   string          `json:"category"` // at the time
	Method     string          `json:"method"`
	Path       string          `json:"path"`
	Status     int             `json:"status"`
	Code       requestlog.Code `json:"code"`
	DurationMS float64         `json:"duration_ms"` // of validate
	TTFBMS     *float64        `json:"ttfb_ms"`     // of the app; null where it did not report it
	IP         string          `json:"ip"`
	Credits    int64           `json:"credits"`
	Session    *string         `json:"session"` // hashed; null where none was told
}

func newLogObject(e *models.LogEntry) logObject {
	var ttfb *float64
	if e.TTFBUs.Valid {
		ttfb = new(float64(e.TTFBUs.Int64) / 1000)
	}
	return logObject{
		ID: e.ID.String(), At: e.ID.Time(), KeyID: e.KeyID, KeyName: textOrNull(e.KeyName), Version: e.Version, Type: string(e.Type), Category: e.Category,
		Method: e.Method, Path: e.Path, Status: e.Status, Code: e.Code, DurationMS: float64(e.DurationUs) / 1000, TTFBMS: ttfb,
		IP: e.IP, Credits: e.Credits, Session: textOrNull(hex.EncodeToString(e.SessionHash)),
	}
}

func (h *Handlers) apiLogs(c echo.Context) error {
	ctx, project := c.Request().Context(), caller(c).project
	q := newAPIQuery(c)
	codes := make([]string, len(requestlog.LoggedCodes))
	for i, code := range requestlog.LoggedCodes {
		codes[i] = string(code)
	}
	types := make([]string, len(models.KeyTypes))
	for i, t := range models.KeyTypes {
		types[i] = string(t)
	}
	filter := models.LogFilter{
		KeyID: q.whole("key_id", 0, math.MaxInt64), Type: models.KeyType(q.choice("type", types...)), Category: q.text("category"), Code: requestlog.Code(q.choice("code", codes...)),
		From: q.moment("from"), To: q.moment("to"), Limit: q.limit(),
	}
	filter.StatusClass, _ = parseStatusClass(q.choice("status", statusClasses...))
	var ok bool
	if filter.Method, filter.Path, ok = parseEndpoint(q.text("endpoint")); !ok {
		q.problems["endpoint"] = "Give a path, with or without a method before it."
	}
	if filter.IP, ok = parseIP(q.text("ip")); !ok {
		q.problems["ip"] = "Give an IP address."
	}
	if name := q.text("key"); name != "" {
		id, err := h.Store.KeyIDByName(ctx, project.ID, name)
		switch {
		case models.IsNotFound(err):
			q.problems["key"] = "No key has or had this name."
		case err != nil:
			return err
		case filter.KeyID != 0 && filter.KeyID != id:
			q.problems["key"] = "This name and key_id are of two keys."
		}
		filter.KeyID = id
	}
	q.cursor(func(text string) (ok bool) {
		filter.Before, ok = requestlog.ParseID(text)
		return ok
	})
	if err := q.err(); err != nil {
		return err
	}
	found, err := h.Store.RequestLogs(ctx, project.ID, filter)
	if err != nil {
		return err
	}
	page := apiPage[logObject]{Data: make([]logObject, len(found.Entries))}
	for i := range found.Entries {
		page.Data[i] = newLogObject(&found.Entries[i])
	}
	if n := len(page.Data); n > 0 && found.HasOlder {
		page.NextCursor = &page.Data[n-1].ID
	}
	return c.JSON(http.StatusOK, page)
}

func (h *Handlers) apiLog(c echo.Context) error {
	id, ok := requestlog.ParseID(c.Param("request"))
	if !ok {
		return models.NotFound("request")
	}
	entry, err := h.Store.RequestLog(c.Request().Context(), caller(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, newLogObject(entry))
}
