package handlers

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// logQuery is the filter of the log as the URL has it.
type logQuery struct {
	web.LogFilter
	timeRange, from, to, zone string
	before, after             string
}

func readLogQuery(c echo.Context) logQuery {
	q := c.QueryParams()
	text := func(name string) string { return web.QueryText(q.Get(name)) }
	return logQuery{
		LogFilter: web.LogFilter{
			Key: text("key"), Type: text("type"), Category: text("category"), Code: text("code"),
			Status: text("status"), Endpoint: text("endpoint"), IP: text("ip"),
		},
		timeRange: q.Get("range"), from: q.Get("from"), to: q.Get("to"),
		zone:   web.ParseTimeZone(cmp.Or(q.Get("time_zone"), web.TimeZone(c).String())).String(),
		before: q.Get("before"), after: q.Get("after"),
	}
}

// values returns the parameters of the filter without cursors.
func (q logQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("key", q.Key)
	set("category", q.Category)
	set("type", q.Type)
	set("code", q.Code)
	set("status", q.Status)
	set("endpoint", q.Endpoint)
	set("ip", q.IP)
	set("range", q.timeRange)
	if q.timeRange == web.CustomRange {
		set("from", q.from)
		set("to", q.to)
		set("time_zone", q.zone)
	}
	return v
}

// logProblems has the messages about fields of the filter. There is none for codes, because they are chosen from a
// list: an unknown code matches no request.
var logProblems = map[string]string{
	"type":     "Choose production or test.",
	"status":   "Choose one of " + strings.Join(web.StatusClasses, ", ") + ".",
	"endpoint": "Enter a path, such as /orders, with or without a method before it.",
	"ip":       "Enter one IP address.",
	"key":      "No key has or had this name.",
}

// logFilter returns the filter for the store. problems has messages about values that cannot be parsed.
func (h *Handlers) logFilter(c echo.Context, q logQuery) (f models.LogFilter, problems map[string]string, err error) {
	f, wrong, err := q.Parse(c.Request().Context(), h.Store, web.Membership(c).ID)
	if err != nil {
		return f, nil, err
	}
	problems = map[string]string{}
	for _, name := range wrong {
		if text, known := logProblems[name]; known {
			problems[name] = text
		}
	}
	f.Limit = logsPerPage
	f.From = web.RangeStart(q.timeRange, h.Now())
	if q.timeRange == web.CustomRange {
		zone := web.ParseTimeZone(q.zone)
		for _, bound := range []struct {
			name, text string
			to         *time.Time
		}{{"from", q.from, &f.From}, {"to", q.to, &f.To}} {
			if bound.text == "" {
				continue
			}
			at, err := web.ParseLocalTime(bound.text, zone)
			if err != nil {
				problems[bound.name] = "Enter a date and a time."
				continue
			}
			*bound.to = at
		}
	}
	f.Before, _ = requestlog.ParseID(q.before)
	f.After, _ = requestlog.ParseID(q.after)
	return f, problems, nil
}
