package api

import (
	"math"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// logProblems has the messages about parameters of the filter.
var logProblems = map[string]string{
	"type":     chooseOneOf(models.KeyTypes),
	"code":     chooseOneOf(requestlog.LoggedCodes),
	"status":   chooseOneOf(web.StatusClasses),
	"endpoint": "Use a path, with or without a method before it.",
	"ip":       "Use an IP address.",
	"key":      "No key has or had this name.",
}

func (a *API) listLogs(c echo.Context) error {
	ctx, project := c.Request().Context(), callerOf(c).project
	q := newQuery(c)
	text := web.LogFilter{
		Key: q.text("key"), Type: q.text("type"), Category: q.text("category"), Code: q.text("code"),
		Status: q.text("status"), Endpoint: q.text("endpoint"), IP: q.text("ip"),
	}
	filter, wrong, err := text.Parse(ctx, a.Store, project.ID)
	if err != nil {
		return err
	}
	for _, name := range wrong {
		q.problems[name] = logProblems[name]
	}
	filter.From, filter.To, filter.Limit = q.moment("from"), q.moment("to"), q.limit()
	switch id := q.whole("key_id", 0, math.MaxInt64); {
	case filter.KeyID == 0:
		filter.KeyID = id
	case id != 0 && filter.KeyID > 0 && id != filter.KeyID:
		q.problems["key"] = "This name and key_id belong to different keys."
	}
	q.cursor(func(text string) (ok bool) {
		filter.Before, ok = requestlog.ParseID(text)
		return ok
	})
	if err := q.err(); err != nil {
		return err
	}
	found, err := a.Store.RequestLogs(ctx, project.ID, filter)
	if err != nil {
		return err
	}
	page := page[web.LogObject]{Data: make([]web.LogObject, len(found.Entries))}
	for i := range found.Entries {
		page.Data[i] = web.NewLogObject(&found.Entries[i])
	}
	if n := len(page.Data); n > 0 && found.HasOlder {
		page.NextCursor = &page.Data[n-1].ID
	}
	return c.JSON(http.StatusOK, page)
}

func (a *API) showLog(c echo.Context) error {
	id, ok := requestlog.ParseID(c.Param("request"))
	if !ok {
		return models.NotFound("request")
	}
	entry, err := a.Store.RequestLog(c.Request().Context(), callerOf(c).project.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, web.NewLogObject(entry))
}
