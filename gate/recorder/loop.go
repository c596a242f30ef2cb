package recorder

import "time"

// How long rows wait. In batch mode a batch is written gatherFor after its first row; where that is not done slowBatch
// after it, the batch goes to the spool, so that it outlives the process within 100 ms. In sync mode a caller waits for
// each row: a batch is written as soon as no other one is, after at most gatherSync, in which callers that have just
// got their answers may come again. One batch of all callers costs less than two halves. There a database that is
// merely slow does not make rows go to the spool before slowSync, because that would only cost more.
const (
	gatherFor  = 25 * time.Millisecond
	slowBatch  = 50 * time.Millisecond
	gatherSync = 2 * time.Millisecond
	slowSync   = 500 * time.Millisecond
	// gatherSpool is how long rows gather in sync mode while the spool is being emptied: the database takes one batch
	// after the other, and larger ones let it catch up.
	gatherSpool = 10 * time.Millisecond
	// writeTimeout ends an attempt to write a batch; it is then tried again.
	writeTimeout          = 10 * time.Second
	firstRetry, lastRetry = 20 * time.Millisecond, time.Second
	// closeRetries is after how many failed attempts Close leaves the spool to the next start.
	closeRetries = 3
	// spoolRetry is how soon a spool that failed is tried again.
	spoolRetry = 100 * time.Millisecond
)

// loop is what only run uses.
type loop struct {
	inFlight    *batch // being written
	loaded      *batch // the oldest batch of the spool, where it is in memory
	spool       *spool // nil where it is not open
	retryAt     time.Time
	pause       time.Duration // before the next attempt
	spillAt     time.Time     // no sooner
	spoolLogged time.Time     // when a failure of the spool was logged last
}

// run decides what is written when, until Close has been called and the rows are kept.
func (r *Recorder) run() {
	defer close(r.done)
	defer close(r.writes)
	defer r.closeSpool()
	timer := time.NewTimer(0)
	closing, closed := r.closing, time.Time{} // closed is when Close was called
	over := func() bool { return !closed.IsZero() && r.finished(closed) }
	for !over() {
		due := r.step(time.Now(), !closed.IsZero())
		if over() { // the rest of the spool was corrupt
			return
		}
		if end := closed.Add(r.limits.closeTime); time.Now().Before(end) { // false before Close
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

// finished reports whether all rows are where they outlive the process.
func (r *Recorder) finished(closed time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.queue) > 0:
		return false
	case time.Since(closed) >= r.limits.closeTime:
		return true // the batch in flight is in the spool as well
	}
	return r.loop.inFlight == nil && (r.counts.spooledRows == 0 || r.counts.failures > closeRetries)
}

// step starts what is due at now, and returns when something will be due next; zero where nothing waits for a time.
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

// gatherTime is how long a batch takes rows before it is written, where no other one is being written.
func (r *Recorder) gatherTime() time.Duration {
	if r.options.Durability == DurabilitySync {
		return gatherSync
	}
	return gatherFor
}

// next returns the oldest batch, where it may be written now, and nil otherwise.
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
		if len(b.rows) < r.enough && !closing && now.Before(b.opened.Add(r.gatherTime())) {
			return nil
		}
		r.open = nil
	}
	return b
}

// spillTime returns when the rows in memory go to the spool, the oldest of which came at opened: soon where the
// database fails, or where older rows are in the spool.
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
