package web

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// LogFilter is a filter of the request log as it was typed, into a form or a URL of the API. Empty fields do not
// filter.
type LogFilter struct{ Key, Type, Category, Code, Status, Endpoint, IP string }

// StatusClasses are the classes of HTTP status, in the order of their first digit, from 1 on.
var StatusClasses = []string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// Parse returns the filter for the store. wrong has the names of the parameters that cannot be read; with them the
// filter matches no request. The key is found by any name that a key of the project has or had.
func (f LogFilter) Parse(
	ctx context.Context, store *models.Store, projectID int64,
) (filter models.LogFilter, wrong []string, err error) {
	check := func(name string, ok bool) {
		if !ok {
			wrong = append(wrong, name)
		}
	}
	filter = models.LogFilter{Type: models.KeyType(f.Type), Category: f.Category, Code: requestlog.Code(f.Code)}
	check("type", f.Type == "" || slices.Contains(models.KeyTypes, filter.Type))
	check("code", f.Code == "" || slices.Contains(requestlog.LoggedCodes, filter.Code))
	var ok bool
	filter.StatusClass, ok = parseStatusClass(f.Status)
	check("status", ok)
	filter.Method, filter.Path, ok = parseEndpoint(f.Endpoint)
	check("endpoint", ok)
	filter.IP, ok = parseIP(f.IP)
	check("ip", ok)
	if f.Key == "" {
		return filter, wrong, nil
	}
	filter.KeyID, err = store.KeyIDByName(ctx, projectID, f.Key)
	if models.IsNotFound(err) {
		filter.KeyID, err = noKeyID, nil
		check("key", false)
	}
	return filter, wrong, err
}

// noKeyID is the id of no key.
const noKeyID = -1

// parseStatusClass returns the first digit of one of [StatusClasses], 0 for an empty text, and -1, which no row has,
// for any other text.
func parseStatusClass(text string) (class int, ok bool) {
	if text == "" {
		return 0, true
	}
	if class = slices.Index(StatusClasses, text) + 1; class == 0 {
		return -1, false
	}
	return class, true
}

// parseEndpoint reads "GET /orders", or a path without a method. It cuts off a query, because the log stores none. If
// there is no path, ok is false and the whole text is returned as the path, which no row has.
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

// parseIP returns an address in the form that the log stores. Any other text, which no row has, is returned as it is.
func parseIP(text string) (ip string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text, false
	}
	return PlainAddr(addr), true
}
