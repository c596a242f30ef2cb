package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// ErrNotRecorded is the error for a row that could be written neither to the database nor to the spool.
var ErrNotRecorded = errors.New("write request log: neither the database nor the spool takes the row")

// batch is a group of rows that are written together.
type batch struct {
	rows    []requestlog.Row
	opened  time.Time // when the first row came
	outcome *outcome
}

// outcome says whether a batch is in the database or in the spool. Only run settles it.
type outcome struct {
	done chan struct{}
	err  error // to be read after done is closed
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

// settle sets the outcome. Further calls have no effect.
func (o *outcome) settle(err error) {
	select {
	case <-o.done:
	default:
		o.err = err
		close(o.done)
	}
}

// Ticket identifies a row that was added. The zero Ticket is that of a row that was dropped.
type Ticket struct {
	Number  uint64 // 1 for the first row of this process, and one more for each further row
	outcome *outcome
}

// Wait returns nil when the ticket's row is in the database or in the spool, [ErrNotRecorded] if both have failed, or
// ctx's error. After an error the row may still be written: unless it was dropped, it stays in memory and is tried
// again.
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

// Stored returns the highest ticket number for which the rows up to it are in the database, or lost from the spool.
func (r *Recorder) Stored() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts.stored()
}

// Flush returns when every row that was added before the call is in the database, including those that an earlier
// process left in the spool, or with ctx's error. It does not wait for rows that are lost because the spool is corrupt.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	newest := r.counts.added - r.counts.left
	r.mu.Unlock()
	return r.WaitStored(ctx, newest)
}

// WaitStored returns when the rows up to that ticket number are in the database, as with [Recorder.Flush], or with
// ctx's error. With number 0 it waits for the rows that an earlier process left in the spool.
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

// openBatch puts a new batch at the end of the queue. The caller holds mu.
func (r *Recorder) openBatch() *batch {
	b := &batch{opened: time.Now(), outcome: newOutcome()}
	if n := len(r.free); n > 0 {
		b.rows, r.free = r.free[n-1], r.free[:n-1]
	}
	r.queue = append(r.queue, b)
	r.open = b
	return b
}

// dequeue removes the n oldest batches from the queue. The caller holds mu.
func (r *Recorder) dequeue(n int) {
	for _, b := range r.queue[:n] {
		r.queued -= len(b.rows)
	}
	r.queue = slices.Delete(r.queue, 0, n)
}

// recycle keeps the slice of a finished batch for a later one.
func (r *Recorder) recycle(rows []requestlog.Row) {
	clear(rows)
	r.mu.Lock()
	if len(r.free) < maxFree {
		r.free = append(r.free, rows[:0])
	}
	r.mu.Unlock()
}
