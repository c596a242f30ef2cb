// Package recorder keeps the rows of the request log until the database has them. Callers hand rows over without
// waiting; one goroutine writes them in batches and in order, and moves them to a spool on disk while the database does
// not take them. docs/design.md, "The row of a request", says what that promises.
package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// Durability is when a request counts as recorded.
type Durability string

const (
	// DurabilityBatch answers at once; the row is in the database or in the spool at most 100 ms later.
	DurabilityBatch Durability = "batch"
	// DurabilitySync answers when the row is in the database or in the spool.
	DurabilitySync Durability = "sync"
)

const (
	// maxBatch is how many rows a batch has at most, so that other writers of the database get their turn.
	maxBatch = 5_000
	// maxFree is how many empty slices are kept for the next batches.
	maxFree = 4
)

// limits are the bounds that tests make smaller.
type limits struct {
	pending   int           // rows in memory; further ones are dropped and counted
	segment   int64         // bytes of one file of the spool; a larger batch has a file of its own
	spool     int64         // bytes of all files of the spool; what comes on top waits in memory
	closeTime time.Duration // after that long, Close leaves the spool to the next start
}

// defaultLimits: so many pending rows occupy about 100 MB, and so large a spool leaves the disk room for others.
var defaultLimits = limits{pending: 250_000, segment: 4 << 20, spool: 8 << 30, closeTime: 3 * time.Second}

// Options of a [Recorder]. Zero values are the defaults given.
type Options struct {
	// Write stores a batch. Writing the same batch again must change nothing: see [requestlog.Log].
	Write      func(context.Context, []requestlog.Row) error
	Durability Durability // DurabilityBatch
	// Folder has the spool, in which rows wait while the database does not take them. Empty: they wait in memory alone.
	Folder string
	Now    func() time.Time // time.Now
	Log    *slog.Logger     // slog.Default
}

// Recorder writes rows in batches, in the background and in order. A batch that has been closed keeps its rows and
// their order until it is written, so that the database recognises one that is written again. It is safe for use by
// many goroutines.
type Recorder struct {
	options Options
	limits  limits

	mu       sync.Mutex
	queue    []*batch           // in memory, oldest first
	open     *batch             // the last of queue while it takes rows; nil: the next row begins a batch
	queued   int                // rows in queue
	enough   int                // a batch of so many rows is written without gathering more
	free     [][]requestlog.Row // empty slices for the next batches
	progress chan struct{}      // closed and replaced when counts.settled grows
	counts   counts
	refusing atomic.Bool // neither the database nor the spool takes rows

	wake    chan struct{}         // a batch was begun or is full
	writes  chan []requestlog.Row // the batch for writeLoop to write
	written chan error            // how that went
	closing chan struct{}         // closed by Close
	done    chan struct{}         // closed when run has returned

	loop loop
}

// New starts a recorder. Rows that an earlier process left in the spool are written first. A spool in a format that
// this program does not know is an error, [ErrForeignSpool], and is left as it is. Where the spool cannot be opened for
// another reason, that is logged, the first row that needs the spool tries again, and rows wait in memory.
func New(o Options) (*Recorder, error) { return start(o, defaultLimits) }

func start(o Options, l limits) (*Recorder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Recorder{
		options: o, limits: l, enough: maxBatch, progress: make(chan struct{}), wake: make(chan struct{}, 1),
		writes: make(chan []requestlog.Row), written: make(chan error, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	if o.Durability == DurabilitySync {
		r.enough = 1
	}
	if o.Folder != "" {
		if err := r.openSpool(); errors.Is(err, ErrForeignSpool) {
			return nil, err
		} else if err != nil {
			r.logSpool(unopened, err)
		}
	}
	go r.writeLoop()
	go r.run()
	return r, nil
}

// Add takes a row. It never waits: where too many rows are in memory already, the row is dropped and counted.
func (r *Recorder) Add(row requestlog.Row) Ticket {
	r.mu.Lock()
	if r.queued >= r.limits.pending {
		r.counts.dropped++
		r.mu.Unlock()
		return Ticket{}
	}
	b, tell := r.open, false
	if b == nil {
		b, tell = r.begin(), true
	}
	b.rows = append(b.rows, row)
	if len(b.rows) == maxBatch {
		r.open = nil
	}
	tell = tell || len(b.rows) == r.enough || len(b.rows) == maxBatch
	r.queued++
	r.counts.added++
	number := r.counts.added - r.counts.left
	r.mu.Unlock()
	if tell {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return Ticket{number, b.outcome}
}

// Close stores the rows that wait, in the spool where the database does not take them, and ends the recorder. Call it
// once, when nobody adds rows any more. Where ctx ends first, the rows still in memory are lost, their number is
// logged, and ctx's error is returned.
func (r *Recorder) Close(ctx context.Context) error {
	close(r.closing)
	select {
	case <-r.done:
	case <-ctx.Done():
		r.mu.Lock()
		lost := r.queued
		r.mu.Unlock()
		if lost > 0 {
			r.options.Log.Error("rows of the request log were not written before the end", "rows", lost)
			return fmt.Errorf("write request log: %d rows are lost: %w", lost, ctx.Err())
		}
	}
	if s := r.Stats(); s.SpooledRows > 0 {
		r.options.Log.Warn("rows are left in the spool; the next start writes them", "rows", s.SpooledRows)
	}
	return nil
}
