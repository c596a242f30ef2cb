package gate

import "time"

// counts is guarded by the recorder's mu.
type counts struct {
	added, settled           uint64 // rows; settled are those that nobody waits for any more
	left                     uint64 // rows that an earlier process left in the spool
	stored, retries, dropped uint64
	droppedBefore            uint64 // dropped when the present failure began
	spooledRows              int
	spoolBytes               int64
	oldestSpooled            time.Time
	failures                 int // attempts to write that failed since the last that did not
	since                    time.Time
	reason                   string
	unkept                   bool   // the spool does not take rows either
	spoolReason              string // why, where there is more to say than that there is none
}

// done is how many of this process's own rows are settled. What an earlier process left goes before them.
func (c *counts) done() uint64 { return c.settled - min(c.settled, c.left) }

// RecorderStats are counts since the start, and what waits now.
type RecorderStats struct {
	Waiting                  int // rows that are not in the database, the spooled ones included
	SpooledRows              int
	SpoolBytes               int64
	Lag                      time.Duration // age of the oldest row that waits
	Stored, Retries, Dropped uint64        // rows, attempts, rows
}

// Stats of the recorder at this moment.
func (r *Recorder) Stats() RecorderStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	s := RecorderStats{
		Waiting: int(c.added - c.settled), SpooledRows: c.spooledRows, SpoolBytes: c.spoolBytes,
		Stored: c.stored, Retries: c.retries, Dropped: c.dropped,
	}
	if oldest := r.oldest(); !oldest.IsZero() {
		s.Lag = max(0, r.Now().Sub(oldest))
	}
	return s
}

// Oldest is the time of the oldest row that waits, zero where none does.
func (r *Recorder) Oldest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest()
}

// oldest is the time of the oldest row that waits, zero where none does. The caller holds mu.
func (r *Recorder) oldest() time.Time {
	if r.counts.spooledRows > 0 {
		return r.counts.oldestSpooled
	}
	if len(r.queue) > 0 {
		return r.queue[0].rows[0].ID.Time()
	}
	return time.Time{}
}

// RecorderState says whether the request log is written.
type RecorderState struct {
	Behind     bool      // rows wait because the database does not take them; the rest is zero where it does
	Reason     string    // safe to show, such as "the disk is full"
	Since      time.Time // of the first attempt that failed
	Waiting    int       // rows
	SpoolBytes int64
	Refusing   bool   // the spool does not take rows either, and with [DurabilitySync] requests fail
	Dropped    uint64 // rows since then
}

// Refusing tells whether neither the database nor the spool takes rows, as far as the last attempts tell.
func (r *Recorder) Refusing() bool { return r.refusing.Load() }

// State of the recorder at this moment. A failure that the next attempt mends is nobody's business.
func (r *Recorder) State() RecorderState {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	if c.failures < 2 {
		return RecorderState{}
	}
	reason := c.reason
	if c.unkept && c.spoolReason != "" && c.spoolReason != reason {
		reason += ", and " + c.spoolReason
	}
	return RecorderState{
		Behind: true, Reason: reason, Since: c.since, Waiting: int(c.added - c.settled), SpoolBytes: c.spoolBytes,
		Refusing: c.unkept && r.Durability == DurabilitySync, Dropped: c.dropped - c.droppedBefore,
	}
}
