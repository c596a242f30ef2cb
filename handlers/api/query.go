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
	defaultPage = 50
	longestPage = 100
)

// page is the one form of a list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"` // null on the last page
}

// query reads the parameters of a list and gathers what is wrong with them.
type query struct {
	values   url.Values
	asked    map[string]bool
	problems map[string]string
}

func newQuery(c echo.Context) *query {
	q := &query{asked: map[string]bool{}, problems: map[string]string{}}
	var err error
	if q.values, err = url.ParseQuery(c.QueryString()); err != nil { // a filter that is dropped would show too much
		q.problems["query"] = "Encode each name and value, a semicolon as %3B."
	}
	return q
}

// text is a parameter as every database takes it in a condition; empty where it is absent.
func (q *query) text(name string) string {
	q.asked[name] = true
	if len(q.values[name]) > 1 {
		q.problems[name] = "Give it once."
	}
	value := web.QueryText(q.values.Get(name))
	if value != q.values.Get(name) {
		q.problems[name] = "Give at most " + strconv.Itoa(web.MaxQueryText) +
			" bytes of text without control characters."
	}
	return value
}

// choice is one of what may be chosen, or empty.
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

// whole is a number from 1 to most; otherwise where it is absent.
func (q *query) whole(name string, otherwise, most int64) int64 {
	value := q.text(name)
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		q.problems[name] = "Give a whole number from 1 to " + strconv.FormatInt(most, 10) + "."
	}
	return n
}

func (q *query) limit() int { return int(q.whole("limit", defaultPage, longestPage)) }

// moment is a time in RFC 3339; the zero time where it is absent.
func (q *query) moment(name string) time.Time {
	value := q.text(name)
	if value == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		q.problems[name] = "Give a time as in RFC 3339, such as 2026-03-14T09:26:53Z."
	}
	return at
}

// cursor is what an earlier page gave as next_cursor; read tells whether it is one.
func (q *query) cursor(read func(string) bool) {
	if value := q.text("cursor"); value != "" && !read(value) {
		q.problems["cursor"] = "Give the next_cursor of the page before."
	}
}

// err tells all that is wrong, parameters that nobody asked for included.
func (q *query) err() error {
	for name := range q.values {
		if !q.asked[name] {
			q.problems[web.QueryText(name)] = "There is no such parameter."
		}
	}
	if len(q.problems) == 0 {
		return nil
	}
	const message = "A parameter of the address is not as it should be"
	return &models.Error{Code: requestlog.CodeBadRequest, Message: message, Fields: q.problems}
}
