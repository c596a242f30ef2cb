package models

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/claviger/claviger/models/requestlog"
)

// sqliteRequests keeps rows in chunks of some hundred, and what each key did in an index that is written in runs. So a
// batch costs a few statements, however many rows and keys are in it. Only one process writes rows to a SQLite file.
type sqliteRequests struct {
	reading *sql.DB
	writer  *sqlWriter

	// writing is held while a batch is written: the tail and the journal have the same order.
	writing sync.Mutex
	loaded  atomic.Bool // what is in memory is what the database says
	seq     int64
	open    map[int64]*openChunks // by project, as they are needed
	// Room for the rows of a batch in order, and for those of open chunks with them, empty between batches.
	ordered, joined []requestlog.Row

	tail     keyTail
	outcomes outcomes
	uses     keyUses

	upkeep upkeep
}

func newSQLiteRequests(reading, writing *sql.DB) *sqliteRequests {
	return &sqliteRequests{reading: reading, writer: newSQLWriter(writing), open: map[int64]*openChunks{}}
}

func (q *sqliteRequests) close() { q.upkeep.stop() }

// write stores rows, their counts by minute, and the journal of the index in one transaction.
func (q *sqliteRequests) write(ctx context.Context, batch []requestlog.Row) error {
	return q.add(ctx, func(tx *writeTx) ([]requestlog.Row, error) {
		// A batch is repeated as it was, so that one row speaks for all.
		if stored, err := q.hasRow(tx, &batch[0]); stored || err != nil {
			return nil, err
		}
		return batch, addUsageMinutes(tx, requestlog.CountByMinute(batch))
	})
}

// add stores the rows that fn gives, if any, in the transaction in which fn runs.
func (q *sqliteRequests) add(ctx context.Context, fn func(*writeTx) ([]requestlog.Row, error)) error {
	q.writing.Lock()
	defer q.writing.Unlock()
	if err := q.load(ctx); err != nil {
		return err
	}
	if err := q.waitForRoom(ctx); err != nil {
		return err
	}
	defer func() { q.ordered, q.joined = emptied(q.ordered), emptied(q.joined) }()
	var entries []keyEntry
	known, complete := q.outcomes.count(), false
	err := q.writer.tx(ctx, func(tx *writeTx) error {
		rows, err := fn(tx)
		if len(rows) == 0 || err != nil {
			return err
		}
		if err := q.writeChunks(tx, q.byProject(rows)); err != nil {
			return err
		}
		if entries, err = q.outcomes.entriesOf(tx, rows); err != nil {
			return err
		}
		err = tx.exec("INSERT INTO key_journal (seq, data) VALUES (?, ?)", q.seq+1, encodeEntries(entries))
		complete = err == nil
		return err
	})
	if err != nil {
		q.outcomes.forgetFrom(known)
		clear(q.open)
		q.loaded.Store(q.loaded.Load() && !complete) // after a commit that failed, what is stored is not known: read it
		return err
	}
	if len(entries) > 0 {
		q.seq++
		q.tail.add(q.seq, entries)
		q.flushWhenFull()
	}
	return nil
}

// emptied is the room of rows that are not needed any more.
func emptied(rows []requestlog.Row) []requestlog.Row {
	clear(rows)
	return rows[:0]
}

// byProject gives the rows in the order of projects and ids.
func (q *sqliteRequests) byProject(batch []requestlog.Row) []requestlog.Row {
	sorted := true
	for i := 1; i < len(batch) && sorted; i++ {
		a, b := &batch[i-1], &batch[i]
		sorted = a.ProjectID < b.ProjectID || a.ProjectID == b.ProjectID && a.ID <= b.ID
	}
	if sorted {
		return batch
	}
	places := make([]int32, len(batch))
	for i := range places {
		places[i] = int32(i)
	}
	slices.SortFunc(places, func(a, b int32) int {
		x, y := &batch[a], &batch[b]
		return cmp.Or(cmp.Compare(x.ProjectID, y.ProjectID), cmp.Compare(x.ID, y.ID))
	})
	for _, p := range places {
		q.ordered = append(q.ordered, batch[p])
	}
	return q.ordered
}

func addUsageMinutes(tx *writeTx, sums []requestlog.ProjectMinute) error {
	for _, u := range sums {
		err := tx.exec("INSERT INTO usage_minutes (project_id, minute, code, requests, credits) VALUES (?, ?, ?, ?, ?) "+
			"ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, credits = credits + excluded.credits",
			u.ProjectID, u.Minute, string(u.Code), u.Requests, u.Credits)
		if err != nil {
			return err
		}
	}
	return nil
}

// load reads the journal's batches that are in no run, after a start and after a failed write. The caller holds writing.
func (q *sqliteRequests) load(ctx context.Context) error {
	if q.loaded.Load() {
		return nil
	}
	q.upkeep.mu.Lock() // nothing goes from the journal to a run meanwhile
	defer q.upkeep.mu.Unlock()
	tx, err := q.reading.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	list, err := readOutcomes(ctx, tx)
	if err != nil {
		return err
	}
	uses, err := readUses(ctx, tx)
	if err != nil {
		return err
	}
	last, err := flushedSeq(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "SELECT seq, data FROM key_journal WHERE seq > ? ORDER BY seq", last)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all tailPart
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&last, &data); err != nil {
			return err
		}
		entries, err := decodeEntries(data)
		if err != nil {
			return err
		}
		all.entries, all.batches = append(all.entries, entries...), all.batches+1
	}
	if err := rows.Err(); err != nil {
		return err
	}
	slices.SortFunc(all.entries, compareEntries)
	all.lastSeq = last
	q.outcomes.replace(list)
	q.tail.replace(all)
	q.uses.replace(uses)
	q.seq = last
	q.loaded.Store(true)
	return nil
}

// ready makes sure that the tail is in memory. It waits for no writer but after a start and a fault.
func (q *sqliteRequests) ready(ctx context.Context) error {
	if q.loaded.Load() {
		return nil
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	return q.load(ctx)
}

func flushedSeq(ctx context.Context, tx *sql.Tx) (seq int64, err error) {
	return seq, tx.QueryRowContext(ctx, "SELECT flushed FROM key_journal_state").Scan(&seq)
}

// projectsWithChunks goes from one project to the next in the index, past all chunks in between.
const projectsWithChunks = "WITH RECURSIVE p (id) AS (SELECT MIN(project_id) FROM request_chunks UNION ALL " +
	"SELECT (SELECT MIN(project_id) FROM request_chunks WHERE project_id > p.id) FROM p WHERE p.id IS NOT NULL) "

func (q *sqliteRequests) newestID(ctx context.Context) (id requestlog.ID, err error) {
	err = q.reading.QueryRowContext(ctx, projectsWithChunks+
		"SELECT COALESCE(MAX((SELECT last_id FROM request_chunks WHERE project_id = p.id ORDER BY first_id DESC LIMIT 1)), 0) FROM p").Scan(&id)
	return id, err
}
