package web

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// ExportBatch is how many rows are held in memory at a time.
	ExportBatch = 1000
	// exportBatchTimeout bounds reading and sending one batch. An export as a whole takes as long as it takes.
	exportBatchTimeout = RequestTimeout
	// ExportTime is how moments stand in CSV.
	ExportTime = "2006-01-02T15:04:05.000Z"
	// CSVType is the content type of a table.
	CSVType = "text/csv; charset=utf-8"
)

// RowWriter is a format of exports: [NewCSVRows] or [NewJSONRows]. What it writes may wait in memory until flush.
type RowWriter[R any] interface {
	begin() error
	write(*R) error
	flush() error
	end() error
}

// Export sends rows as a file, batch by batch. next reads the next ones, and tells whether there are more behind them.
// Where it fails midway the connection is aborted, so that nobody takes a part for the whole; log has the reason.
func Export[R any](
	c echo.Context, log *slog.Logger, name, contentType string, w RowWriter[R],
	next func(context.Context) ([]R, bool, error),
) error {
	batch := func() ([]R, bool, error) {
		// The client has time anew to take the rows. Where that cannot be set, it has the server's own; the real one
		// counts for connections.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(exportBatchTimeout))
		ctx, cancel := context.WithTimeout(c.Request().Context(), exportBatchTimeout)
		defer cancel()
		return next(ctx)
	}
	rows, more, err := batch()
	if err != nil {
		return err // nothing is sent yet: the page of the error is
	}
	response := c.Response()
	response.Header().Set(echo.HeaderContentType, contentType)
	response.Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	response.Header().Set(echo.HeaderCacheControl, "no-store")
	response.WriteHeader(http.StatusOK)
	for err = w.begin(); err == nil; rows, more, err = batch() {
		for i := 0; i < len(rows) && err == nil; i++ {
			err = w.write(&rows[i])
		}
		if err == nil && !more {
			err = w.end()
		}
		if err == nil {
			err = w.flush()
		}
		if err != nil || !more {
			break
		}
		response.Flush()
	}
	if err != nil {
		log.Error("an export ended before its end", "request_id", RequestID(c).String(), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// csvRows writes a line of headings and one for each row.
type csvRows[R any] struct {
	*csv.Writer
	columns []string
	fields  func(*R) []string
}

// NewCSVRows writes a table with a line of headings. Values that a spreadsheet would run are made harmless.
func NewCSVRows[R any](c echo.Context, columns []string, fields func(*R) []string) RowWriter[R] {
	return csvRows[R]{csv.NewWriter(c.Response()), columns, fields}
}

func (w csvRows[R]) begin() error { return w.Write(w.columns) }

func (w csvRows[R]) write(row *R) error {
	fields := w.fields(row)
	for i := range fields {
		fields[i] = defuse(fields[i])
	}
	return w.Write(fields)
}

func (w csvRows[R]) end() error { return nil }

func (w csvRows[R]) flush() error {
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

// jsonRows writes an array with an object on each line.
type jsonRows[R any] struct {
	*bufio.Writer
	object func(*R) any
	some   bool
}

// NewJSONRows writes a list of objects.
func NewJSONRows[R any](c echo.Context, object func(*R) any) RowWriter[R] {
	return &jsonRows[R]{Writer: bufio.NewWriter(c.Response()), object: object}
}

func (w *jsonRows[R]) begin() error { return w.WriteByte('[') }

func (w *jsonRows[R]) write(row *R) error {
	separator := ",\n"
	if !w.some {
		separator, w.some = "\n", true
	}
	w.WriteString(separator) // what fails here fails at each later write
	text, err := json.Marshal(w.object(row))
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func (w *jsonRows[R]) end() error {
	_, err := w.WriteString("\n]\n")
	return err
}

func (w *jsonRows[R]) flush() error { return w.Flush() }
