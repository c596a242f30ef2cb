package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Problem is an error in the form that is shown to users and callers.
type Problem struct {
	Status    int
	Code      requestlog.Code
	Message   string // safe to show
	Fields    map[string]string
	Retry     time.Duration // when to try again; zero if that is not known
	RequestID string
}

// Explain turns an error into what may be shown of it. Only this function decides that. An error of an unknown type
// becomes a 500 that shows only the request id.
func Explain(c echo.Context, err error) Problem {
	p := Problem{Status: http.StatusInternalServerError, Code: "internal", RequestID: RequestID(c).String()}
	var known *models.Error
	var fromEcho *echo.HTTPError
	switch {
	case errors.As(err, &known):
		p.Status, p.Code, p.Message, p.Fields, p.Retry = statusOf[known.Code], known.Code, known.Message, known.Fields,
			known.Retry
		if p.Status == 0 {
			p.Status = known.Code.Status() // the status that validate has for a rejected key or token
		}
	case errors.As(err, &fromEcho):
		p.Status = fromEcho.Code
		p.Code = requestlog.Code(strings.ReplaceAll(strings.ToLower(http.StatusText(fromEcho.Code)), " ", "_"))
	case models.IsUnavailable(err):
		p.Status, p.Code, p.Retry = http.StatusServiceUnavailable, requestlog.CodeUnavailable, time.Second
	}
	if p.Message == "" {
		p.Message = plainMessage(p.Status)
	}
	return p
}

var statusOf = map[requestlog.Code]int{
	models.CodeNotFound:       http.StatusNotFound,
	models.CodeInvalid:        http.StatusUnprocessableEntity,
	models.CodeConflict:       http.StatusConflict,
	models.CodeForbidden:      http.StatusForbidden,
	models.CodeUnauthorized:   http.StatusUnauthorized,
	models.CodeTooMany:        http.StatusTooManyRequests,
	requestlog.CodeBadRequest: http.StatusBadRequest,
	requestlog.CodeTooLarge:   http.StatusRequestEntityTooLarge,
	models.CodePlanLimit:      http.StatusForbidden,

	requestlog.CodeTokenMissing:    http.StatusUnauthorized,
	models.CodeMediaType:           http.StatusUnsupportedMediaType,
	requestlog.CodeRateLimited:     http.StatusTooManyRequests,
	models.CodeIdempotencyMismatch: http.StatusUnprocessableEntity,
	models.CodeSelfRotationOff:     http.StatusForbidden,
	models.CodeVersionRetiring:     http.StatusConflict,
}

func plainMessage(status int) string {
	switch status {
	case http.StatusNotFound:
		return "There is nothing at this address."
	case http.StatusMethodNotAllowed:
		return "This address does not accept this method."
	case http.StatusRequestEntityTooLarge:
		return "The request is too large."
	case http.StatusServiceUnavailable:
		return "The service is unavailable at the moment. Try again shortly."
	}
	if status < 500 {
		return "The request is not valid."
	}
	return "Something went wrong on the server. What you entered is not the cause."
}

// SecondsUp returns d in whole seconds, rounded up, and at least 1.
func SecondsUp(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }

const errorPageTimeout = 5 * time.Second

// ErrorPages renders a problem for a browser: as a whole page, or as a part of one for htmx.
type ErrorPages func(c echo.Context, p Problem, partial bool) templ.Component

// ErrorHandler answers requests whose handler returned an error: with JSON under /v1, with HTML elsewhere. Errors of
// status 500 and above are logged with their cause and the request id.
func ErrorHandler(pages ErrorPages, log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		// The client has gone, or closed its side of the connection and still reads: do not send an empty 200.
		if errors.Is(err, context.Canceled) {
			c.NoContent(http.StatusServiceUnavailable)
			return
		}
		// The request's context may have ended, but the error page still has to be rendered.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), errorPageTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		p := Explain(c, err)
		if p.Retry > 0 {
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.FormatInt(SecondsUp(p.Retry), 10))
		}
		if p.Status >= 500 {
			log.Error("request failed", "request_id", p.RequestID, "method", c.Request().Method, "path", c.Path(),
				"error", err)
		}
		var sendErr error
		switch {
		case c.Request().Method == http.MethodHead:
			sendErr = c.NoContent(p.Status)
		case strings.HasPrefix(c.Request().URL.Path, "/v1/"):
			sendErr = c.JSON(p.Status, ErrorBody{Error: p.Message, Code: p.Code, Fields: p.Fields,
				RequestID: p.RequestID})
		default:
			sendErr = Render(c, p.Status, pages(c, p, IsPartial(c)))
		}
		if sendErr != nil {
			log.Error("cannot send the error of a failed request", "request_id", p.RequestID, "error", sendErr)
			if !c.Response().Committed {
				c.String(p.Status, p.Message+"\nRequest "+p.RequestID+"\n") // as text, with the status of the error
			}
		}
	}
}

// ErrorBody is the form of every error in JSON: product.md, section 10.
type ErrorBody struct {
	Error     string            `json:"error"`
	Code      requestlog.Code   `json:"code"`
	Fields    map[string]string `json:"fields,omitempty"`
	RequestID string            `json:"request_id"`
}
