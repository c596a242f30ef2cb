package models

import (
	"context"
	"database/sql"
	"math"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// keyRun is a piece of the index by key that never changes: counts and requests of a stretch of time, in key order, cut
// into blocks that each fit a page of the database.
type keyRun struct {
	id, level       int64
	firstID, lastID requestlog.ID
	requests        bool // it still names single requests
	folded          bool // its counts are one total for each key
}

// What a block holds.
const (
	blockOfCounts = iota
	blockOfRequests
)

func readRuns(ctx context.Context, tx *sql.Tx) (runs []keyRun, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, level, first_id, last_id, requests, folded FROM key_runs WHERE state = 'live' ORDER BY last_id DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r keyRun
		if err := rows.Scan(&r.id, &r.level, &r.firstID, &r.lastID, &r.requests, &r.folded); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// runWriter writes the blocks of a new run, in steps that leave the writing connection to others in between. Nobody
// reads the run before it is finished.
type runWriter struct {
	writer *sqlWriter
	run    keyRun
	kind   int
	open   recordWriter
	first  [2]int64 // key and time of the first record in open
	ready  []keyBlock
}

type keyBlock struct {
	kind              int
	firstKey, firstAt int64
	data              []byte
}

func newRun(ctx context.Context, w *sqlWriter, level int64) (*runWriter, error) {
	r := &runWriter{writer: w, run: keyRun{level: level, firstID: requestlog.EndOfIDs}}
	err := w.tx(ctx, func(tx *writeTx) error {
		return tx.row("INSERT INTO key_runs (state, level, first_id, last_id, requests, folded) VALUES ('writing', ?, 0, 0, FALSE, FALSE) RETURNING id",
			[]any{level}, &r.run.id)
	})
	return r, err
}

func (r *runWriter) entry(e keyEntry) {
	r.before(blockOfRequests, e.key, int64(e.id))
	r.open.entry(e)
	r.run.requests = true
	r.run.firstID, r.run.lastID = min(r.run.firstID, e.id), max(r.run.lastID, e.id)
}

func (r *runWriter) count(c keyCount) {
	r.before(blockOfCounts, c.key, c.slot)
	r.open.count(c)
	r.run.firstID, r.run.lastID = min(r.run.firstID, requestlog.FirstIDOfMinute(c.slot)), max(r.run.lastID, c.newest)
}

// before ends the block that is full, and begins one with the record that comes next.
func (r *runWriter) before(kind int, key, at int64) {
	if len(r.open.data) >= limits.blockSize || kind != r.kind {
		r.endBlock()
	}
	if len(r.open.data) == 0 {
		r.kind, r.first = kind, [2]int64{key, at}
	}
}

func (r *runWriter) endBlock() {
	if len(r.open.data) > 0 {
		r.ready = append(r.ready, keyBlock{r.kind, r.first[0], r.first[1], r.open.data})
	}
	r.open = recordWriter{data: make([]byte, 0, limits.blockSize+64)}
}

// store writes the blocks that are ready, where there are enough for a step or all is true.
func (r *runWriter) store(ctx context.Context, all bool) error {
	if len(r.ready) < limits.blocksPerStep && !all {
		return nil
	}
	for part := range slices.Chunk(r.ready, limits.blocksPerStep) {
		err := r.writer.tx(ctx, func(tx *writeTx) error {
			for _, b := range part {
				err := tx.exec("INSERT INTO key_blocks (run_id, kind, first_key, first_at, data) VALUES (?, ?, ?, ?, ?)", r.run.id, b.kind, b.firstKey, b.firstAt, b.data)
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
	r.ready = nil
	return nil
}

// finish makes the run readable. In the same transaction, also does what must happen at that moment.
func (r *runWriter) finish(ctx context.Context, also func(*writeTx) error) error {
	r.endBlock()
	if err := r.store(ctx, true); err != nil {
		return err
	}
	return r.writer.tx(ctx, func(tx *writeTx) error {
		err := tx.exec("UPDATE key_runs SET state = 'live', first_id = ?, last_id = ?, requests = ?, folded = ? WHERE id = ?",
			int64(r.run.firstID), int64(r.run.lastID), r.run.requests, r.run.folded, r.run.id)
		if err != nil {
			return err
		}
		return also(tx)
	})
}

// indexReader reads the index at one moment: the runs as a transaction sees them, and what the tail holds beyond.
type indexReader struct {
	ctx   context.Context
	tx    *sql.Tx
	parts []tailPart
	runs  []keyRun // the newest first
}

// index opens a reader; the caller closes tx. The tail is read first: a batch that goes to a run in between is in both,
// and is left out of the tail by its number.
func (q *sqliteRequests) index(ctx context.Context) (*indexReader, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	parts := q.tail.snapshot()
	tx, err := q.reading.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	x := &indexReader{ctx: ctx, tx: tx}
	flushed, err := flushedSeq(ctx, tx)
	if err == nil {
		x.runs, err = readRuns(ctx, tx)
	}
	if err != nil {
		tx.Rollback()
		return nil, err
	}
	for _, p := range parts {
		if p.lastSeq > flushed {
			x.parts = append(x.parts, p)
		}
	}
	return x, nil
}

// blocks yields the blocks of a run that can hold records of the key up to a time, the last ones first, until yield
// returns false.
func (x *indexReader) blocks(run int64, kind int, key, upTo int64, yield func(data []byte) (bool, error)) error {
	rows, err := x.tx.QueryContext(x.ctx, "SELECT first_key, data FROM key_blocks WHERE run_id = ? AND kind = ? AND (first_key, first_at) <= (?, ?) "+
		"ORDER BY first_key DESC, first_at DESC, id DESC", run, kind, key, upTo)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var firstKey int64
		var data sql.RawBytes
		if err := rows.Scan(&firstKey, &data); err != nil {
			return err
		}
		more, err := yield(data)
		if err != nil || !more || firstKey < key {
			return err
		}
	}
	return rows.Err()
}

// counts yields all counts of a key that are in runs.
func (x *indexReader) counts(key int64, yield func(keyCount) error) error {
	for _, run := range x.runs {
		err := x.blocks(run.id, blockOfCounts, key, math.MaxInt64, func(data []byte) (bool, error) {
			counts, err := decodeCounts(data)
			for _, c := range counts {
				if c.key == key && err == nil {
					err = yield(c)
				}
			}
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
