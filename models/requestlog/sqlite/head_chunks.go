package sqlite

import (
	"database/sql"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// headChunks describes the head chunks of a project: the small ones after its last full chunk. A small batch becomes a
// head chunk, so that writing it reads nothing and writes no other row again. When there are enough of them, or enough
// rows in them, they are joined into full chunks.
type headChunks struct {
	from         requestlog.ID // the head chunks begin here or later
	last         requestlog.ID // the newest row of the project; it may have been removed
	grouped      requestlog.ID // the end of the project's newest group
	chunks, rows int           // may also count late rows and removed rows
}

// headOf returns the head chunks of a project. The caller must hold l.writing, and must clear l.heads if tx is not
// committed.
func (l *Log) headOf(tx *sqldb.Tx, projectID int64) (*headChunks, error) {
	if h := l.heads[projectID]; h != nil {
		return h, nil
	}
	h, err := l.readHeadChunks(tx, projectID)
	if err == nil {
		l.heads[projectID] = h
	}
	return h, err
}

func (l *Log) readHeadChunks(tx *sqldb.Tx, projectID int64) (*headChunks, error) {
	rows, err := tx.Query(`
		SELECT last_id, count FROM request_chunks
		WHERE project_id = ?
		ORDER BY first_id DESC
		LIMIT ?`, projectID, l.options.HeadChunks+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var h headChunks
	for rows.Next() {
		var last requestlog.ID
		var count int
		if err := rows.Scan(&last, &count); err != nil {
			return nil, err
		}
		h.last = max(h.last, last)
		if count >= l.options.ChunkRows || h.chunks == l.options.HeadChunks {
			h.from = last + 1
			break
		}
		h.chunks, h.rows = h.chunks+1, h.rows+count
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	h.grouped, err = groupsEnd(tx, projectID)
	return &h, err
}

// hasRow reports whether the row is stored.
func (l *Log) hasRow(tx *sqldb.Tx, row *requestlog.Row) (bool, error) {
	h, err := l.headOf(tx, row.ProjectID)
	if err != nil || row.ID > h.last {
		return false, err
	}
	return chunkHasRow(tx, row)
}

// writeChunks stores rows, which must be sorted by project and id.
func (l *Log) writeChunks(tx *sqldb.Tx, rows []requestlog.Row) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].ProjectID == rows[0].ProjectID {
			n++
		}
		h, err := l.headOf(tx, rows[0].ProjectID)
		if err != nil {
			return err
		}
		if err := addToGroups(tx, rows[:n], h.grouped); err != nil {
			return err
		}
		if h.chunks >= l.options.HeadChunks || h.rows+n >= l.options.ChunkRows {
			delete(l.heads, rows[0].ProjectID) // the next call reads them again
			err = l.fillChunks(tx, h, rows[:n])
		} else {
			err = l.addHeadChunk(tx, h, rows[:n])
		}
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// addHeadChunk stores rows of one project as another head chunk, and late rows in older chunks.
func (l *Log) addHeadChunk(tx *sqldb.Tx, h *headChunks, rows []requestlog.Row) error {
	late, rows := cutRows(rows, h.last+1)
	h.rows += len(late)
	if err := l.placeRows(tx, late); err != nil || len(rows) == 0 {
		return err
	}
	h.last = rows[len(rows)-1].ID
	h.chunks, h.rows = h.chunks+1, h.rows+len(rows)
	return l.replaceChunk(tx, 0, rows)
}

// fillChunks joins rows of one project with its head chunks into full chunks, and stores late rows in older chunks.
func (l *Log) fillChunks(tx *sqldb.Tx, h *headChunks, rows []requestlog.Row) error {
	projectID := rows[0].ProjectID
	stored, err := appendRowsFrom(emptied(l.joined), tx, projectID, h.from)
	l.joined = stored
	if err != nil {
		return err
	}
	first := h.last + 1
	if len(stored) > 0 { // not h.from: if Tidy made room in the chunk before, rows after h.from may be in it
		first = stored[0].ID
	}
	late, rows := cutRows(rows, first)
	if err := l.placeRows(tx, late); err != nil || len(rows) == 0 {
		return err
	}
	if len(stored) > 0 {
		err := tx.Exec("DELETE FROM request_chunks WHERE project_id = ? AND first_id >= ?", projectID, int64(first))
		if err != nil {
			return err
		}
		l.joined = append(stored, rows...)
		rows = sortedByID(l.joined)
	}
	return l.replaceChunk(tx, 0, rows)
}

// appendRowsFrom appends the rows of the project's chunks that begin at id or later.
func appendRowsFrom(
	list []requestlog.Row, tx *sqldb.Tx, projectID int64, id requestlog.ID,
) ([]requestlog.Row, error) {
	rows, err := tx.Query(`
		SELECT data FROM request_chunks
		WHERE project_id = ? AND first_id >= ?
		ORDER BY first_id`, projectID, int64(id))
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
