package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// ErrNotRecorded says that neither the database nor the spool took a row.
var ErrNotRecorded = errors.New("write request log: neither the database nor the spool takes the row")

// batch is rows that are written together.
type batch struct {
	rows    []requestlog.Row
	opened  time.Time
	outcome *outcome
}

// outcome tells those who wait for a batch whether it is kept. Only run settles it.
type outcome struct {
	done chan struct{}
	err  error // may be read once done is closed
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

// settle sets the outcome. Only the first call counts.
func (o *outcome) settle(err error) {
	select {
	case <-o.done:
	default:
		o.err = err
		close(o.done)
	}
}

// Ticket stands for a row that was added. The zero Ticket is that of a row that was dropped.
type Ticket struct {
	Number  uint64 // grows by one with each row
	outcome *outcome
}

// Wait returns nil when the ticket's row is in the database or in the spool, [ErrNotRecorded] where neither takes it,
// or ctx's error. After an error the row may still be written: it stays in memory and is tried again.
func (r *Recorder) Wait(ctx context.Context, t Ticket) error {
	if t.outcome == nil {
		return ErrNotRecorded
	}
	select {
	case <-t.outcome.done:
		return t.outcome.err
	case <-ctx.Done():
		return fmt.Errorf("write request log: %w", ctx.Err())
	}
}

// Stored returns the newest ticket number whose row is in the database, with the rows of all numbers before it.
func (r *Recorder) Stored() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts.stored()
}

// Flush returns when every row that was added before the call is in the database, including those that an earlier
// process left in the spool, or with ctx's error.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	newest := r.counts.added - r.counts.left
	r.mu.Unlock()
	return r.WaitStored(ctx, newest)
}

// WaitStored returns when the row with that ticket number is in the database, with all before it, or with ctx's error.
// Number 0 stands before the first row of this process and after those that an earlier process left in the spool.
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
			return fmt.Errorf("flush request log: %w", ctx.Err())
		}
	}
}

// markSettled counts n rows as stored or lost and wakes callers of Flush. The caller holds mu.
func (r *Recorder) markSettled(n int) {
	r.counts.settled += uint64(n)
	close(r.progress)
	r.progress = make(chan struct{})
}

// begin opens a batch at the end of the queue. The caller holds mu.
func (r *Recorder) begin() *batch {
	b := &batch{opened: time.Now(), outcome: newOutcome()}
	if n := len(r.free); n > 0 {
		b.rows, r.free = r.free[n-1], r.free[:n-1]
	}
	r.queue = append(r.queue, b)
	r.open = b
	return b
}

// unqueue removes the n oldest batches from memory. The caller holds mu.
func (r *Recorder) unqueue(n int) {
	for _, b := range r.queue[:n] {
		r.queued -= len(b.rows)
	}
	r.queue = slices.Delete(r.queue, 0, n)
}

// recycle keeps the slice of a batch that is done for a later one.
func (r *Recorder) recycle(rows []requestlog.Row) {
	clear(rows)
	r.mu.Lock()
	if len(r.free) < maxFree {
		r.free = append(r.free, rows[:0])
	}
	r.mu.Unlock()
}
