package recorder

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// spoolLogEvery is the least time between two log lines about failures of the spool.
const spoolLogEvery = 10 * time.Second

// unopened is logged if the spool cannot be opened.
const unopened = "the spool cannot be opened; rows that the database does not take wait in memory"

var errNoSpool = errors.New("there is no spool")

// openSpool opens the recorder's spool and counts the rows in it. New calls it; if that fails, run calls it again.
func (r *Recorder) openSpool() error {
	s, err := openSpool(r.options.Folder, r.limits, r.options.Log)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	r.loop.spool = s
	if s.rows > 0 {
		r.options.Log.Info("rows that an earlier process left are written first", "rows", s.rows)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	c.spooledRows, c.spoolBytes, c.oldestSpooled = s.rows, s.waiting(), r.options.Now()
	c.added += uint64(s.rows)
	c.left = uint64(s.rows)
	return nil
}

// logSpool logs a failure of the spool, at most once in spoolLogEvery.
func (r *Recorder) logSpool(message string, err error) {
	if now := time.Now(); now.Sub(r.loop.spoolLogged) >= spoolLogEvery {
		r.loop.spoolLogged = now
		r.options.Log.Error(message, "error", err)
	}
}

// spill moves all rows from memory to the spool, including the batch in flight, which may still fail. If that fails,
// the rows stay in memory; if the database has failed as well, callers that wait for them get ErrNotRecorded.
func (r *Recorder) spill(now time.Time) {
	l := &r.loop
	r.mu.Lock()
	r.open = nil
	batches := slices.Clone(r.queue)
	failing := r.counts.failures > 0
	r.mu.Unlock()
	if err := r.appendSpool(batches); err != nil {
		l.spillAt = now.Add(spoolRetry)
		r.refusing.Store(failing) // before callers get the outcome
		if failing {
			for _, b := range batches {
				b.outcome.settle(ErrNotRecorded)
			}
		}
		r.mu.Lock()
		r.counts.spoolErr = err
		r.mu.Unlock()
		return
	}
	l.spillAt = time.Time{}
	for _, b := range batches {
		b.outcome.settle(nil)
		if b == l.inFlight {
			l.loaded = b
		} else {
			r.recycle(b.rows)
		}
	}
}

// appendSpool moves the batches, which are the oldest of the queue, to the spool: all or none. It opens the spool if
// needed.
func (r *Recorder) appendSpool(batches []*batch) error {
	if r.options.Folder == "" {
		return errNoSpool
	}
	if r.loop.spool == nil {
		if err := r.openSpool(); err != nil {
			r.logSpool(unopened, err)
			return err
		}
	}
	s := r.loop.spool
	if err := s.append(batches, r.options.Durability == DurabilitySync); err != nil {
		r.logSpool("rows cannot be put into the spool and wait in memory", err)
		return fmt.Errorf("write spool: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	if c.spooledRows == 0 {
		c.oldestSpooled = batches[0].rows[0].ID.Time()
	}
	c.spooledRows, c.spoolBytes, c.spoolErr = s.rows, s.waiting(), nil
	r.refusing.Store(false)
	r.dequeue(len(batches))
	return nil
}

// spooling reports whether the spool has batches.
func (r *Recorder) spooling() bool { return r.loop.spool != nil && !r.loop.spool.empty() }

// firstSpooled returns the oldest batch of the spool. It returns nil if there is none, or if it cannot be read now;
// then it sets the time of the next attempt.
func (r *Recorder) firstSpooled() *batch {
	l := &r.loop
	for l.loaded == nil && r.spooling() {
		rows, err := l.spool.first()
		if errors.Is(err, errCorrupt) {
			if err = r.dropCorrupt(err); err == nil {
				continue
			}
		}
		if err != nil {
			r.logSpool("the spool cannot be read at the moment", err)
			l.retryAt = time.Now().Add(lastRetry)
			return nil
		}
		l.loaded = &batch{rows: rows, outcome: newOutcome()}
		r.mu.Lock()
		r.counts.oldestSpooled = rows[0].ID.Time()
		r.mu.Unlock()
	}
	return l.loaded
}

// dropCorrupt removes the oldest batch of the spool, which is corrupt, and counts its rows as dropped. It returns an
// error if it cannot tell how many rows that are, because the segment cannot be read now.
func (r *Recorder) dropCorrupt(corrupt error) error {
	rows, bytes, err := r.loop.spool.frontExtent()
	if err != nil {
		return err
	}
	r.options.Log.Error("rows in the spool are corrupt and lost", "rows", rows, "bytes", bytes, "error", corrupt)
	r.popSpool(rows)
	r.mu.Lock()
	r.counts.dropped += uint64(rows)
	r.markSettled(rows)
	r.mu.Unlock()
	return nil
}

// popSpool removes the oldest batch from the spool. rows is its number of rows.
func (r *Recorder) popSpool(rows int) {
	s := r.loop.spool
	if err := s.popFront(rows); err != nil {
		r.logSpool("a file of the spool cannot be deleted; until it is, a restart writes its rows again", err)
	}
	r.mu.Lock()
	r.counts.spooledRows, r.counts.spoolBytes = s.rows, s.waiting()
	r.mu.Unlock()
}

// closeSpool closes the spool, if it is open.
func (r *Recorder) closeSpool() {
	if s := r.loop.spool; s != nil {
		if err := s.close(); err != nil {
			r.options.Log.Error("the spool cannot be closed", "error", err)
		}
	}
}
