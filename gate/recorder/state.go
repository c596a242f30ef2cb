package recorder

import "time"

// counts is guarded by the recorder's mu.
type counts struct {
	added, settled            uint64 // rows; settled ones are stored or lost
	left                      uint64 // rows that an earlier process left in the spool
	written, retries, dropped uint64
	droppedBefore             uint64 // dropped when the present failure began
	spooledRows               int
	spoolBytes                int64
	oldestSpooled             time.Time
	failures                  int       // attempts to write that failed since the last success
	since                     time.Time // of the first of them
	err                       error     // of the last of them
	spoolErr                  error     // of the last attempt to use the spool, where it failed
}

// stored is how many rows of this process are settled. Those that an earlier process left come before them.
func (c *counts) stored() uint64 { return c.settled - min(c.settled, c.left) }

// Stats are counts since the start, and what waits now.
type Stats struct {
	Waiting                  int // rows that are not in the database, spooled ones included
	SpooledRows              int
	SpoolBytes               int64
	Lag                      time.Duration // age of the oldest row that waits
	Stored, Retries, Dropped uint64        // rows, attempts, rows
}

// Stats returns the counts at this moment.
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

// Oldest returns the time of the oldest row that waits, zero where none does.
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

// State says whether the request log is being written.
type State struct {
	Behind     bool      // rows wait because the database does not take them; all else is zero where it is false
	Err        error     // why the database did not take them at the last attempt
	SpoolErr   error     // why the spool does not take them either; nil where it does
	Since      time.Time // of the first attempt that failed
	Waiting    int       // rows
	SpoolBytes int64
	Refusing   bool   // the spool does not take rows either, and with DurabilitySync requests fail
	Dropped    uint64 // rows since then
}

// Refusing reports whether neither the database nor the spool took rows at the last attempts. It takes no lock.
func (r *Recorder) Refusing() bool { return r.refusing.Load() }

// State returns the state at this moment. One failed attempt is not reported; two in a row are.
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
