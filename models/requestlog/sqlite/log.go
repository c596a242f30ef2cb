// Package sqlite stores the request log in an embedded SQLite file. Rows are stored in chunks, column by column. An
// index by key, which is a log-structured merge tree, says which requests each key made. A batch costs a few
// statements for each of its projects, however many rows and keys it has. docs/storage.md describes both. Only one
// process at a time may write.
package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// Log is the [requestlog.Log] of a SQLite file.
type Log struct {
	options Options
	read    *sql.DB
	writer  *sqldb.Writer

	// writing is held while a batch is written, so that memtable and journal have the same order.
	writing sync.Mutex
	loaded  atomic.Bool           // memory agrees with the database
	seq     int64                 // the number of the newest batch in the journal
	heads   map[int64]*headChunks // by project
	// ordered is a buffer for the sorted rows of a batch, joined for these rows with those of head chunks. Both are
	// empty between batches.
	ordered, joined []requestlog.Row

	memtable memtable
	outcomes outcomes
	lastUsed lastUsed

	maintenance maintenance
}

var _ requestlog.Log = (*Log)(nil)

// New returns the log in db, which must be migrated before the log is used.
func New(db *sqldb.DB, o Options) *Log {
	l := &Log{options: o.withDefaults(), read: db.Read, writer: db.Writer, heads: map[int64]*headChunks{}}
	l.memtable.mergeBelow = l.options.MemtableEntries / memtableFan
	return l
}

// Close stops a flush in the background. The journal still has what it was about to write.
func (l *Log) Close() { l.maintenance.stop() }

// Write stores rows, their counts by minute, and the journal of the index in one transaction.
func (l *Log) Write(ctx context.Context, batch []requestlog.Row) error {
	if len(batch) == 0 {
		return nil
	}
	if err := l.write(ctx, batch); err != nil {
		return fmt.Errorf("write %d rows of requests: %w", len(batch), err)
	}
	return nil
}

func (l *Log) write(ctx context.Context, batch []requestlog.Row) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.load(ctx); err != nil {
		return err
	}
	if err := l.waitForRoom(ctx); err != nil {
		return err
	}
	defer func() { l.ordered, l.joined = emptied(l.ordered), emptied(l.joined) }()
	var entries []entry
	known, complete := l.outcomes.count(), false
	err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		// A repeated batch has the same rows, so checking one of them is enough.
		if stored, err := l.hasRow(tx, &batch[0]); stored || err != nil {
			return err
		}
		if err := addProjectMinutes(tx, requestlog.CountByMinute(batch)); err != nil {
			return err
		}
		if err := l.writeChunks(tx, l.byProject(batch)); err != nil {
			return err
		}
		var err error
		if entries, err = l.outcomes.entriesOf(tx, batch); err != nil {
			return err
		}
		err = tx.Exec("INSERT INTO key_journal (seq, data) VALUES (?, ?)", l.seq+1, encodeEntries(entries))
		complete = err == nil
		return err
	})
	if err != nil {
		l.outcomes.truncate(known)
		clear(l.heads)
		// After a failed commit it is unknown what is stored, so the next call reads it.
		l.loaded.Store(l.loaded.Load() && !complete)
		return err
	}
	if len(entries) > 0 {
		l.seq++
		l.memtable.add(l.seq, entries)
		l.flushWhenFull()
	}
	return nil
}

// emptied returns the buffer without its rows, so that their texts can be collected as garbage.
func emptied(rows []requestlog.Row) []requestlog.Row {
	clear(rows)
	return rows[:0]
}

// byProject returns the rows sorted by project and id.
func (l *Log) byProject(batch []requestlog.Row) []requestlog.Row {
	sorted := true
	for i := 1; i < len(batch) && sorted; i++ {
		sorted = compareRows(&batch[i-1], &batch[i]) <= 0
	}
	if sorted {
		return batch
	}
	places := make([]int32, len(batch)) // sorting places moves less memory than sorting rows
	for i := range places {
		places[i] = int32(i)
	}
	slices.SortFunc(places, func(a, b int32) int { return compareRows(&batch[a], &batch[b]) })
	for _, p := range places {
		l.ordered = append(l.ordered, batch[p])
	}
	return l.ordered
}

func addProjectMinutes(tx *sqldb.Tx, sums []requestlog.ProjectMinute) error {
	for _, u := range sums {
		err := tx.Exec(`
			INSERT INTO usage_minutes (project_id, minute, code, requests, credits)
			VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET
				requests = requests + excluded.requests,
				credits = credits + excluded.credits`,
			u.ProjectID, u.Minute, string(u.Code), u.Requests, u.Credits)
		if err != nil {
			return err
		}
	}
	return nil
}

// load fills memory from the database, after a start and after a failed commit: the memtable from the batches of the
// journal that are in no sorted run, the outcomes and the last uses. The caller must hold l.writing.
func (l *Log) load(ctx context.Context) error {
	if l.loaded.Load() {
		return nil
	}
	l.maintenance.mu.Lock() // so that no flush moves batches from the journal to a run
	defer l.maintenance.mu.Unlock()
	tx, err := l.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	list, err := readOutcomes(ctx, tx)
	if err != nil {
		return err
	}
	used, err := readLastUsed(ctx, tx)
	if err != nil {
		return err
	}
	flushed, err := flushedSeq(ctx, tx)
	if err != nil {
		return err
	}
	part, err := readJournal(ctx, tx, flushed)
	if err != nil {
		return err
	}
	l.outcomes.replace(list)
	l.memtable.replace(part)
	l.lastUsed.replace(used)
	l.seq = part.lastSeq
	l.loaded.Store(true)
	return nil
}

// readJournal returns the batches with numbers above flushed as one part of the memtable.
func readJournal(ctx context.Context, tx *sql.Tx, flushed int64) (memtablePart, error) {
	part := memtablePart{lastSeq: flushed}
	rows, err := tx.QueryContext(ctx, "SELECT seq, data FROM key_journal WHERE seq > ? ORDER BY seq", flushed)
	if err != nil {
		return part, err
	}
	defer rows.Close()
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&part.lastSeq, &data); err != nil {
			return part, err
		}
		entries, err := decodeEntries(data)
		if err != nil {
			return part, err
		}
		part.entries, part.batches = append(part.entries, entries...), part.batches+1
	}
	slices.SortFunc(part.entries, compareEntries)
	return part, rows.Err()
}

// ready makes sure that memory is loaded. It waits for writers only after a start and after a failed commit.
func (l *Log) ready(ctx context.Context) error {
	if l.loaded.Load() {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.load(ctx)
}

// flushedSeq returns the number of the newest batch that is in a sorted run.
func flushedSeq(ctx context.Context, tx *sql.Tx) (seq int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT flushed FROM key_journal_state").Scan(&seq)
	return seq, err
}

// NewIDs returns a source of ids that starts after the newest row, so that no id is used twice if the clock was set
// back.
func (l *Log) NewIDs(ctx context.Context) (*requestlog.IDs, error) {
	var newest requestlog.ID
	// The query goes from project to project in the index and skips their chunks.
	err := l.read.QueryRowContext(ctx, `
		WITH RECURSIVE p (id) AS (
			SELECT MIN(project_id) FROM request_chunks
			UNION ALL
			SELECT (SELECT MIN(project_id) FROM request_chunks WHERE project_id > p.id)
			FROM p
			WHERE p.id IS NOT NULL
		)
		SELECT COALESCE(MAX((
			SELECT last_id FROM request_chunks
			WHERE project_id = p.id
			ORDER BY first_id DESC
			LIMIT 1
		)), 0)
		FROM p`).Scan(&newest)
	if err != nil {
		return nil, fmt.Errorf("read the newest request id: %w", err)
	}
	return requestlog.NewIDs(l.options.Now, 0, newest), nil
}
