package recorder

import "time"

// counts are the recorder's counters. They are guarded by its mu.
type counts struct {
	added, settled            uint64 // rows; settled ones are in the database or lost
	left                      uint64 // rows that an earlier process left in the spool
	written, retries, dropped uint64
	droppedBefore             uint64 // value of dropped when the present failure began
	spooledRows               int
	spoolBytes                int64
	oldestSpooled             time.Time
	failures                  int       // attempts to write that failed since the last success
	since                     time.Time // time of the first of them
	err                       error     // error of the last of them
	spoolErr                  error     // of the last attempt to use the spool; nil if it or a later write succeeded
}

// stored returns how many rows of this process are settled; those that an earlier process left are settled first. If
// the spool was opened late, that is not so for the first rows, and stored is too small for a while.
func (c *counts) stored() uint64 { return c.settled - min(c.settled, c.left) }

// Stats are counts since the start, and the present backlog.
type Stats struct {
	Waiting                  int // rows that are not in the database yet, including those in the spool
	SpooledRows              int
	SpoolBytes               int64
	Lag                      time.Duration // age of the oldest row that is not in the database yet
	Stored, Retries, Dropped uint64        // rows, attempts, rows
}

// Stats returns the present counts.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	s := Stats{
		Waiting: int(c.added - c.settled), SpooledRows: c.spooledRows, SpoolBytes: c.spoolBytes,
		Stored: c.written, Retries: c.retries, Dropped: c.dropped,
	}
	if oldest := r.oldest(); !oldest.IsZero() {
		s.Lag = max(0, r.options.Now().Sub(oldest))
	}
	return s
}

// Oldest returns the time of the oldest row that is not in the database yet, zero if there is none. For rows that an
// earlier process left, it is the time of the start until they are read.
func (r *Recorder) Oldest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest()
}

// oldest is Oldest for a caller that holds mu.
func (r *Recorder) oldest() time.Time {
	if r.counts.spooledRows > 0 {
		return r.counts.oldestSpooled
	}
	if len(r.queue) > 0 {
		return r.queue[0].rows[0].ID.Time()
	}
	return time.Time{}
}

// State says whether rows are being written to the database. If they are, all fields are zero.
type State struct {
	Behind     bool      // rows wait because the database does not take them
	Err        error     // error of the last attempt to write to the database
	SpoolErr   error     // error of the last attempt to use the spool; nil if it succeeded
	Since      time.Time // time of the first failed attempt
	Waiting    int       // rows
	SpoolBytes int64
	Refusing   bool   // with DurabilitySync: the spool fails as well, so requests are refused
	Dropped    uint64 // rows dropped since the first failed attempt
}

// Refusing reports whether the last attempts to write to the database and to the spool both failed. It takes no lock.
func (r *Recorder) Refusing() bool { return r.refusing.Load() }

// State returns the present state. One failed attempt is not reported; two in a row are.
func (r *Recorder) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	if c.failures < 2 {
		return State{}
	}
	return State{
		Behind: true, Err: c.err, SpoolErr: c.spoolErr, Since: c.since,
		Waiting: int(c.added - c.settled), SpoolBytes: c.spoolBytes,
		Refusing: c.spoolErr != nil && r.options.Durability == DurabilitySync, Dropped: c.dropped - c.droppedBefore,
	}
}
