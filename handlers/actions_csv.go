package handlers

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

const (
	// exportBatch is how many rows are held in memory at a time.
	exportBatch = 1000
	// exportBatchTimeout bounds reading and sending one batch. An export as a whole takes as long as it takes.
	exportBatchTimeout = pageTimeout
)

var actionColumns = []string{
	"row", "time", "actor_kind", "actor_id", "actor", "action", "object_kind", "object_id", "object", "before", "after", "address",
}

// exportsTakeTheirTime keeps exports out of the time limit of pages, which would cut them off.
func exportsTakeTheirTime(c echo.Context) bool { return strings.HasSuffix(c.Path(), ".csv") }

// exportActions sends what the filter leaves of the action log, newest first, batch by batch. Where it fails midway the
// connection is aborted, so that nobody takes a part for the whole.
func (h *Handlers) exportActions(c echo.Context) error {
	log := h.actionLog(c)
	filter := readActionQuery(c).filter(h.Now(), exportBatch)
	rows, more, err := h.actionBatch(c, log.chain, filter)
	if err != nil {
		return err // nothing is sent yet: the page of the error is
	}
	response := c.Response()
	name := log.name + "-actions-" + h.Now().UTC().Format(time.DateOnly) + ".csv"
	response.Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	response.Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	response.Header().Set(echo.HeaderCacheControl, "no-store")
	response.WriteHeader(http.StatusOK)

	w := csv.NewWriter(response)
	err = w.Write(actionColumns)
	for err == nil {
		if err = writeActions(w, rows); err != nil || !more {
			break
		}
		response.Flush()
		filter.Before = rows[len(rows)-1].Seq
		rows, more, err = h.actionBatch(c, log.chain, filter)
	}
	if err != nil {
		h.Log.Error("an export ended before its end", "request_id", web.RequestID(c).String(), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// actionBatch reads the next rows, and gives the client time anew to take them.
func (h *Handlers) actionBatch(c echo.Context, chain int64, f models.ActionFilter) ([]models.Action, bool, error) {
	// Where it cannot be set, the client has the server's own time. The real one counts for connections.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(exportBatchTimeout))
	ctx, cancel := context.WithTimeout(c.Request().Context(), exportBatchTimeout)
	defer cancel()
	return h.Store.Actions(ctx, chain, f)
}

func writeActions(w *csv.Writer, rows []models.Action) error {
	for i := range rows {
		row := &rows[i]
		fields := []string{
			strconv.FormatInt(row.Seq, 10), row.At.UTC().Format("2006-01-02T15:04:05.000Z"), string(row.ActorKind),
			strconv.FormatInt(row.ActorID, 10), row.ActorName, row.Action, row.ObjectKind, strconv.FormatInt(row.ObjectID, 10), row.ObjectName,
			row.Before, row.After, row.IP,
		}
		for i := range fields {
			fields[i] = defuse(fields[i])
		}
		if err := w.Write(fields); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// defuse puts an apostrophe before what a spreadsheet would run as a formula.
func defuse(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
		return "'" + value
	}
	return value
}
