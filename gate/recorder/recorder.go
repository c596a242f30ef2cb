// Package recorder keeps the rows of the request log until they are in the database. Callers add rows without waiting.
// The rows are written in batches and in order; while the database does not take them, they go to a spool on disk.
// docs/durability.md says what that guarantees.
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
	// maxBatch is the most rows of a batch. It is bounded so that other writers of the database get their turn.
	maxBatch = 5_000
	// maxFree is the most empty slices that are kept for later batches.
	maxFree = 4
)

// limits are the bounds of a recorder. They are variable for tests.
type limits struct {
	pending   int           // rows in memory; further ones are dropped and counted
	segment   int64         // bytes of one file of the spool; a larger batch has a file of its own
	spool     int64         // bytes of all files of the spool; further rows wait in memory
	closeTime time.Duration // after which Close leaves the rows in the spool to the next start
}

// defaultLimits: 250,000 rows in memory take about 100 MB. The spool is bounded so that it does not fill the disk.
var defaultLimits = limits{pending: 250_000, segment: 4 << 20, spool: 8 << 30, closeTime: 3 * time.Second}

// Options of a [Recorder]. A zero value means the default, which the comment names.
type Options struct {
	// Write stores a batch. Writing the same batch again must change nothing: see [requestlog.Log].
	Write      func(context.Context, []requestlog.Row) error
	Durability Durability // default: DurabilityBatch
	// Folder is where the spool is made, as a folder in it. If empty, rows wait only in memory while the database does
	// not take them.
	Folder string
	Now    func() time.Time // default: time.Now
	Log    *slog.Logger     // default: slog.Default()
}

// Recorder writes rows in batches, in the background and in order. A batch that takes no more rows keeps them and their
// order until it is written, so that the database recognises a batch that is written again. Its methods are safe for
// concurrent use.
type Recorder struct {
	options Options
	limits  limits

	mu       sync.Mutex
	queue    []*batch           // in memory, oldest first
	open     *batch             // the last of queue while it takes rows; nil: the next row begins a batch
	queued   int                // rows in queue
	target   int                // a batch with this many rows is written without gathering more
	free     [][]requestlog.Row // empty slices for the next batches
	progress chan struct{}      // closed and replaced when counts.settled grows
	counts   counts
	refusing atomic.Bool // see Refusing

	wake    chan struct{}         // receives a value when a batch was opened or is full
	writes  chan []requestlog.Row // to writeLoop: the batch in flight
	written chan error            // from writeLoop: the result
	closing chan struct{}         // closed by Close
	done    chan struct{}         // closed when run has returned

	loop loop
}

// New starts a recorder. Rows that an earlier process left in the spool are written first. If the spool has a format
// that this program does not know, New returns [ErrForeignSpool] and leaves the spool as it is. If the spool cannot
// be opened for another reason, that is logged; opening it is tried again when rows need it, and until then they wait
// in memory.
func New(o Options) (*Recorder, error) { return start(o, defaultLimits) }

func start(o Options, l limits) (*Recorder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Recorder{
		options: o, limits: l, target: maxBatch, progress: make(chan struct{}), wake: make(chan struct{}, 1),
		writes: make(chan []requestlog.Row), written: make(chan error, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	if o.Durability == DurabilitySync {
		r.target = 1
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

// Add takes a row. It never waits: if too many rows are in memory, the row is dropped and counted.
func (r *Recorder) Add(row requestlog.Row) Ticket {
	r.mu.Lock()
	if r.queued >= r.limits.pending {
		r.counts.dropped++
		r.mu.Unlock()
		return Ticket{}
	}
	b, wake := r.open, false
	if b == nil {
		b, wake = r.openBatch(), true
	}
	b.rows = append(b.rows, row)
	if len(b.rows) == maxBatch {
		r.open = nil
	}
	wake = wake || len(b.rows) == r.target || len(b.rows) == maxBatch
	r.queued++
	r.counts.added++
	number := r.counts.added - r.counts.left
	r.mu.Unlock()
	if wake {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return Ticket{number, b.outcome}
}

// Close writes the rows that wait, to the spool if the database does not take them, and ends the recorder. Call it
// once, after the last Add. If ctx ends while rows are still in memory, they are lost; Close logs their number and
// returns an error that wraps ctx's.
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
		r.options.Log.Warn("rows are left in the spool; the next start will write them", "rows", s.SpooledRows)
	}
	return nil
}
