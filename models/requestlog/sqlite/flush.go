package sqlite

import (
	"context"
	"sync"

	"github.com/claviger/claviger/internal/sqldb"
)

// maintenance is the state of the work on sorted runs: flushes and compactions.
type maintenance struct {
	mu               sync.Mutex  // held while sorted runs are written or removed
	compaction       *compaction // nil if none is under way
	noUnfinishedRuns bool        // except for the run of compaction

	// flushing is the flush in the background.
	flushing struct {
		mu     sync.Mutex
		done   chan struct{} // closed when the flush has ended; nil if there is none
		cancel context.CancelFunc
		closed bool // no further flush may start
	}
}

// flushWhenFull starts a flush in the background if the memtable is full.
func (l *Log) flushWhenFull() {
	entries, batches := l.memtable.unflushed()
	f := &l.maintenance.flushing
	f.mu.Lock()
	defer f.mu.Unlock()
	full := entries >= l.options.MemtableEntries || batches >= l.options.MemtableBatches
	if !full || f.done != nil || f.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.done, f.cancel = done, cancel
	go func() {
		defer close(done)
		defer cancel()
		_ = l.flush(ctx) // after an error the journal still has the entries, and the next flush writes them, too
		f.mu.Lock()
		f.done = nil
		f.mu.Unlock()
	}()
}

// waitForRoom flushes the memtable, and waits for that, if it has four times as many entries as it should.
func (l *Log) waitForRoom(ctx context.Context) error {
	if l.memtable.size() < 4*l.options.MemtableEntries {
		return nil
	}
	return l.flush(ctx)
}

// stop cancels the flush in the background and waits for its end. No further one starts.
func (m *maintenance) stop() {
	f := &m.flushing
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

// flush writes the memtable to a new sorted run and removes its batches from the journal.
func (l *Log) flush(ctx context.Context) error {
	l.maintenance.mu.Lock()
	defer l.maintenance.mu.Unlock()
	if err := l.killUnfinishedRuns(ctx); err != nil {
		return err
	}
	part := l.memtable.freeze()
	if len(part.entries) == 0 {
		return nil
	}
	l.maintenance.noUnfinishedRuns = false
	run, err := l.newRun(ctx, 0)
	if err != nil {
		return err
	}
	for _, e := range part.entries {
		run.addEntry(e)
		if err := run.writeFullSteps(ctx); err != nil {
			return err
		}
	}
	err = countEntries(part.entries, func(c keyCount) error {
		run.addCount(c)
		return run.writeFullSteps(ctx)
	})
	if err != nil {
		return err
	}
	if err := l.writeLastUsed(ctx, part.entries); err != nil {
		return err
	}
	err = run.finish(ctx, func(tx *sqldb.Tx) error {
		return tx.Exec("UPDATE key_journal_state SET flushed = ?", part.lastSeq)
	})
	if err != nil {
		return err
	}
	l.maintenance.noUnfinishedRuns = true
	l.memtable.dropFlushed(part.lastSeq)
	return l.trimJournal(ctx)
}

// trimJournal deletes the batches that are in sorted runs from the journal, in small transactions.
func (l *Log) trimJournal(ctx context.Context) error {
	for {
		var n int64
		err := l.writer.Tx(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.ExecCount(`
				DELETE FROM key_journal
				WHERE seq IN (
					SELECT seq FROM key_journal
					WHERE seq <= (SELECT flushed FROM key_journal_state)
					ORDER BY seq
					LIMIT 50
				)`)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// killUnfinishedRuns marks sorted runs as dead that will never be finished, because of an error or because the process
// that wrote them has ended. The caller must hold maintenance.mu.
func (l *Log) killUnfinishedRuns(ctx context.Context) error {
	m := &l.maintenance
	if m.noUnfinishedRuns {
		return nil
	}
	var compacting int64
	if m.compaction != nil {
		compacting = m.compaction.out.run.id
	}
	err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		return tx.Exec("UPDATE key_runs SET state = 'dead' WHERE state = 'writing' AND id <> ?", compacting)
	})
	m.noUnfinishedRuns = err == nil
	return err
}
