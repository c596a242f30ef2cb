package gate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
	// DurabilitySync answers when the row is there.
	DurabilitySync Durability = "sync"
)

const (
	// maxPending bounds the memory of rows that wait where neither database nor spool takes them: about 100 MB. Beyond it
	// rows are dropped and counted.
	maxPending = 250_000
	// maxBatch bounds one transaction, so that other writers get their turn.
	maxBatch = 5_000
	// maxIdle is how many slices are kept for the next batches.
	maxIdle = 4
)

// ErrNotRecorded says that a row could not be kept where it would outlive the process.
var ErrNotRecorded = errors.New("the request could not be recorded")

// RecorderOptions is what a [Recorder] works with. Zero values are the defaults given.
type RecorderOptions struct {
	// Write stores a batch. It must be repeatable with exactly the same batch: see [requestlog.Log.Write].
	Write      func(context.Context, []requestlog.Row) error
	Durability Durability // DurabilityBatch
	// Folder is where the spool is: rows wait there while the database does not take them. Empty: in memory alone.
	Folder string
	Now    func() time.Time // time.Now
	Log    *slog.Logger     // slog.Default
}

// Recorder writes rows in batches, in the background and in order. A batch, once it is closed, stays what it is until it
// is written, so that the database can tell one that comes again. It is safe for use by many goroutines.
type Recorder struct {
	RecorderOptions

	mu       sync.Mutex
	queue    []*batch           // in memory, oldest first
	open     *batch             // the one of them that takes rows; nil where the next row begins one
	inQueue  int                // rows
	enough   int                // this many rows are written without gathering more
	idle     [][]requestlog.Row // empty slices to use again
	progress chan struct{}      // closed and renewed when settled grows
	counts   counts
	refusing atomic.Bool // what counts say of it, for who does not wait for mu

	wake    chan struct{}         // a batch was begun or is full
	flights chan []requestlog.Row // to write now
	landed  chan error            // how that went
	hurry   chan struct{}         // closed at Close
	done    chan struct{}         // closed when the loop has ended

	loop loop
}

// batch is rows that are written together.
type batch struct {
	rows    []requestlog.Row
	opened  time.Time
	outcome *outcome
}

// outcome tells those who wait what became of a batch. The loop alone settles it.
type outcome struct {
	done chan struct{}
	err  error // read once done is closed
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

// settle tells it once; what comes later does not matter any more.
func (o *outcome) settle(err error) {
	select {
	case <-o.done:
	default:
		o.err = err
		close(o.done)
	}
}

// Ticket is what [Recorder.Add] gives for a row; the zero value is that of a row that was dropped.
type Ticket struct {
	Number  uint64 // grows by one with each row
	outcome *outcome
}

// NewRecorder starts a recorder. Rows that an earlier process left in the spool are written first.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Recorder{
		RecorderOptions: o, enough: maxBatch, progress: make(chan struct{}), wake: make(chan struct{}, 1),
		flights: make(chan []requestlog.Row), landed: make(chan error, 1), hurry: make(chan struct{}), done: make(chan struct{}),
	}
	if o.Durability == DurabilitySync {
		r.enough = 1
	}
	if o.Folder != "" {
		r.openSpool()
	}
	go r.fly()
	go r.run()
	return r
}

// Add takes a row. It never waits: where too many rows wait in memory already, the row is dropped and counted.
func (r *Recorder) Add(row requestlog.Row) Ticket {
	r.mu.Lock()
	if r.inQueue >= maxPending {
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
	r.inQueue++
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

// begin opens a batch at the end of the queue. The caller holds mu.
func (r *Recorder) begin() *batch {
	b := &batch{opened: time.Now(), outcome: newOutcome()}
	if n := len(r.idle); n > 0 {
		b.rows, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	r.queue = append(r.queue, b)
	r.open = b
	return b
}

// Wait returns nil when the ticket's row is in the database or in the spool, [ErrNotRecorded] where neither takes it, or
// ctx's error. After an error the row may still be written: it is kept in memory as long as there is room.
func (r *Recorder) Wait(ctx context.Context, t Ticket) error {
	if t.outcome == nil {
		return ErrNotRecorded
	}
	select {
	case <-t.outcome.done:
		return t.outcome.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stored is the newest number of a ticket whose row is in the database, with all before it.
func (r *Recorder) Stored() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts.done()
}

// Flush returns when every row that was added before the call is in the database, those that an earlier process left
// in the spool included, or with ctx's error.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	newest := r.counts.added - r.counts.left
	r.mu.Unlock()
	return r.WaitStored(ctx, newest)
}

// WaitStored returns when the row of the ticket with that number is in the database, with all before it; 0 is before this
// process's first row, and after all that an earlier process left in the spool.
func (r *Recorder) WaitStored(ctx context.Context, number uint64) error {
	for {
		r.mu.Lock()
		reached, progress := r.counts.settled >= r.counts.left+number, r.progress
		r.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stores what waits, in the spool where the database does not take it, and ends the recorder. Call it once, when
// nobody adds any more. Where ctx ends first, rows that are left in memory are lost and their number is logged.
func (r *Recorder) Close(ctx context.Context) error {
	close(r.hurry)
	select {
	case <-r.done:
	case <-ctx.Done():
		r.mu.Lock()
		lost := r.inQueue
		r.mu.Unlock()
		if lost > 0 {
			r.Log.Error("rows were not written before the end", "rows", lost)
			return ctx.Err()
		}
	}
	if s := r.Stats(); s.SpooledRows > 0 {
		r.Log.Warn("rows are left in the spool; the next start writes them", "rows", s.SpooledRows)
	}
	return nil
}

// keep gives a slice back for a later batch.
func (r *Recorder) keep(rows []requestlog.Row) {
	clear(rows)
	r.mu.Lock()
	if len(r.idle) < maxIdle {
		r.idle = append(r.idle, rows[:0])
	}
	r.mu.Unlock()
}

// unqueue takes the n oldest batches out of memory. The caller holds mu.
func (r *Recorder) unqueue(n int) {
	for _, b := range r.queue[:n] {
		r.inQueue -= len(b.rows)
	}
	r.queue = slices.Delete(r.queue, 0, n)
}
