package api

import (
	"database/sql"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

const (
	maxReports    = 1000
	maxReportBody = 256 << 10
	maxTTFB       = 24 * 60 * 60 * 1000 // milliseconds
)

// reportBody is a report of an app about requests that it answered.
type reportBody struct {
	Requests []reportItem `json:"requests"`
}

type reportItem struct {
	RequestID string   `json:"request_id"`
	Status    *int     `json:"status"`
	TTFBMS    *float64 `json:"ttfb_ms"`
	Credits   *int64   `json:"credits"`
}

// reportReply says how many rows were completed, and which requests have no row.
type reportReply struct {
	Completed int      `json:"completed"`
	NotFound  []string `json:"not_found"`
}

// report completes rows of the log: product.md, section 5. If an item is wrong, nothing is written.
func (a *API) report(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Response(), c.Request(), maxReportBody)
	if err != nil {
		return err
	}
	var in reportBody
	if err := web.ParseJSON(body, &in); err != nil {
		return err
	}
	reports, fields := in.reports()
	if len(fields) > 0 {
		return badValues(fields)
	}
	missing, err := a.Gate.Report(c.Request().Context(), callerOf(c).project, reports)
	if err != nil {
		return err
	}
	reply := reportReply{Completed: len(reports) - len(missing), NotFound: make([]string, len(missing))}
	for i, id := range missing {
		reply.NotFound[i] = id.String()
	}
	return c.JSON(http.StatusOK, reply)
}

// reports returns the items; fields has a message for each value that is not allowed.
func (b *reportBody) reports() (reports []requestlog.Report, fields map[string]string) {
	fields = map[string]string{}
	if n := len(b.Requests); n < 1 || n > maxReports {
		fields["requests"] = "must have 1 to " + strconv.Itoa(maxReports) + " items"
		return nil, fields
	}
	seen := map[requestlog.ID]bool{}
	for i := range b.Requests {
		item := &b.Requests[i]
		wrong := func(member, problem string) { fields["requests["+strconv.Itoa(i)+"]."+member] = problem }
		r := requestlog.Report{}
		var ok bool
		if r.ID, ok = requestlog.ParseID(item.RequestID); !ok {
			wrong("request_id", "must be the request_id of a verdict")
		} else if seen[r.ID] {
			wrong("request_id", "is in the list twice")
		}
		seen[r.ID] = true
		if item.Status == nil && item.TTFBMS == nil && item.Credits == nil {
			wrong("status", "at least one of status, ttfb_ms and credits is required")
		}
		if item.Status != nil {
			if r.Status = *item.Status; r.Status < 100 || r.Status > 599 {
				wrong("status", "must be from 100 to 599")
			}
		}
		if ms := item.TTFBMS; ms != nil {
			if *ms < 0 || *ms > maxTTFB {
				wrong("ttfb_ms", "must be from 0 to "+strconv.Itoa(maxTTFB))
			}
			r.TTFBUs = sql.NullInt64{Int64: int64(math.Round(*ms * 1000)), Valid: true}
		}
		if item.Credits != nil {
			if *item.Credits < 0 || *item.Credits > maxCredits {
				wrong("credits", "must be from 0 to "+strconv.Itoa(maxCredits))
			}
			r.Credits = sql.NullInt64{Int64: *item.Credits, Valid: true}
		}
		reports = append(reports, r)
	}
	return reports, fields
}
