package handlers

import (
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/views/logs"
	"github.com/claviger/claviger/web"
)

const (
	logsPerPage   = 50
	suggestedKeys = 50
	liveOff       = "off"
)

func (h *Handlers) logs(c echo.Context) error {
	ctx, m := c.Request().Context(), web.Membership(c)
	q := readLogQuery(c)
	filter, problems, err := h.logFilter(c, q)
	if err != nil {
		return err
	}
	page, err := h.Store.RequestLogs(ctx, m.ID, filter)
	if err != nil {
		return err
	}
	list := h.logList(c, q, page)
	if isLive(c) {
		if c.QueryParam("seen") == list.Seen() {
			return c.NoContent(http.StatusNoContent)
		}
		return web.Render(c, http.StatusOK, logs.Rows(list))
	}

	p := logs.ListProps{
		Root: list.Root, List: list, Problems: problems,
		Key: q.Key, Type: q.Type, Category: q.Category, Code: q.Code, Status: q.Status, Endpoint: q.Endpoint,
		IP: q.IP, Range: q.timeRange, From: q.from, To: q.to, TimeZone: q.zone, Custom: web.CustomRange,
	}
	if len(problems) == 0 {
		p.CSVHref = withQuery(list.Root+"/logs.csv", q.values())
		p.JSONHref = withQuery(list.Root+"/logs.json", q.values())
	}
	if p.Page, err = h.projectPage(c, "Logs", tabLogs); err != nil {
		return err
	}
	if p.KeyNames, err = h.Store.RecentKeyNames(ctx, m.ID, suggestedKeys); err != nil {
		return err
	}
	names, err := h.categoryNames(c)
	if err != nil {
		return err
	}
	// The log has the category at the time of a request, which may have been renamed or deleted since.
	if q.Category != "" && !slices.Contains(names, q.Category) {
		names = append(names, q.Category)
	}
	for _, name := range names {
		p.Categories = append(p.Categories, logs.Choice{Value: name, Label: name})
	}
	for _, code := range requestlog.LoggedCodes {
		p.Codes = append(p.Codes, logs.Choice{Value: string(code), Label: codeLabel(code)})
	}
	for _, class := range web.StatusClasses {
		p.Statuses = append(p.Statuses, logs.Choice{Value: class, Label: class})
	}
	for _, r := range web.TimeRanges {
		p.Ranges = append(p.Ranges, logs.Choice{Value: r.Value, Label: r.Label})
	}
	return web.Render(c, http.StatusOK, logs.List(p))
}

// logList returns the part of the page with the rows. It is live, so that new rows appear, only on the newest page.
func (h *Handlers) logList(c echo.Context, q logQuery, page models.LogPage) logs.RowsProps {
	m := web.Membership(c)
	root := projectPath(&m.Project)
	withParam := func(name, value string) string {
		v := q.values()
		if name != "" {
			v.Set(name, value)
		}
		return withQuery(root+"/logs", v)
	}
	list := logs.RowsProps{
		Root:     root,
		Now:      h.Now(),
		Zone:     web.TimeZone(c),
		Entries:  logEntries(page.Entries),
		Filtered: len(q.values()) > 0,
		Curl:     h.curl(&m.Project, "$API_KEY"),
	}
	newest := q.before == "" && q.after == ""
	list.Live = newest && c.QueryParam("live") != liveOff
	if newest {
		if list.Live {
			list.PauseHref, list.PollHref = withParam("live", liveOff), withParam("", "")
		} else {
			list.ResumeHref = withParam("", "")
		}
	}
	if n := len(page.Entries); n > 0 {
		if page.HasNewer {
			list.NewerHref = withParam("after", page.Entries[0].ID.String())
		}
		if page.HasOlder {
			list.OlderHref = withParam("before", page.Entries[n-1].ID.String())
		}
	}
	if !newest && list.NewerHref == "" {
		list.NewerHref = withParam("", "")
	}
	return list
}

func (h *Handlers) log(c echo.Context) error {
	m := web.Membership(c)
	id, ok := requestlog.ParseID(c.Param("request"))
	if !ok {
		return models.NotFound("request")
	}
	entry, err := h.Store.RequestLog(c.Request().Context(), m.ID, id)
	if err != nil {
		return err
	}
	p := logs.ShowProps{
		Root: projectPath(&m.Project), Zone: web.TimeZone(c), Now: h.Now(),
		Entry: logEntry(entry), Session: hex.EncodeToString(entry.SessionHash), Outcome: codeLabel(entry.Code),
	}
	if p.Page, err = h.projectPage(c, "Request "+id.String(), tabLogs); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, logs.Show(p))
}

func logEntries(entries []models.LogEntry) []logs.Entry {
	list := make([]logs.Entry, len(entries))
	for i := range entries {
		list[i] = logEntry(&entries[i])
	}
	return list
}

func logEntry(e *models.LogEntry) logs.Entry {
	return logs.Entry{
		ID:       e.ID.String(),
		At:       e.ID.Time(),
		KeyID:    e.KeyID,
		KeyName:  e.KeyName,
		Version:  e.Version,
		Type:     string(e.Type),
		Category: e.Category,
		Method:   e.Method,
		Path:     e.Path,
		Status:   e.Status,
		Code:     string(e.Code),
		Admitted: e.Code == requestlog.CodeValid,
		Duration: time.Duration(e.DurationUs) * time.Microsecond, IP: e.IP, Credits: e.Credits,
		Reported: e.TTFBUs.Valid, TTFB: time.Duration(e.TTFBUs.Int64) * time.Microsecond,
	}
}

// codeLabel returns the label of an outcome.
func codeLabel(code requestlog.Code) string {
	if code == requestlog.CodeValid {
		return "Valid"
	}
	return code.Message()
}
