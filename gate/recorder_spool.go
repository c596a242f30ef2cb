package gate

import (
	"errors"
	"time"
)

// spoolLogEvery bounds how often a failure of the spool is logged.
const spoolLogEvery = 10 * time.Second

// openSpool opens the recorder's spool; where that fails, the first row that needs it tries again.
func (r *Recorder) openSpool() error {
	s, rows, err := openSpool(r.Folder, r.Log)
	if err != nil {
		r.logSpool("the spool cannot be opened", err)
		return err
	}
	r.loop.spool = s
	if rows > 0 {
		r.Log.Info("rows that an earlier process left are written first", "rows", rows)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	c.spooledRows, c.spoolBytes, c.oldestSpooled = rows, s.end-s.start, r.Now()
	c.added += uint64(rows)
	c.left = uint64(rows)
	return nil
}

func (r *Recorder) logSpool(what string, err error) {
	if now := time.Now(); now.Sub(r.loop.spoolLog) >= spoolLogEvery {
		r.loop.spoolLog = now
		r.Log.Error(what, "error", err)
	}
}

// appendSpool moves batches, the oldest of the queue, to the spool.
func (r *Recorder) appendSpool(batches []*batch) error {
	s := r.loop.spool
	if r.Folder == "" {
		return errNoSpool
	}
	if s == nil {
		if err := r.openSpool(); err != nil {
			return err
		}
		s = r.loop.spool
	}
	if err := s.append(batches, r.Durability == DurabilitySync); err != nil {
		r.logSpool("rows cannot be put into the spool and wait in memory", err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	if c.spooledRows == 0 {
		c.oldestSpooled = batches[0].rows[0].ID.Time()
	}
	for _, b := range batches {
		c.spooledRows += len(b.rows)
	}
	c.spoolBytes, c.unkept = s.end-s.start, false
	r.refusing.Store(false)
	r.unqueue(len(batches))
	return nil
}

// firstSpooled is the oldest batch of the spool, nil where it is empty or cannot be read at the moment.
func (r *Recorder) firstSpooled() *batch {
	l := &r.loop
	for l.loaded == nil && r.spooling() {
		rows, f, err := l.spool.first()
		if errors.Is(err, errSpoolDamaged) {
			if err = r.lose(f.rows, err); err == nil {
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

// spooling tells whether batches are in the spool.
func (r *Recorder) spooling() bool { return r.loop.spool != nil && !r.loop.spool.empty() }

// lose gives up the oldest batch of the spool, which is damaged and had so many rows; 0 where nobody knows. An error means that the
// rest cannot be read at the moment.
func (r *Recorder) lose(rows int, damage error) error {
	s := r.loop.spool
	if rows == 0 { // as many as are not left
		left, err := s.count(s.start + s.firstSize)
		if err != nil {
			return err
		}
		rows = max(0, r.Stats().SpooledRows-left)
	}
	r.Log.Error("rows in the spool cannot be read and are lost", "rows", rows, "bytes", s.firstSize, "error", damage)
	r.shorten()
	r.mu.Lock()
	r.counts.dropped += uint64(rows)
	r.unspool(rows)
	r.settled(rows)
	r.mu.Unlock()
	return nil
}

// popSpool drops the batch that was written.
func (r *Recorder) popSpool() {
	l := &r.loop
	rows := l.loaded.rows
	l.loaded = nil
	r.shorten()
	r.mu.Lock()
	r.unspool(len(rows))
	r.mu.Unlock()
}

// shorten drops the oldest batch of the spool.
func (r *Recorder) shorten() {
	if err := r.loop.spool.pop(); err != nil {
		r.logSpool("the spool cannot be shortened: what was written of it is written again at the next start, which changes nothing", err)
	}
}

// unspool takes rows out of the counts. The caller holds mu.
func (r *Recorder) unspool(rows int) {
	c := &r.counts
	c.spooledRows -= rows
	c.spoolBytes = r.loop.spool.end - r.loop.spool.start
}

func (r *Recorder) closeSpool() {
	if s := r.loop.spool; s != nil {
		if err := s.close(); err != nil {
			r.Log.Error("the spool cannot be closed", "error", err)
		}
	}
}
