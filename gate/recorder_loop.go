package gate

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/claviger/claviger/models"
)

// How long rows wait. In batch mode a row is begun to be written after gatherFor, and where that takes longer than until
// slowBatch, it goes to the spool: so it outlives the process within 100 ms. In sync mode somebody waits for each row, so
// it is written as soon as nothing else is, but for a moment, gatherSync at most, in which those who got their answers may
// come again: a batch of all callers costs less than two halves. A spool for a database that is merely slow would
// only cost more.
const (
	gatherFor  = 25 * time.Millisecond
	slowBatch  = 50 * time.Millisecond
	gatherSync = 2 * time.Millisecond
	slowSync   = 500 * time.Millisecond
	// gatherSpool is how long rows are gathered in sync mode while the spool is being emptied, so that the database, which
	// takes one batch after the other, overtakes what comes.
	gatherSpool = 10 * time.Millisecond
	// writeTimeout ends an attempt to write a batch; it is then tried again.
	writeTimeout          = 10 * time.Second
	firstRetry, lastRetry = 20 * time.Millisecond, time.Second
	// Where the spool is not empty at the end, this many failures or this time later it is left to the next start.
	closeRetries = 3
	closeTime    = 3 * time.Second
	// spoolRetry is how soon a spool that failed is tried again.
	spoolRetry = 100 * time.Millisecond
)

// loop is what the recorder's loop alone knows.
type loop struct {
	flight   *batch // being written
	loaded   *batch // the oldest of the spool, where it is in memory
	spool    *spool // nil where there is none
	retryAt  time.Time
	pause    time.Duration // before the next attempt
	spillAt  time.Time     // no sooner
	spoolLog time.Time     // when a failure of the spool was logged last
}

// fly writes one batch after the other.
func (r *Recorder) fly() {
	for rows := range r.flights {
		r.landed <- withTimeout(func(ctx context.Context) error { return r.Write(ctx, rows) })
	}
}

func (r *Recorder) run() {
	defer close(r.done)
	defer close(r.flights)
	defer r.closeSpool()
	timer := time.NewTimer(0)
	hurry, closing := r.hurry, time.Time{} // since when
	over := func() bool { return !closing.IsZero() && r.finished(closing) }
	for !over() {
		due := r.step(time.Now(), !closing.IsZero())
		if over() { // what was left was damaged
			return
		}
		if end := closing.Add(closeTime); time.Now().Before(end) { // never while it is not closing
			due = earlier(due, end)
		}
		var alarm <-chan time.Time
		if !due.IsZero() {
			timer.Reset(time.Until(due))
			alarm = timer.C
		}
		select {
		case <-r.wake:
		case <-alarm:
		case err := <-r.landed:
			r.land(err)
		case <-hurry:
			hurry, closing = nil, time.Now()
		}
	}
}

// finished tells whether all rows are where they outlive the process.
func (r *Recorder) finished(closing time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.queue) > 0:
		return false
	case time.Since(closing) >= closeTime:
		return true // the batch in flight is in the spool, too
	}
	return r.loop.flight == nil && (r.counts.spooledRows == 0 || r.counts.failures > closeRetries)
}

// step begins what is due, and gives the time at which something will be: zero where nothing waits for a time.
func (r *Recorder) step(now time.Time, closing bool) (due time.Time) {
	l := &r.loop
	if l.flight == nil && !now.Before(l.retryAt) {
		if l.flight = r.next(now, closing); l.flight != nil {
			r.flights <- l.flight.rows
		}
	}
	r.mu.Lock()
	waits, failing, spooling := len(r.queue) > 0, r.counts.failures > 0, r.counts.spooledRows > 0
	var opened time.Time
	if waits {
		opened = r.queue[0].opened
	}
	r.mu.Unlock()
	if waits {
		if due = r.spillTime(opened, failing, spooling, closing); !now.Before(due) {
			r.spill(now)
			due = l.spillAt
		}
		if l.flight == nil && !failing && !spooling {
			due = earlier(due, opened.Add(r.gather()))
		}
	}
	if l.flight == nil && now.Before(l.retryAt) {
		due = earlier(due, l.retryAt)
	}
	return due
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// gather is how long a batch takes rows before it is written, where nothing else is being written.
func (r *Recorder) gather() time.Duration {
	if r.Durability == DurabilitySync {
		return gatherSync
	}
	return gatherFor
}

// next is the oldest batch, where it may be written now.
func (r *Recorder) next(now time.Time, closing bool) *batch {
	if b := r.firstSpooled(); b != nil || r.spooling() {
		return b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	b := r.queue[0]
	if b == r.open {
		if len(b.rows) < r.enough && !closing && now.Before(b.opened.Add(r.gather())) {
			return nil
		}
		r.open = nil
	}
	return b
}

// spillTime is when the rows in memory go to the spool, where the oldest came at opened: soon where the database fails, or
// where older ones are in the spool.
func (r *Recorder) spillTime(opened time.Time, failing, spooling, closing bool) time.Time {
	limit := slowBatch
	switch sync := r.Durability == DurabilitySync; {
	case failing && (sync || closing):
		limit = 0
	case sync && spooling:
		limit = gatherSpool
	case sync:
		limit = slowSync
	case failing || spooling:
		limit = gatherFor
	}
	if at := opened.Add(limit); at.After(r.loop.spillAt) {
		return at
	}
	return r.loop.spillAt
}

// land takes note of how writing the batch in flight went.
func (r *Recorder) land(err error) {
	l := &r.loop
	b := l.flight
	l.flight = nil
	if err != nil {
		r.failed(b, err)
		return
	}
	spooled := b == l.loaded
	if spooled {
		r.popSpool()
	}
	r.mu.Lock()
	c := &r.counts
	if !spooled {
		r.unqueue(1)
	}
	if r.Durability == DurabilitySync {
		r.enough = min(len(b.rows)+r.inQueue, maxBatch) // as many are calling
	}
	recovered := c.failures > 1
	c.failures, c.reason, c.unkept = 0, "", false
	r.refusing.Store(false)
	c.stored += uint64(len(b.rows))
	r.settled(len(b.rows))
	r.mu.Unlock()
	l.pause, l.retryAt = 0, time.Time{}
	b.outcome.settle(nil)
	r.keep(b.rows)
	if recovered {
		r.Log.Info("request rows are written again")
	}
}

// settled tells those who flush that n rows more need no more waiting for. The caller holds mu.
func (r *Recorder) settled(n int) {
	r.counts.settled += uint64(n)
	close(r.progress)
	r.progress = make(chan struct{})
}

// failed keeps the batch for another attempt. Whether it was stored after all is not known and does not matter.
func (r *Recorder) failed(b *batch, err error) {
	l := &r.loop
	l.pause = min(max(firstRetry, 2*l.pause), lastRetry)
	l.retryAt = time.Now().Add(l.pause)
	r.mu.Lock()
	c := &r.counts
	if c.failures == 0 {
		c.since, c.droppedBefore = r.Now(), c.dropped
	}
	c.failures++
	c.retries++
	c.reason = models.WhyNotWritten(err)
	r.mu.Unlock()
	r.Log.Error("request rows could not be written, trying again", "rows", len(b.rows), "error", err)
}

// spill moves all rows from memory to the spool: the batch in flight too, because how it ends is open. Where the spool
// does not take them they stay, and those who wait for them are told if the database has failed as well.
func (r *Recorder) spill(now time.Time) {
	l := &r.loop
	r.mu.Lock()
	r.open = nil
	batches := append([]*batch(nil), r.queue...)
	failing := r.counts.failures > 0
	r.mu.Unlock()
	if err := r.appendSpool(batches); err != nil {
		l.spillAt = now.Add(spoolRetry)
		r.refusing.Store(failing) // before anybody is told
		if failing {
			for _, b := range batches {
				b.outcome.settle(ErrNotRecorded)
			}
		}
		r.mu.Lock()
		r.counts.unkept, r.counts.spoolReason = true, ""
		if errors.As(err, new(syscall.Errno)) {
			r.counts.spoolReason = models.WhyNotWritten(err)
		}
		r.mu.Unlock()
		return
	}
	l.spillAt = time.Time{}
	for _, b := range batches {
		b.outcome.settle(nil)
		if b == l.flight {
			l.loaded = b
		} else {
			r.keep(b.rows)
		}
	}
}
