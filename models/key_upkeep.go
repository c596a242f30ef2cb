package models

import (
	"context"
	"sync"
)

// upkeep is the work on runs: one at a time holds mu.
type upkeep struct {
	mu      sync.Mutex
	cleaned bool // no run is half-written but that of merge
	merge   *mergeJob

	flushing struct {
		mu     sync.Mutex
		done   chan struct{} // closed when the flush that runs has ended; nil where none does
		cancel context.CancelFunc
		closed bool
	}
}

// flushWhenFull writes the tail to a run in the background when it is full.
func (q *sqliteRequests) flushWhenFull() {
	entries, batches := q.tail.waiting()
	f := &q.upkeep.flushing
	f.mu.Lock()
	defer f.mu.Unlock()
	if entries < limits.tail && batches < limits.tailBatches || f.done != nil || f.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.done, f.cancel = done, cancel
	go func() {
		defer close(done)
		defer cancel()
		// Where it fails, what was in the tail is in the journal still, and the next one takes it along.
		_ = q.flush(ctx)
		f.mu.Lock()
		f.done = nil
		f.mu.Unlock()
	}()
}

// waitForRoom waits while the tail is overfull.
func (q *sqliteRequests) waitForRoom(ctx context.Context) error {
	total := 0
	for _, p := range q.tail.snapshot() {
		total += len(p.entries)
	}
	if total < 4*limits.tail {
		return nil
	}
	return q.flush(ctx)
}

// stop ends the flush that runs, if any. The journal has what it was about to write.
func (u *upkeep) stop() {
	f := &u.flushing
	f.mu.Lock()
	f.closed = true
	done := f.done
	if done != nil {
		f.cancel()
	}
	f.mu.Unlock()
	if done != nil {
		<-done
	}
}

// flush writes the tail to a new run and empties the journal as far.
func (q *sqliteRequests) flush(ctx context.Context) error {
	q.upkeep.mu.Lock()
	defer q.upkeep.mu.Unlock()
	if err := q.buryHalfWritten(ctx); err != nil {
		return err
	}
	part := q.tail.freeze()
	if len(part.entries) == 0 {
		return nil
	}
	q.upkeep.cleaned = false // until this run is finished
	run, err := newRun(ctx, q.writer, 0)
	if err != nil {
		return err
	}
	for _, e := range part.entries {
		run.entry(e)
		if err := run.store(ctx, false); err != nil {
			return err
		}
	}
	err = countsOf(part.entries, func(c keyCount) error {
		run.count(c)
		return run.store(ctx, false)
	})
	if err != nil {
		return err
	}
	if err := q.writeUses(ctx, part.entries); err != nil {
		return err
	}
	err = run.finish(ctx, func(tx *writeTx) error {
		return tx.exec("UPDATE key_journal_state SET flushed = ?", part.lastSeq)
	})
	if err != nil {
		return err
	}
	q.upkeep.cleaned = true
	q.tail.drop(part.lastSeq)
	return q.cleanJournal(ctx)
}

// cleanJournal removes batches that are in runs, some at a time.
func (q *sqliteRequests) cleanJournal(ctx context.Context) error {
	for {
		var n int64
		err := q.writer.tx(ctx, func(tx *writeTx) (err error) {
			n, err = tx.changed("DELETE FROM key_journal WHERE seq IN (SELECT seq FROM key_journal WHERE seq <= (SELECT flushed FROM key_journal_state) ORDER BY seq LIMIT 50)")
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// buryHalfWritten marks runs as dead whose writing was broken off, by an error or by the end of an earlier process. The
// caller holds mu.
func (q *sqliteRequests) buryHalfWritten(ctx context.Context) error {
	if q.upkeep.cleaned {
		return nil
	}
	var merging int64
	if m := q.upkeep.merge; m != nil {
		merging = m.out.run.id
	}
	err := q.writer.tx(ctx, func(tx *writeTx) error {
		return tx.exec("UPDATE key_runs SET state = 'dead' WHERE state = 'writing' AND id <> ?", merging)
	})
	q.upkeep.cleaned = err == nil
	return err
}
