package handlers

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

const customRange = "custom"

// statusClasses are in the order of what they begin with, from 1 on.
var statusClasses = []string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// logRanges are the stretches of time that the log's filter offers.
var logRanges = []struct {
	value, label string
	length       time.Duration
}{
	{"15m", "Last 15 minutes", 15 * time.Minute},
	{"1h", "Last hour", time.Hour},
	{"24h", "Last 24 hours", 24 * time.Hour},
	{"7d", "Last 7 days", 7 * 24 * time.Hour},
	{"30d", "Last 30 days", 30 * 24 * time.Hour},
}

// rangeStart is where the stretch of that value begins; the zero time for any other value.
func rangeStart(value string, now time.Time) time.Time {
	for _, r := range logRanges {
		if r.value == value {
			return now.Add(-r.length)
		}
	}
	return time.Time{}
}

// logQuery is the log's filter as the URL holds it.
type logQuery struct {
	key, category, code, span, from, to, zone string
	keyType, status, endpoint, ip             string
	before, after                             string
}

func readLogQuery(c echo.Context) logQuery {
	q := c.QueryParams()
	return logQuery{
		keyType: queryText(c, "type"), status: queryText(c, "status"), endpoint: queryText(c, "endpoint"), ip: queryText(c, "ip"),
		key: queryText(c, "key"), category: queryText(c, "category"), code: queryText(c, "code"), span: q.Get("range"), from: q.Get("from"), to: q.Get("to"),
		zone:   web.ParseTimeZone(cmp.Or(q.Get("time_zone"), web.TimeZone(c).String())).String(),
		before: q.Get("before"), after: q.Get("after"),
	}
}

// values are the filter's parameters without cursors.
func (q logQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("key", q.key)
	set("category", q.category)
	set("type", q.keyType)
	set("code", q.code)
	set("status", q.status)
	set("endpoint", q.endpoint)
	set("ip", q.ip)
	set("range", q.span)
	if q.span == customRange {
		set("from", q.from)
		set("to", q.to)
		set("time_zone", q.zone)
	}
	return v
}

// filter is what the query means; problems are for what it cannot mean.
func (h *Handlers) logFilter(c echo.Context, q logQuery) (f models.LogFilter, problems map[string]string, err error) {
	problems = map[string]string{}
	f = models.LogFilter{Type: models.KeyType(q.keyType), Category: q.category, Code: requestlog.Code(q.code), Limit: logsPerPage}
	var ok bool
	if f.Method, f.Path, ok = parseEndpoint(q.endpoint); !ok {
		problems["endpoint"] = "Enter a path, such as /orders, with or without a method before it."
	}
	if q.keyType != "" && !slices.Contains(models.KeyTypes, f.Type) {
		problems["type"] = "Choose production or test."
	}
	if f.IP, ok = parseIP(q.ip); !ok {
		problems["ip"] = "Enter one IP address."
	}
	if f.StatusClass, ok = parseStatusClass(q.status); !ok {
		problems["status"] = "Choose one of " + strings.Join(statusClasses, ", ") + "."
	}
	if q.key != "" {
		f.KeyID, err = h.Store.KeyIDByName(c.Request().Context(), web.Membership(c).ID, q.key)
		if models.IsNotFound(err) {
			f.KeyID, err = -1, nil // no request can match; the page says why
			problems["key"] = "No key has or had this name."
		} else if err != nil {
			return f, nil, err
		}
	}
	f.From = rangeStart(q.span, h.Now())
	if q.span == customRange {
		zone := web.ParseTimeZone(q.zone)
		for _, bound := range []struct {
			name, text string
			to         *time.Time
		}{{"from", q.from, &f.From}, {"to", q.to, &f.To}} {
			if bound.text == "" {
				continue
			}
			at, err := parseLocalTime(bound.text, zone)
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

// parseStatusClass reads one of [statusClasses]; 0 for none, and -1, which no row has, for any other text.
func parseStatusClass(text string) (class int, ok bool) {
	if text == "" {
		return 0, true
	}
	if class = slices.Index(statusClasses, text) + 1; class == 0 {
		return -1, false
	}
	return class, true
}

// parseEndpoint reads "GET /orders", or a path alone. A query is no part of it, as in the log. Of a text without a path, all is the
// path, which no row has.
func parseEndpoint(text string) (method, path string, ok bool) {
	path = strings.TrimSpace(text)
	first, rest, _ := strings.Cut(path, " ")
	if rest = strings.TrimSpace(rest); rest != "" && first == strings.ToUpper(first) && !strings.HasPrefix(first, "/") {
		method, path = first, rest
	}
	if path, _, _ = strings.Cut(path, "?"); path == "" && text != "" {
		return "", text, false
	}
	return method, path, true
}

// parseIP reads an address as the log writes it; any other text, which no row has, as it is.
func parseIP(text string) (ip string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text, false
	}
	return web.PlainAddr(addr), true
}
