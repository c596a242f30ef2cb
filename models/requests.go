package models

import (
	"context"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// requestRows is how rows of requests are kept, and what is counted of them by key. Each database has its own way: see
// docs/design.md. Rows and counts are of one transaction or follow from each other, so that they cannot disagree.
type requestRows interface {
	// write stores a batch once, however often it is called with it.
	write(ctx context.Context, batch []requestlog.Row) error
	list(ctx context.Context, q requestlog.Query) ([]requestlog.Row, error)
	// complete completes rows; reports are in the order of ids, each of which is in them once.
	complete(ctx context.Context, projectID int64, reports []requestlog.Report) (missing []requestlog.ID, err error)
	keyUsage(ctx context.Context, keyID, now int64) (requestlog.KeyUsage, error)
	useByVersion(ctx context.Context, keyID int64, since time.Time) (map[int]requestlog.VersionUsage, error)
	// newestID is the largest id of all rows, 0 where there is none.
	newestID(ctx context.Context) (requestlog.ID, error)
	// lastUsed gives times of last use that are newer than what the keys' rows say.
	lastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error)
	// holdUse runs fn with whether the key has a row that its last_used_at does not tell of; none is written before fn returns.
	holdUse(ctx context.Context, keyID int64, fn func(used bool) error) error
	// tidy does one small step of what keeps the tables small and quick, and tells whether more is to be done.
	tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error)
	// close ends what runs in the background.
	close()
}

// storageLimits are the sizes of the pieces in which requests are stored.
type storageLimits struct {
	// chunk is how many rows fill a chunk: few enough that finding one row in it is quick, and enough that a row costs
	// little to write. A chunk that gets late rows may hold half as many more.
	chunk int
	// window is how many rows a list with a filter looks through at first on Postgres.
	window int
	// group is how many chunks have a filter in common.
	group int
	// openChunks is how many chunks of a project may be waiting to become a full one: a page of the log reads them all.
	openChunks int
	// tail is how many requests, and tailBatches how many batches, are in memory and in the journal before they are written to a
	// run. They bound the time that a start takes. At four times as many requests, writers wait: 32 bytes each.
	tail, tailBatches int
	// blockSize is the bytes of a block of a run: with what SQLite adds, it fits a page of 4096.
	blockSize int
	// runsPerLevel is how many runs of a level there may be: one more, and they are merged into one of the next. So a
	// request is written once for each level, and a reader looks into few runs.
	runsPerLevel int
	// What one step, that is one transaction, writes or removes: a few milliseconds.
	blocksPerStep, chunksPerStep, rowsPerStep int
}

// limits are as measured: docs/performance.md. Tests make them small.
var limits = storageLimits{
	chunk: 512, window: 5000, group: 64, openChunks: 32, tail: 1 << 19, tailBatches: 20_000, blockSize: 3800, runsPerLevel: 8, blocksPerStep: 64, chunksPerStep: 64, rowsPerStep: 5000,
}
