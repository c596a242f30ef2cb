package sqlite

import (
	"cmp"
	"database/sql"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// chunk describes a chunk. It does not have its rows.
type chunk struct {
	id              int64 // 0 if there is no chunk
	firstID, lastID requestlog.ID
	count           int
}

// placeRows stores rows of one project, sorted by id, in the chunks whose ranges of ids they belong to.
func (l *Log) placeRows(tx *sqldb.Tx, rows []requestlog.Row) error {
	for len(rows) > 0 {
		first := &rows[0]
		c, err := chunkBefore(tx, first.ProjectID, first.ID)
		if err != nil {
			return err
		}
		end, err := chunkAfter(tx, first.ProjectID, first.ID)
		if err != nil {
			return err
		}
		var part []requestlog.Row
		part, rows = cutRows(rows, end)
		if c.id != 0 && (c.lastID > first.ID || c.count < l.options.ChunkRows) {
			stored, err := chunkRows(tx, c.id)
			if err != nil {
				return err
			}
			part = sortedByID(append(stored, part...))
		} else {
			c.id = 0
		}
		if err := l.replaceChunk(tx, c.id, part); err != nil {
			return err
		}
	}
	return nil
}

// chunkBefore returns the last chunk of the project that begins at id or before it.
func chunkBefore(tx *sqldb.Tx, projectID int64, id requestlog.ID) (c chunk, err error) {
	err = tx.QueryRow(`
		SELECT id, first_id, last_id, count
		FROM request_chunks
		WHERE project_id = ? AND first_id <= ?
		ORDER BY first_id DESC
		LIMIT 1`,
		[]any{projectID, int64(id)}, &c.id, &c.firstID, &c.lastID, &c.count)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return c, err
}

// chunkAfter returns the id at which the first chunk after id begins.
func chunkAfter(tx *sqldb.Tx, projectID int64, id requestlog.ID) (first requestlog.ID, err error) {
	err = tx.QueryRow(`
		SELECT first_id FROM request_chunks
		WHERE project_id = ? AND first_id > ?
		ORDER BY first_id
		LIMIT 1`,
		[]any{projectID, int64(id)}, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return requestlog.EndOfIDs, nil
	}
	return first, err
}

func chunkData(tx *sqldb.Tx, id int64) (data []byte, err error) {
	err = tx.QueryRow("SELECT data FROM request_chunks WHERE id = ?", []any{id}, &data)
	return data, err
}

func chunkRows(tx *sqldb.Tx, id int64) ([]requestlog.Row, error) {
	data, err := chunkData(tx, id)
	if err != nil {
		return nil, err
	}
	return requestlog.DecodeRows(data)
}

// chunkHasRow reports whether a chunk has the row.
func chunkHasRow(tx *sqldb.Tx, row *requestlog.Row) (bool, error) {
	c, err := chunkBefore(tx, row.ProjectID, row.ID)
	if err != nil || c.id == 0 || c.lastID < row.ID {
		return false, err
	}
	data, err := chunkData(tx, c.id)
	if err != nil {
		return false, err
	}
	columns, err := requestlog.ReadColumns(data)
	if err != nil {
		return false, err
	}
	ids, err := columns.IDs()
	_, found := slices.BinarySearch(ids, row.ID)
	return found, err
}

// replaceChunk replaces the chunk with that id by chunks of rows, which must be of one project and sorted by id. If id
// is 0, it only adds chunks. If there are no rows, it deletes the chunk.
func (l *Log) replaceChunk(tx *sqldb.Tx, id int64, rows []requestlog.Row) error {
	if len(rows) == 0 {
		return tx.Exec("DELETE FROM request_chunks WHERE id = ?", id)
	}
	for len(rows) > 0 {
		n := len(rows)
		if n > l.options.ChunkRows*3/2 {
			n = l.options.ChunkRows
		}
		part := rows[:n]
		rows = rows[n:]
		values := []any{
			part[0].ProjectID, int64(part[0].ID), int64(part[n-1].ID), n, int64(bitmapOf(part)),
			requestlog.AppendRows(nil, part),
		}
		var err error
		if id != 0 {
			err = tx.Exec(`
				UPDATE request_chunks
				SET project_id = ?, first_id = ?, last_id = ?, count = ?, bitmap = ?, data = ?
				WHERE id = ?`, append(values, id)...)
		} else {
			err = tx.Exec(`
				INSERT INTO request_chunks (project_id, first_id, last_id, count, bitmap, data)
				VALUES (?, ?, ?, ?, ?, ?)`, values...)
		}
		if err != nil {
			return err
		}
		id = 0
	}
	return nil
}

// bitmapOf returns the chunk bitmap of rows: a bit for each code and category that they have. A chunk without the bit
// of a value has no row with that value. Several values may share a bit.
func bitmapOf(rows []requestlog.Row) uint64 {
	bitmap := uint64(0)
	for i := range rows {
		if i == 0 || rows[i].Code != rows[i-1].Code || rows[i].Category != rows[i-1].Category {
			bitmap |= codeBit(rows[i].Code) | categoryBit(rows[i].Category)
		}
	}
	return bitmap
}

// bitmapAsked returns the bits that the bitmap of a chunk must have if some of its rows match the query.
func bitmapAsked(q *requestlog.Query) uint64 {
	bitmap := uint64(0)
	if q.Code != "" {
		bitmap |= codeBit(q.Code)
	}
	if q.Category != "" {
		bitmap |= categoryBit(q.Category)
	}
	return bitmap
}

func codeBit(code requestlog.Code) uint64 {
	return 1 << (crc32.ChecksumIEEE([]byte(code)) % 32)
}

func categoryBit(category string) uint64 {
	return 1 << (32 + crc32.ChecksumIEEE([]byte(category))%31)
}

// cutRows cuts rows, which must be sorted by id, into those with smaller ids than id and the others.
func cutRows(rows []requestlog.Row, id requestlog.ID) (before, after []requestlog.Row) {
	n, _ := slices.BinarySearchFunc(rows, id, compareID)
	return rows[:n], rows[n:]
}

func compareID(r requestlog.Row, id requestlog.ID) int { return cmp.Compare(r.ID, id) }

func compareRows(a, b *requestlog.Row) int {
	if a.ProjectID != b.ProjectID { // unlike cmp.Or, this makes the second comparison only if it is needed
		return cmp.Compare(a.ProjectID, b.ProjectID)
	}
	return cmp.Compare(a.ID, b.ID)
}

func sortedByID(rows []requestlog.Row) []requestlog.Row {
	slices.SortStableFunc(rows, func(a, b requestlog.Row) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}
