package recorder

import "time"

// How long rows wait.
//
// In batch mode a batch is written gatherFor after its first row. If it is not written slowBatch after its first row,
// it goes to the spool, so that it survives the end of the process within 100 ms.
//
// In sync mode a caller waits for each row. A batch is written when no other is being written and it has a row of
// every caller seen at the last write, or gatherSync after its first row: one batch of all callers costs less than
// two. If the database is only slow, rows do not go to the spool before slowSync, because that would cost more than
// waiting.
const (
	gatherFor  = 25 * time.Millisecond
	slowBatch  = 50 * time.Millisecond
	gatherSync = 2 * time.Millisecond
	slowSync   = 500 * time.Millisecond
	// gatherSpool is how long rows gather in sync mode while older rows are in the spool. The database then writes one
	// batch of the spool after the other, and catches up sooner if they are larger.
	gatherSpool = 10 * time.Millisecond
	// writeTimeout is the time limit of an attempt to write a batch.
	writeTimeout          = 10 * time.Second
	firstRetry, lastRetry = 20 * time.Millisecond, time.Second
	// closeRetries is the number of failed attempts after which Close leaves the rows in the spool to the next start.
	closeRetries = 3
	// spoolRetry is the pause after a failed attempt to write to the spool.
	spoolRetry = 100 * time.Millisecond
)

// loop is the state that only run uses, once it has started.
type loop struct {
	inFlight    *batch        // being written
	loaded      *batch        // the oldest batch of the spool, if it is in memory
	spool       *spool        // nil if it is not open
	retryAt     time.Time     // no attempt to write before it
	pause       time.Duration // from the last failed attempt to the next one
	spillAt     time.Time     // no attempt to write to the spool before it
	spoolLogged time.Time     // when a failure of the spool was last logged
}

// run decides which batch is written when. It returns after Close was called and finished reports true.
func (r *Recorder) run() {
	defer close(r.done)
	defer close(r.writes)
	defer r.closeSpool()
	timer := time.NewTimer(0)
	closing, closed := r.closing, time.Time{} // closed is when Close was called
	over := func() bool { return !closed.IsZero() && r.finished(closed) }
	for !over() {
		due := r.step(time.Now(), !closed.IsZero())
		if over() { // step dropped the rest of the spool, which was corrupt
			return
		}
		if end := closed.Add(r.limits.closeTime); time.Now().Before(end) { // false while closed is zero
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
		case err := <-r.written:
			r.onWritten(err)
		case <-closing:
			closing, closed = nil, time.Now()
		}
	}
}

// finished reports whether all rows are in the database, or are in the spool and Close does not wait for the database
// any longer.
func (r *Recorder) finished(closed time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.queue) > 0:
		return false
	case time.Since(closed) >= r.limits.closeTime:
		return true // the queue is empty, so a batch in flight is in the spool as well
	}
	return r.loop.inFlight == nil && (r.counts.spooledRows == 0 || r.counts.failures > closeRetries)
}

// step starts what is due at now, and returns when something will be due next, zero if nothing will be by time alone.
func (r *Recorder) step(now time.Time, closing bool) (due time.Time) {
	l := &r.loop
	if l.inFlight == nil && !now.Before(l.retryAt) {
		if l.inFlight = r.next(now, closing); l.inFlight != nil {
			r.writes <- l.inFlight.rows
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
		if l.inFlight == nil && !failing && !spooling {
			due = earlier(due, opened.Add(r.gatherTime()))
		}
	}
	if l.inFlight == nil && now.Before(l.retryAt) {
		due = earlier(due, l.retryAt)
	}
	return due
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// gatherTime returns how long a batch takes rows before it is written, if no other batch is being written.
func (r *Recorder) gatherTime() time.Duration {
	if r.options.Durability == DurabilitySync {
		return gatherSync
	}
	return gatherFor
}

// next returns the oldest batch if it may be written now, and nil otherwise.
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
		if len(b.rows) < r.target && !closing && now.Before(b.opened.Add(r.gatherTime())) {
			return nil
		}
		r.open = nil
	}
	return b
}

// spillTime returns when the rows in memory go to the spool; the oldest of them came at opened. That is sooner if the
// database fails, or if older rows are in the spool.
func (r *Recorder) spillTime(opened time.Time, failing, spooling, closing bool) time.Time {
	limit := slowBatch
	switch sync := r.options.Durability == DurabilitySync; {
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
