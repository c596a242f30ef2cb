package models

import (
	"cmp"
	"database/sql"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// rowChunk is a chunk without its rows.
type rowChunk struct {
	id            int64
	firstID, last requestlog.ID
	count         int
}

// placeRows puts rows of a project, which are in the order of ids, into the chunks of their stretches of ids.
func placeRows(tx *writeTx, rows []requestlog.Row) error {
	for len(rows) > 0 {
		first := &rows[0]
		chunk, err := chunkBefore(tx, first.ProjectID, first.ID)
		if err != nil {
			return err
		}
		end, err := chunkAfter(tx, first.ProjectID, first.ID)
		if err != nil {
			return err
		}
		n := 1
		for n < len(rows) && rows[n].ID < end {
			n++
		}
		part := rows[:n]
		rows = rows[n:]
		if chunk.id != 0 && (chunk.last > first.ID || chunk.count < limits.chunk) {
			there, err := chunkRows(tx, chunk.id)
			if err != nil {
				return err
			}
			part = inOrder(append(there, part...))
		} else {
			chunk.id = 0
		}
		if err := replaceChunk(tx, chunk.id, part); err != nil {
			return err
		}
	}
	return nil
}

func inOrder(rows []requestlog.Row) []requestlog.Row {
	slices.SortStableFunc(rows, func(a, b requestlog.Row) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// chunkBefore is the last chunk of the project that begins at id or before; its id is 0 where there is none.
func chunkBefore(tx *writeTx, projectID int64, id requestlog.ID) (c rowChunk, err error) {
	err = tx.row("SELECT id, first_id, last_id, count FROM request_chunks WHERE project_id = ? AND first_id <= ? ORDER BY first_id DESC LIMIT 1",
		[]any{projectID, int64(id)}, &c.id, &c.firstID, &c.last, &c.count)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return c, err
}

// chunkAfter is where the first chunk after id begins.
func chunkAfter(tx *writeTx, projectID int64, id requestlog.ID) (first requestlog.ID, err error) {
	err = tx.row("SELECT first_id FROM request_chunks WHERE project_id = ? AND first_id > ? ORDER BY first_id LIMIT 1", []any{projectID, int64(id)}, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return requestlog.EndOfIDs, nil
	}
	return first, err
}

func chunkData(tx *writeTx, id int64) (data []byte, err error) {
	return data, tx.row("SELECT data FROM request_chunks WHERE id = ?", []any{id}, &data)
}

func chunkRows(tx *writeTx, id int64) ([]requestlog.Row, error) {
	data, err := chunkData(tx, id)
	if err != nil {
		return nil, err
	}
	return requestlog.DecodeRows(data)
}

// hasRow tells whether a row is stored.
func hasRow(tx *writeTx, row *requestlog.Row) (bool, error) {
	chunk, err := chunkBefore(tx, row.ProjectID, row.ID)
	if err != nil || chunk.id == 0 || chunk.last < row.ID {
		return false, err
	}
	data, err := chunkData(tx, chunk.id)
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

// replaceChunk writes rows in place of the chunk with that id, or with 0 as new ones. No rows: the chunk goes.
func replaceChunk(tx *writeTx, id int64, rows []requestlog.Row) error {
	if len(rows) == 0 {
		return tx.exec("DELETE FROM request_chunks WHERE id = ?", id)
	}
	for len(rows) > 0 {
		n := len(rows)
		if n > limits.chunk*3/2 {
			n = limits.chunk
		}
		part := rows[:n]
		rows = rows[n:]
		labels := uint64(0)
		for i := range part {
			if i == 0 || part[i].Code != part[i-1].Code || part[i].Category != part[i-1].Category {
				labels |= codeLabel(part[i].Code) | categoryLabel(part[i].Category)
			}
		}
		values := []any{part[0].ProjectID, int64(part[0].ID), int64(part[n-1].ID), n, int64(labels), requestlog.AppendRows(nil, part)}
		var err error
		if id != 0 {
			err = tx.exec("UPDATE request_chunks SET project_id = ?, first_id = ?, last_id = ?, count = ?, labels = ?, data = ? WHERE id = ?", append(values, id)...)
		} else {
			err = tx.exec("INSERT INTO request_chunks (project_id, first_id, last_id, count, labels, data) VALUES (?, ?, ?, ?, ?, ?)", values...)
		}
		if err != nil {
			return err
		}
		id = 0
	}
	return nil
}

// codeLabel and categoryLabel are bits of a chunk's labels: a chunk without the bit has no such row. Several may share one.
func codeLabel(code requestlog.Code) uint64 {
	return 1 << (crc32.ChecksumIEEE([]byte(code)) % 32)
}

func categoryLabel(category string) uint64 {
	return 1 << (32 + crc32.ChecksumIEEE([]byte(category))%31)
}
