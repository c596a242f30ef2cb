package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// sortedRun describes an immutable part of the index by key: the entries and counts of a range of time, sorted by key,
// in blocks that each fit a page of the database.
type sortedRun struct {
	id, level       int64
	firstID, lastID requestlog.ID
	hasEntries      bool // whether it has entries; compaction removes old ones
	folded          bool // its counts are one total for each key
}

// blockKind says which records a block has.
type blockKind int

const (
	countBlock blockKind = iota
	entryBlock
)

func readRuns(ctx context.Context, tx *sql.Tx) (runs []sortedRun, err error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT id, level, first_id, last_id, requests, folded
		FROM key_runs
		WHERE state = 'live'
		ORDER BY last_id DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r sortedRun
		if err := rows.Scan(&r.id, &r.level, &r.firstID, &r.lastID, &r.hasEntries, &r.folded); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// liveRuns returns the runs that readers see, newest first.
func (l *Log) liveRuns(ctx context.Context) ([]sortedRun, error) {
	tx, err := l.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	return readRuns(ctx, tx)
}

// runWriter writes the blocks of a new sorted run in several transactions, so that others can write in between. Readers
// do not see the run before it is finished.
type runWriter struct {
	log   *Log
	run   sortedRun
	kind  blockKind    // of the open block
	open  recordWriter // the open block
	first [2]int64     // key and time of the first record in the open block
	ready []runBlock   // full blocks that are not written yet
}

type runBlock struct {
	kind              blockKind
	firstKey, firstAt int64
	data              []byte
}

func (l *Log) newRun(ctx context.Context, level int64) (*runWriter, error) {
	w := &runWriter{log: l, run: sortedRun{level: level, firstID: requestlog.EndOfIDs}}
	err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`
			INSERT INTO key_runs (state, level, first_id, last_id, requests, folded)
			VALUES ('writing', ?, 0, 0, FALSE, FALSE)
			RETURNING id`, []any{level}, &w.run.id)
	})
	return w, err
}

// addEntry adds the next entry. All entries come before all counts.
func (w *runWriter) addEntry(e entry) {
	w.startRecord(entryBlock, e.key, int64(e.id))
	w.open.entry(e)
	w.run.hasEntries = true
	w.run.firstID, w.run.lastID = min(w.run.firstID, e.id), max(w.run.lastID, e.id)
}

// addCount adds the next count.
func (w *runWriter) addCount(c keyCount) {
	w.startRecord(countBlock, c.key, c.slot)
	w.open.count(c)
	w.run.firstID = min(w.run.firstID, requestlog.FirstIDOfMinute(c.slot))
	w.run.lastID = max(w.run.lastID, c.newest)
}

// startRecord prepares the open block for the next record. It ends the block before if that is full or of another kind.
func (w *runWriter) startRecord(kind blockKind, key, at int64) {
	if len(w.open.data) >= w.log.options.BlockBytes || kind != w.kind {
		w.endBlock()
	}
	if len(w.open.data) == 0 {
		w.kind, w.first = kind, [2]int64{key, at}
	}
}

func (w *runWriter) endBlock() {
	if len(w.open.data) > 0 {
		w.ready = append(w.ready, runBlock{w.kind, w.first[0], w.first[1], w.open.data})
	}
	w.open = recordWriter{data: make([]byte, 0, w.log.options.BlockBytes+64)}
}

// writeFullSteps writes the blocks that are ready if there are enough for a transaction.
func (w *runWriter) writeFullSteps(ctx context.Context) error {
	if len(w.ready) < w.log.options.BlocksPerStep {
		return nil
	}
	return w.write(ctx)
}

// write writes the blocks that are ready.
func (w *runWriter) write(ctx context.Context) error {
	for part := range slices.Chunk(w.ready, w.log.options.BlocksPerStep) {
		err := w.log.writer.Tx(ctx, func(tx *sqldb.Tx) error {
			for _, b := range part {
				err := tx.Exec(`
					INSERT INTO key_blocks (run_id, kind, first_key, first_at, data)
					VALUES (?, ?, ?, ?, ?)`, w.run.id, int(b.kind), b.firstKey, b.firstAt, b.data)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	w.ready = nil
	return nil
}

// finish writes the rest and makes the run visible to readers. also is called in the same transaction.
func (w *runWriter) finish(ctx context.Context, also func(*sqldb.Tx) error) error {
	w.endBlock()
	if err := w.write(ctx); err != nil {
		return err
	}
	return w.log.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		err := tx.Exec(`
			UPDATE key_runs
			SET state = 'live', first_id = ?, last_id = ?, requests = ?, folded = ?
			WHERE id = ?`,
			int64(w.run.firstID), int64(w.run.lastID), w.run.hasEntries, w.run.folded, w.run.id)
		if err != nil {
			return err
		}
		return also(tx)
	})
}
