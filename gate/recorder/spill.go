package recorder

import (
	"errors"
	"fmt"
	"time"
)

// spoolLogEvery is how often a failure of the spool is logged at most.
const spoolLogEvery = 10 * time.Second

// unopened is logged where the spool cannot be opened.
const unopened = "the spool cannot be opened; rows that the database does not take wait in memory"

var errNoSpool = errors.New("there is no spool")

// openSpool opens the recorder's spool and counts the rows in it. It is called by New, or else by run.
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

// logSpool logs a failure of the spool, unless one was logged a moment ago.
func (r *Recorder) logSpool(message string, err error) {
	if now := time.Now(); now.Sub(r.loop.spoolLogged) >= spoolLogEvery {
		r.loop.spoolLogged = now
		r.options.Log.Error(message, "error", err)
	}
}

// spill moves all rows from memory to the spool, including the batch in flight, whose outcome is open. Where the spool
// does not take them they stay in memory, and if the database has failed as well, those who wait for them get
// ErrNotRecorded.
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

// appendSpool moves batches, the oldest of the queue, to the spool: all or none.
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
	r.unqueue(len(batches))
	return nil
}

// spooling reports whether batches are in the spool.
func (r *Recorder) spooling() bool { return r.loop.spool != nil && !r.loop.spool.empty() }

// firstSpooled returns the oldest batch of the spool; nil where there is none or it cannot be read at the moment.
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

// dropCorrupt gives up the oldest batch of the spool, which is corrupt, and counts its rows as dropped. An error means
// that the rest of the spool cannot be read at the moment.
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

// popSpool removes the oldest batch, of so many rows, from the spool.
func (r *Recorder) popSpool(rows int) {
	s := r.loop.spool
	if err := s.popFront(rows); err != nil {
		r.logSpool("a written file of the spool cannot be deleted; the next start would write it again", err)
	}
	r.mu.Lock()
	r.counts.spooledRows, r.counts.spoolBytes = s.rows, s.waiting()
	r.mu.Unlock()
}

func (r *Recorder) closeSpool() {
	if s := r.loop.spool; s != nil {
		if err := s.close(); err != nil {
			r.options.Log.Error("the spool cannot be closed", "error", err)
		}
	}
}
