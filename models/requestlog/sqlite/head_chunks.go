package sqlite

import (
	"database/sql"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// headChunks describes the newest chunks of a project, those after the last full one. A small batch is a chunk of its
// own, so that writing it reads nothing and writes no row again. When the head chunks are many or hold many rows they
// become full ones.
type headChunks struct {
	from         requestlog.ID // they begin here or later
	last         requestlog.ID // the newest row of the project; it may have been removed
	grouped      requestlog.ID // where the project's newest group ends
	chunks, rows int           // late rows and removed ones may be counted as well
}

// headOf returns the head chunks of a project. The caller holds writing, and clears l.heads where tx is not committed.
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

// hasRow reports whether a row is stored.
func (l *Log) hasRow(tx *sqldb.Tx, row *requestlog.Row) (bool, error) {
	h, err := l.headOf(tx, row.ProjectID)
	if err != nil || row.ID > h.last {
		return false, err
	}
	return chunkHasRow(tx, row)
}

// writeChunks stores rows, which are sorted by project and id.
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
			delete(l.heads, rows[0].ProjectID) // the next call reads it again
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

// addHeadChunk stores rows of one project as another head chunk, and late rows where they belong.
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

// fillChunks stores rows of one project together with those of its head chunks in full chunks, and late rows where they
// belong.
func (l *Log) fillChunks(tx *sqldb.Tx, h *headChunks, rows []requestlog.Row) error {
	projectID := rows[0].ProjectID
	there, err := appendRowsFrom(emptied(l.joined), tx, projectID, h.from)
	l.joined = there
	if err != nil {
		return err
	}
	first := h.last + 1
	if len(there) > 0 { // a row since from may be in the chunk before, where tidying made room in it
		first = there[0].ID
	}
	late, rows := cutRows(rows, first)
	if err := l.placeRows(tx, late); err != nil || len(rows) == 0 {
		return err
	}
	if len(there) > 0 {
		err := tx.Exec("DELETE FROM request_chunks WHERE project_id = ? AND first_id >= ?", projectID, int64(first))
		if err != nil {
			return err
		}
		l.joined = append(there, rows...)
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
