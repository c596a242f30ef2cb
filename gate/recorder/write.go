package recorder

import (
	"context"
	"time"
)

// writeLoop writes one batch after the other to the database. It is a goroutine of its own so that run can go on
// meanwhile.
func (r *Recorder) writeLoop() {
	for rows := range r.writes {
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		r.written <- r.options.Write(ctx, rows)
		cancel()
	}
}

// onWritten handles the result of writing the batch in flight.
func (r *Recorder) onWritten(err error) {
	l := &r.loop
	b := l.inFlight
	l.inFlight = nil
	if err != nil {
		r.onFailed(b, err)
		return
	}
	spooled := b == l.loaded
	if spooled {
		l.loaded = nil
		r.popSpool(len(b.rows))
	}
	r.mu.Lock()
	c := &r.counts
	if !spooled {
		r.dequeue(1)
	}
	if r.options.Durability == DurabilitySync {
		r.target = min(len(b.rows)+r.queued, maxBatch) // the number of callers that wait or just got their answers
	}
	recovered := c.failures > 1
	c.failures, c.err, c.spoolErr = 0, nil, nil
	r.refusing.Store(false)
	c.written += uint64(len(b.rows))
	r.markSettled(len(b.rows))
	r.mu.Unlock()
	l.pause, l.retryAt = 0, time.Time{}
	b.outcome.settle(nil)
	r.recycle(b.rows)
	if recovered {
		r.options.Log.Info("the request log is written again")
	}
}

// onFailed sets the time of the next attempt. The batch may be in the database although the write failed; writing it
// again changes nothing.
func (r *Recorder) onFailed(b *batch, err error) {
	l := &r.loop
	l.pause = min(max(firstRetry, 2*l.pause), lastRetry)
	l.retryAt = time.Now().Add(l.pause)
	r.mu.Lock()
	c := &r.counts
	if c.failures == 0 {
		c.since, c.droppedBefore = r.options.Now(), c.dropped
	}
	c.failures++
	c.retries++
	c.err = err
	r.mu.Unlock()
	r.options.Log.Error("the request log cannot be written; trying again", "rows", len(b.rows), "error", err)
}
