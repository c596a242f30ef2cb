package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"github.com/claviger/claviger/models/requestlog"
)

// indexReader reads a snapshot of the index by key: the sorted runs that its transaction sees, and the parts of the
// memtable that are not in these runs.
type indexReader struct {
	ctx      context.Context
	tx       *sql.Tx
	outcomes *outcomes
	parts    []memtablePart
	runs     []sortedRun // newest first
}

// readIndex opens a reader, which the caller must close. It reads the memtable before the transaction begins: a batch
// that is flushed in between is in both, and readIndex drops its part by the number of the batch.
func (l *Log) readIndex(ctx context.Context) (*indexReader, error) {
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	parts := l.memtable.snapshot()
	tx, err := l.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	x := &indexReader{ctx: ctx, tx: tx, outcomes: &l.outcomes}
	flushed, err := flushedSeq(ctx, tx)
	if err == nil {
		x.runs, err = readRuns(ctx, tx)
	}
	if err != nil {
		x.close()
		return nil, err
	}
	for _, p := range parts {
		if p.lastSeq > flushed {
			x.parts = append(x.parts, p)
		}
	}
	return x, nil
}

func (x *indexReader) close() { x.tx.Rollback() }

// blocksUpTo calls yield for the blocks of a run that can have records of the key up to a time, the last block first,
// until yield returns false.
func (x *indexReader) blocksUpTo(
	run int64, kind blockKind, key, upTo int64, yield func(data []byte) (more bool, err error),
) error {
	rows, err := x.tx.QueryContext(x.ctx, `
		SELECT first_key, data FROM key_blocks
		WHERE run_id = ? AND kind = ? AND (first_key, first_at) <= (?, ?)
		ORDER BY first_key DESC, first_at DESC, id DESC`, run, int(kind), key, upTo)
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

// entryBlocksFrom calls yield for the blocks of a run that can have entries of the key from a time on, the first block
// first, until yield returns false.
func (x *indexReader) entryBlocksFrom(
	run, key, from int64, yield func(data []byte) (more bool, err error),
) error {
	var firstKey, firstAt int64 = math.MinInt64, math.MinInt64
	err := x.tx.QueryRowContext(x.ctx, `
		SELECT first_key, first_at FROM key_blocks
		WHERE run_id = ? AND kind = ? AND (first_key, first_at) <= (?, ?)
		ORDER BY first_key DESC, first_at DESC
		LIMIT 1`, run, int(entryBlock), key, from).Scan(&firstKey, &firstAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	rows, err := x.tx.QueryContext(x.ctx, `
		SELECT data FROM key_blocks
		WHERE run_id = ? AND kind = ? AND (first_key, first_at) >= (?, ?) AND first_key <= ?
		ORDER BY first_key, first_at, id`, run, int(entryBlock), firstKey, firstAt, key)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if more, err := yield(data); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// counts calls yield for all counts of a key in sorted runs.
func (x *indexReader) counts(key int64, yield func(keyCount) error) error {
	for _, run := range x.runs {
		err := x.blocksUpTo(run.id, countBlock, key, math.MaxInt64, func(data []byte) (bool, error) {
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

// entriesOfRun calls add with the entries of a run that are in the query's range, block by block, until add has
// accepted as many as the query's limit. add returns how many it accepted.
func (x *indexReader) entriesOfRun(run sortedRun, q requestlog.Query, add func([]entry) (int, error)) error {
	added := 0
	take := func(data []byte) (bool, error) {
		entries, err := decodeEntries(data)
		if err != nil {
			return false, err
		}
		n, err := add((memtablePart{entries: entries}).of(q.KeyID, q.From, q.To))
		added += n
		return added < q.Limit, err
	}
	if !q.OldestFirst {
		return x.blocksUpTo(run.id, entryBlock, q.KeyID, int64(q.To-1), take)
	}
	return x.entryBlocksFrom(run.id, q.KeyID, int64(q.From), take)
}
