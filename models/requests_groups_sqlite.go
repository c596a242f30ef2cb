package models

import (
	"database/sql"
	"errors"

	"github.com/claviger/claviger/models/requestlog"
)

// groupChunks makes the next group of a project's chunks, where there are enough. The newest stay out, because open chunks are
// joined again and again.
func groupChunks(tx *writeTx, projectID int64) (made bool, err error) {
	first, err := groupedEnd(tx, projectID)
	if err != nil {
		return false, err
	}
	chunks, end, err := chunksToGroup(tx, projectID, first)
	if len(chunks) == 0 || err != nil {
		return false, err
	}
	values := map[rowValue]struct{}{}
	for _, id := range chunks {
		data, err := chunkData(tx, id)
		if err == nil {
			err = addValues(tx, values, data)
		}
		if err != nil {
			return false, err
		}
	}
	pieces := newFilter(values)
	result, err := tx.Exec("INSERT INTO request_groups (project_id, first_id, end_id, pieces) VALUES (?, ?, ?, ?)", projectID, int64(first), int64(end), len(pieces))
	if err != nil {
		return false, err
	}
	group, err := result.LastInsertId()
	for i := 0; i < len(pieces) && err == nil; i++ {
		err = tx.exec("INSERT INTO request_filters (group_id, piece, bits) VALUES (?, ?, ?)", group, i, pieces[i])
	}
	return true, err
}

// groupedEnd is where the newest group of the project ends; 0 where it has none.
func groupedEnd(tx *writeTx, projectID int64) (end requestlog.ID, err error) {
	err = tx.row("SELECT end_id FROM request_groups WHERE project_id = ? ORDER BY first_id DESC LIMIT 1", []any{projectID}, &end)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return end, err
}

// chunksToGroup are the ids of the chunks of the next group, which begins at first; none where they are too few. end is where the
// chunk after them begins.
func chunksToGroup(tx *writeTx, projectID int64, first requestlog.ID) (chunks []int64, end requestlog.ID, err error) {
	rows, err := tx.query("SELECT id, first_id FROM request_chunks WHERE project_id = ? AND first_id >= ? ORDER BY first_id LIMIT ?",
		projectID, int64(first), limits.group+2*limits.openChunks)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	found := 0
	for ; rows.Next(); found++ {
		var id int64
		var begin requestlog.ID
		if err := rows.Scan(&id, &begin); err != nil {
			return nil, 0, err
		}
		if found < limits.group {
			chunks = append(chunks, id)
		} else if found == limits.group {
			end = begin
		}
	}
	if found < limits.group+2*limits.openChunks {
		chunks = nil
	}
	return chunks, end, rows.Err()
}

// addValues adds the values of a chunk's rows.
func addValues(tx *writeTx, values map[rowValue]struct{}, data []byte) error {
	c, err := requestlog.ReadColumns(data)
	if err != nil {
		return err
	}
	lists := map[requestlog.Column]byte{requestlog.ColumnCodes: valueCode, requestlog.ColumnCategories: valueCategory, requestlog.ColumnPaths: valuePath, requestlog.ColumnIPs: valueIP,
		requestlog.ColumnTypes: valueType,
	}
	for column, name := range lists {
		texts, err := c.Texts(column)
		if err != nil {
			return err
		}
		for _, t := range texts {
			values[valueOf(name, t)] = struct{}{}
		}
	}
	return c.EachNumber(requestlog.ColumnStatus, func(status int64) { values[valueOfStatus(int(status))] = struct{}{} })
}

// addToGroups adds the values of rows of one project, which are in the order of ids, to the filters of the groups that they fall
// into: rows that come late, or that were changed. The newest group ends at end.
func addToGroups(tx *writeTx, rows []requestlog.Row, end requestlog.ID) error {
	rows, _ = cutRows(rows, end)
	for i := range rows {
		r := &rows[i]
		var group, pieces int64
		err := tx.row("SELECT id, pieces FROM request_groups WHERE project_id = ?1 AND first_id <= ?2 AND end_id > ?2 ORDER BY first_id DESC LIMIT 1",
			[]any{r.ProjectID, int64(r.ID)}, &group, &pieces)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		for v := range valuesOf(r) {
			if err := addToFilter(tx, group, v.place()%pieces, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func addToFilter(tx *writeTx, group, piece int64, v rowValue) error {
	var bits []byte
	if err := tx.row("SELECT bits FROM request_filters WHERE group_id = ? AND piece = ?", []any{group, piece}, &bits); err != nil {
		return err
	}
	if len(bits) != filterPiece || !v.addTo(bits) {
		return nil
	}
	return tx.exec("UPDATE request_filters SET bits = ? WHERE group_id = ? AND piece = ?", bits, group, piece)
}

// removeGroups removes the groups of a project that have no chunk any more.
func removeGroups(tx *writeTx, projectID int64) error {
	const gone = "project_id = ?1 AND end_id <= COALESCE((SELECT MIN(first_id) FROM request_chunks WHERE project_id = ?1), end_id)"
	if err := tx.exec("DELETE FROM request_filters WHERE group_id IN (SELECT id FROM request_groups WHERE "+gone+")", projectID); err != nil {
		return err
	}
	return tx.exec("DELETE FROM request_groups WHERE "+gone, projectID)
}
