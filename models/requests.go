package models

import (
	"context"
	"math"
	"time"
)

// requestRows is how rows of requests are kept, and what is counted of them by key. Each database has its own way: see
// docs/design.md. Rows and counts are of one transaction or follow from each other, so that they cannot disagree.
type requestRows interface {
	// write stores a batch once, however often it is called with it.
	write(ctx context.Context, batch []RequestLog) error
	list(ctx context.Context, q rowQuery) ([]RequestLog, error)
	keyUsage(ctx context.Context, keyID, now int64) (KeyUsage, error)
	useByVersion(ctx context.Context, projectID, keyID int64, since time.Time) (map[int]VersionUse, error)
	// newestID is the largest id of all rows, 0 where there is none.
	newestID(ctx context.Context) (RequestID, error)
	// lastUsed gives times of last use that are newer than what the keys' rows say.
	lastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error)
	// prepare brings rows of older programs into the present form.
	prepare(ctx context.Context) error
	// tidy does one small step of what keeps the tables small and quick, and tells whether more is to be done.
	tidy(ctx context.Context, kept *retention) (more bool, err error)
	// close ends what runs in the background.
	close()
}

// rowQuery asks for rows of a project. Zero fields do not narrow it.
type rowQuery struct {
	projectID, keyID int64
	category         string
	code             Code
	from, to         RequestID // ids in [from, to)
	oldestFirst      bool
	limit            int
}

const endOfIDs RequestID = math.MaxInt64

// matches tells whether a row of the stretch is asked for.
func (q *rowQuery) matches(r *RequestLog) bool {
	return r.ID >= q.from && r.ID < q.to && (q.keyID == 0 || r.KeyID == q.keyID) &&
		(q.category == "" || r.Category == q.category) && (q.code == "" || r.Code == q.code)
}

// minuteOf is the minute since 1970 of a request.
func minuteOf(id RequestID) int64 { return int64(id) >> requestIDTimeShift / 60_000 }

// firstIDOfMinute is the smallest id a request of the minute can have.
func firstIDOfMinute(minute int64) RequestID { return RequestID(minute * 60_000 << requestIDTimeShift) }
