package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

const (
	defaultLimit = 50
	maxLimit     = 100
)

// page is the form of every list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"` // null on the last page
}

// query reads the query parameters of a list and collects the problems with them.
type query struct {
	values   url.Values
	known    map[string]bool // parameters of the route
	problems map[string]string
}

func newQuery(c echo.Context) *query {
	q := &query{known: map[string]bool{}, problems: map[string]string{}}
	var err error
	if q.values, err = url.ParseQuery(c.QueryString()); err != nil { // a filter that is ignored would show too much
		q.problems["query"] = "Percent-encode each name and value, a semicolon as %3B."
	}
	return q
}

// text returns a parameter in a form that both databases accept in a condition, or "" if it is absent.
func (q *query) text(name string) string {
	q.known[name] = true
	if len(q.values[name]) > 1 {
		q.problems[name] = "Use this parameter only once."
	}
	value := web.QueryText(q.values.Get(name))
	if value != q.values.Get(name) {
		q.problems[name] = "Use at most " + strconv.Itoa(web.MaxQueryText) +
			" bytes of text without control characters."
	}
	return value
}

// choice returns a parameter that must be one of the choices, or "" if it is absent.
func (q *query) choice(name string, choices ...string) string {
	value := q.text(name)
	if value != "" && !slices.Contains(choices, value) {
		q.problems[name] = chooseOneOf(choices)
	}
	return value
}

func chooseOneOf[T ~string](choices []T) string {
	texts := make([]string, len(choices))
	for i, choice := range choices {
		texts[i] = string(choice)
	}
	return "Choose one of " + strings.Join(texts, ", ") + "."
}

// whole returns a whole number from 1 to most, or fallback if the parameter is absent.
func (q *query) whole(name string, fallback, most int64) int64 {
	value := q.text(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		q.problems[name] = "Use a whole number from 1 to " + strconv.FormatInt(most, 10) + "."
	}
	return n
}

func (q *query) limit() int { return int(q.whole("limit", defaultLimit, maxLimit)) }

// moment returns a time in RFC 3339 format, or the zero time if the parameter is absent.
func (q *query) moment(name string) time.Time {
	value := q.text(name)
	if value == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		q.problems[name] = "Use a time in RFC 3339 format, such as 2026-03-14T09:26:53Z."
	}
	return at
}

// cursor passes the parameter cursor to read, which reports whether it is a next_cursor.
func (q *query) cursor(read func(string) bool) {
	if value := q.text("cursor"); value != "" && !read(value) {
		q.problems["cursor"] = "Use the next_cursor of the previous page."
	}
}

// err returns an error with all problems, including unknown parameters, or nil. Error: [requestlog.CodeBadRequest].
func (q *query) err() error {
	for name := range q.values {
		if !q.known[name] {
			q.problems[web.QueryText(name)] = "There is no such parameter."
		}
	}
	if len(q.problems) == 0 {
		return nil
	}
	const message = "A query parameter is not valid: see fields"
	return &models.Error{Code: requestlog.CodeBadRequest, Message: message, Fields: q.problems}
}
