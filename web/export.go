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
	// exportBatchTimeout bounds reading and sending one batch. The whole export has no limit.
	exportBatchTimeout = RequestTimeout
	// ExportTime is the layout of times in CSV.
	ExportTime = "2006-01-02T15:04:05.000Z"
	// CSVType is the content type of CSV.
	CSVType = "text/csv; charset=utf-8"
)

// RowWriter writes an export in one format: see [NewCSVRows] and [NewJSONRows]. It may buffer until flush.
type RowWriter[R any] interface {
	begin() error
	write(*R) error
	flush() error
	end() error
}

// Export sends rows as a file called name, batch by batch. next returns the next batch and whether more rows follow. An
// error of the first batch is returned. A later one aborts the connection, so that a client cannot take a part for the
// whole, and is logged.
func Export[R any](
	c echo.Context, log *slog.Logger, name, contentType string, w RowWriter[R],
	next func(context.Context) ([]R, bool, error),
) error {
	batch := func() ([]R, bool, error) {
		// Give the client the full time for each batch. If the deadline cannot be set, as in tests, the server's own
		// applies. The real time is used, because connections use it too.
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(exportBatchTimeout))
		ctx, cancel := context.WithTimeout(c.Request().Context(), exportBatchTimeout)
		defer cancel()
		return next(ctx)
	}
	rows, more, err := batch()
	if err != nil {
		return err // nothing was sent yet, so the error page can be
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
		log.Error("export aborted", "request_id", RequestID(c).String(), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// csvRows writes a header line and one line for each row.
type csvRows[R any] struct {
	*csv.Writer
	columns []string
	fields  func(*R) []string
}

// NewCSVRows returns a writer of CSV with a header line. Values that a spreadsheet would run as formulas are escaped.
func NewCSVRows[R any](c echo.Context, columns []string, fields func(*R) []string) RowWriter[R] {
	return csvRows[R]{csv.NewWriter(c.Response()), columns, fields}
}

func (w csvRows[R]) begin() error { return w.Write(w.columns) }

func (w csvRows[R]) write(row *R) error {
	fields := w.fields(row)
	for i := range fields {
		fields[i] = escapeFormula(fields[i])
	}
	return w.Write(fields)
}

func (w csvRows[R]) end() error { return nil }

func (w csvRows[R]) flush() error {
	w.Flush()
	return w.Error()
}

// escapeFormula puts an apostrophe before a value that a spreadsheet would run as a formula.
func escapeFormula(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
		return "'" + value
	}
	return value
}

// jsonRows writes a JSON array with one object a line.
type jsonRows[R any] struct {
	*bufio.Writer
	object func(*R) any
	begun  bool // an object was written
}

// NewJSONRows returns a writer of a JSON array of objects.
func NewJSONRows[R any](c echo.Context, object func(*R) any) RowWriter[R] {
	return &jsonRows[R]{Writer: bufio.NewWriter(c.Response()), object: object}
}

func (w *jsonRows[R]) begin() error { return w.WriteByte('[') }

func (w *jsonRows[R]) write(row *R) error {
	separator := ",\n"
	if !w.begun {
		separator, w.begun = "\n", true
	}
	w.WriteString(separator) // an error is returned by the next write as well
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
