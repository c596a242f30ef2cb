package models

import (
	"cmp"
	"database/sql"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// openChunks are the newest chunks of a project, those after the last that is full. A small batch is a chunk of its own, so
// that writing it reads nothing and writes no row again; when they are many or hold many rows they become one.
type openChunks struct {
	from         requestlog.ID // they begin here or later
	last         requestlog.ID // the newest row of the project; it may be gone
	grouped      requestlog.ID // where its newest group ends
	chunks, rows int           // late ones and those that are gone may be counted as well
}

// openOf is what is known of a project's newest chunks. The caller holds writing, and forgets all where tx is not committed.
func (q *sqliteRequests) openOf(tx *writeTx, projectID int64) (*openChunks, error) {
	if o := q.open[projectID]; o != nil {
		return o, nil
	}
	o, err := readOpenChunks(tx, projectID)
	if err == nil {
		q.open[projectID] = o
	}
	return o, err
}

func readOpenChunks(tx *writeTx, projectID int64) (*openChunks, error) {
	rows, err := tx.query("SELECT last_id, count FROM request_chunks WHERE project_id = ? ORDER BY first_id DESC LIMIT ?", projectID, limits.openChunks+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var o openChunks
	for rows.Next() {
		var last requestlog.ID
		var count int
		if err := rows.Scan(&last, &count); err != nil {
			return nil, err
		}
		o.last = max(o.last, last)
		if count >= limits.chunk || o.chunks == limits.openChunks {
			o.from = last + 1
			break
		}
		o.chunks, o.rows = o.chunks+1, o.rows+count
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	o.grouped, err = groupedEnd(tx, projectID)
	return &o, err
}

// hasRow tells whether a row is stored.
func (q *sqliteRequests) hasRow(tx *writeTx, row *requestlog.Row) (bool, error) {
	o, err := q.openOf(tx, row.ProjectID)
	if err != nil || row.ID > o.last {
		return false, err
	}
	return hasRow(tx, row)
}

// writeChunks stores rows, which are in the order of project and id.
func (q *sqliteRequests) writeChunks(tx *writeTx, rows []requestlog.Row) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].ProjectID == rows[0].ProjectID {
			n++
		}
		o, err := q.openOf(tx, rows[0].ProjectID)
		if err != nil {
			return err
		}
		if err := addToGroups(tx, rows[:n], o.grouped); err != nil {
			return err
		}
		if o.chunks >= limits.openChunks || o.rows+n >= limits.chunk {
			delete(q.open, rows[0].ProjectID) // read again
			err = q.closeChunks(tx, o, rows[:n])
		} else {
			err = o.add(tx, rows[:n])
		}
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// add stores rows of the project as another open chunk, and late ones where they belong.
func (o *openChunks) add(tx *writeTx, rows []requestlog.Row) error {
	late, rows := cutRows(rows, o.last+1)
	o.rows += len(late)
	if err := placeRows(tx, late); err != nil || len(rows) == 0 {
		return err
	}
	o.last = rows[len(rows)-1].ID
	o.chunks, o.rows = o.chunks+1, o.rows+len(rows)
	return replaceChunk(tx, 0, rows)
}

// closeChunks stores rows of the project and those of the open chunks in chunks that are full, as far as they go.
func (q *sqliteRequests) closeChunks(tx *writeTx, o *openChunks, rows []requestlog.Row) error {
	projectID := rows[0].ProjectID
	there, err := appendRowsFrom(emptied(q.joined), tx, projectID, o.from)
	q.joined = there
	if err != nil {
		return err
	}
	first := o.last + 1
	if len(there) > 0 { // a row since from may be in the chunk before, where tidying made room in it
		first = there[0].ID
	}
	late, rows := cutRows(rows, first)
	if err := placeRows(tx, late); err != nil || len(rows) == 0 {
		return err
	}
	if len(there) > 0 {
		if err := tx.exec("DELETE FROM request_chunks WHERE project_id = ? AND first_id >= ?", projectID, int64(first)); err != nil {
			return err
		}
		q.joined = append(there, rows...)
		rows = inOrder(q.joined)
	}
	return replaceChunk(tx, 0, rows)
}

// cutRows cuts rows, which are in the order of ids, into those before id and the others.
func cutRows(rows []requestlog.Row, id requestlog.ID) (before, after []requestlog.Row) {
	n, _ := slices.BinarySearchFunc(rows, id, compareID)
	return rows[:n], rows[n:]
}

func compareID(r requestlog.Row, id requestlog.ID) int { return cmp.Compare(r.ID, id) }

// appendRowsFrom appends the rows of the chunks that begin at id or later.
func appendRowsFrom(list []requestlog.Row, tx *writeTx, projectID int64, id requestlog.ID) ([]requestlog.Row, error) {
	rows, err := tx.query("SELECT data FROM request_chunks WHERE project_id = ? AND first_id >= ? ORDER BY first_id", projectID, int64(id))
	if err != nil {
		return list, err
	}
	defer rows.Close()
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return list, err
		}
		more, err := requestlog.DecodeRows(data)
		if err != nil {
			return list, err
		}
		list = append(list, more...)
	}
	return list, rows.Err()
}
