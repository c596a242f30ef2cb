package sqlite

import (
	"context"
	"sync"

	"github.com/claviger/claviger/internal/sqldb"
)

// maintenance is the work on sorted runs. Whoever does it holds mu.
type maintenance struct {
	mu               sync.Mutex
	noUnfinishedRuns bool // but the one of compaction
	compaction       *compaction

	flushing struct {
		mu     sync.Mutex
		done   chan struct{} // closed when the present flush has ended; nil where none runs
		cancel context.CancelFunc
		closed bool
	}
}

// flushWhenFull flushes the memtable in the background when it is full.
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
		_ = l.flush(ctx) // after an error the journal still has the entries, and the next flush takes them along
		f.mu.Lock()
		f.done = nil
		f.mu.Unlock()
	}()
}

// waitForRoom waits while the memtable holds four times as much as it should.
func (l *Log) waitForRoom(ctx context.Context) error {
	if l.memtable.size() < 4*l.options.MemtableEntries {
		return nil
	}
	return l.flush(ctx)
}

// stop ends the flush that runs in the background.
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

// trimJournal removes the batches that are in sorted runs, in small transactions.
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

// killUnfinishedRuns marks the sorted runs as dead whose writing was ended by an error or by the end of an earlier
// process. The caller holds maintenance.mu.
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
