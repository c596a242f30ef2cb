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

// Problem is an error as its reader sees it.
type Problem struct {
	Status    int
	Code      requestlog.Code
	Message   string // safe to show
	Fields    map[string]string
	Retry     time.Duration // when asking again helps; zero where that is not known
	RequestID string
}

// Explain turns an error into what may be shown of it. This is the one place that decides that: what it does not know
// is a fault of ours and says nothing but the request id.
func Explain(c echo.Context, err error) Problem {
	p := Problem{Status: http.StatusInternalServerError, Code: "internal", RequestID: RequestID(c).String()}
	var known *models.Error
	var fromEcho *echo.HTTPError
	switch {
	case errors.As(err, &known):
		p.Status, p.Code, p.Message, p.Fields, p.Retry = statusOf[known.Code], known.Code, known.Message, known.Fields,
			known.Retry
		if p.Status == 0 {
			p.Status = known.Code.Status() // of a refused key or token, as validate would answer
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
		return "This address does not take such requests."
	case http.StatusRequestEntityTooLarge:
		return "The request is too large."
	case http.StatusServiceUnavailable:
		return "The service cannot answer at the moment. Try again shortly."
	}
	if status < 500 {
		return "The request could not be understood."
	}
	return "Something went wrong on our side. Nothing you entered is at fault."
}

// SecondsUp is a wait in whole seconds, at least one, and never too short.
func SecondsUp(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }

const errorPageTimeout = 5 * time.Second

// ErrorPages renders a problem for a browser: as a whole page, or as a part for htmx.
type ErrorPages func(c echo.Context, p Problem, partial bool) templ.Component

// ErrorHandler answers requests whose handler failed: JSON under /v1, HTML elsewhere. Faults of ours are logged with
// their cause and the request id.
func ErrorHandler(pages ErrorPages, log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		// the client is gone, or has closed its side and still reads: never an empty success
		if errors.Is(err, context.Canceled) {
			c.NoContent(http.StatusServiceUnavailable)
			return
		}
		// The request's own time may be over, and the page of the error still has to be made.
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
			log.Error("the answer to a failed request failed", "request_id", p.RequestID, "error", sendErr)
			if !c.Response().Committed {
				c.String(p.Status, p.Message+"\nRequest "+p.RequestID+"\n") // in words at least, and never as a success
			}
		}
	}
}

// ErrorBody is the one form of an error in JSON.
type ErrorBody struct {
	Error     string            `json:"error"`
	Code      requestlog.Code   `json:"code"`
	Fields    map[string]string `json:"fields,omitempty"`
	RequestID string            `json:"request_id"`
}
