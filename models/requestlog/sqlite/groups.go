package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// A group is a range of a project's log, of GroupChunks chunks, with a Bloom filter of the values in it. Tidy makes
// groups. The newest chunks are in no group.

// groupChunks makes the next group of a project if there are enough chunks for it, and reports whether it made one. It
// leaves out the newest chunks, because head chunks are still joined.
func (l *Log) groupChunks(tx *sqldb.Tx, projectID int64) (made bool, err error) {
	first, err := groupsEnd(tx, projectID)
	if err != nil {
		return false, err
	}
	chunks, end, err := l.chunksToGroup(tx, projectID, first)
	if len(chunks) == 0 || err != nil {
		return false, err
	}
	values := map[value]struct{}{}
	for _, id := range chunks {
		data, err := chunkData(tx, id)
		if err == nil {
			err = addValues(values, data)
		}
		if err != nil {
			return false, err
		}
	}
	shards := newBloom(values)
	var group int64
	err = tx.QueryRow(`
		INSERT INTO request_groups (project_id, first_id, end_id, shards)
		VALUES (?, ?, ?, ?)
		RETURNING id`, []any{projectID, int64(first), int64(end), len(shards)}, &group)
	for i := 0; i < len(shards) && err == nil; i++ {
		err = tx.Exec("INSERT INTO request_filters (group_id, shard, bits) VALUES (?, ?, ?)", group, i, shards[i])
	}
	return true, err
}

// groupsEnd returns the id at which the newest group of the project ends, or 0 if it has no group.
func groupsEnd(tx *sqldb.Tx, projectID int64) (end requestlog.ID, err error) {
	err = tx.QueryRow(`
		SELECT end_id FROM request_groups
		WHERE project_id = ?
		ORDER BY first_id DESC
		LIMIT 1`, []any{projectID}, &end)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return end, err
}

// chunksToGroup returns the ids of the chunks of the next group, which begins at first. It returns none if there are
// not enough chunks yet. end is the id at which the chunk after them begins.
func (l *Log) chunksToGroup(
	tx *sqldb.Tx, projectID int64, first requestlog.ID,
) (chunks []int64, end requestlog.ID, err error) {
	enough := l.options.GroupChunks + 2*l.options.HeadChunks
	rows, err := tx.Query(`
		SELECT id, first_id FROM request_chunks
		WHERE project_id = ? AND first_id >= ?
		ORDER BY first_id
		LIMIT ?`, projectID, int64(first), enough)
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
		if found < l.options.GroupChunks {
			chunks = append(chunks, id)
		} else if found == l.options.GroupChunks {
			end = begin
		}
	}
	if found < enough {
		chunks = nil
	}
	return chunks, end, rows.Err()
}

// addValues adds the values of a chunk's rows to values.
func addValues(values map[value]struct{}, data []byte) error {
	c, err := requestlog.ReadColumns(data)
	if err != nil {
		return err
	}
	for column, name := range map[requestlog.Column]byte{
		requestlog.ColumnCodes:      valueCode,
		requestlog.ColumnCategories: valueCategory,
		requestlog.ColumnPaths:      valuePath,
		requestlog.ColumnIPs:        valueIP,
		requestlog.ColumnTypes:      valueType,
	} {
		texts, err := c.Texts(column)
		if err != nil {
			return err
		}
		for _, t := range texts {
			values[valueOf(name, t)] = struct{}{}
		}
	}
	return c.EachNumber(requestlog.ColumnStatus, func(status int64) {
		values[valueOfStatus(int(status))] = struct{}{}
	})
}

// addToGroups adds the values of rows to the filters of the groups that they belong to. It is for rows that come late
// and for rows that were changed. They must be of one project and sorted by id. The newest group ends at end.
func addToGroups(tx *sqldb.Tx, rows []requestlog.Row, end requestlog.ID) error {
	rows, _ = cutRows(rows, end)
	for i := range rows {
		r := &rows[i]
		var group, shards int64
		err := tx.QueryRow(`
			SELECT id, shards FROM request_groups
			WHERE project_id = ?1 AND first_id <= ?2 AND end_id > ?2
			ORDER BY first_id DESC
			LIMIT 1`, []any{r.ProjectID, int64(r.ID)}, &group, &shards)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		for v := range valuesOf(r) {
			if err := addToShard(tx, group, v.shard(shards), v); err != nil {
				return err
			}
		}
	}
	return nil
}

func addToShard(tx *sqldb.Tx, group, shard int64, v value) error {
	var bits []byte
	err := tx.QueryRow("SELECT bits FROM request_filters WHERE group_id = ? AND shard = ?", []any{group, shard}, &bits)
	if err != nil {
		return err
	}
	if len(bits) != shardBytes || !v.addTo(bits) {
		return nil
	}
	return tx.Exec("UPDATE request_filters SET bits = ? WHERE group_id = ? AND shard = ?", bits, group, shard)
}

// removeGroups deletes the groups of a project that have no chunk left.
func removeGroups(tx *sqldb.Tx, projectID int64) error {
	const gone = `
		project_id = ?1
		AND end_id <= COALESCE((SELECT MIN(first_id) FROM request_chunks WHERE project_id = ?1), end_id)`
	err := tx.Exec(`
		DELETE FROM request_filters
		WHERE group_id IN (SELECT id FROM request_groups WHERE `+gone+`)`, projectID)
	if err != nil {
		return err
	}
	return tx.Exec("DELETE FROM request_groups WHERE "+gone, projectID)
}

// group is the range of ids from first up to, but without, end.
type group struct {
	first, end requestlog.ID
	may        bool // false if no row of the range has all values that were asked for
}

// selectGroups returns the SELECT, FROM and JOIN clauses of a query for groups, with the shards to which the values
// belong. args are its arguments.
func selectGroups(values []value) (text string, args []any) {
	var columns, joins strings.Builder
	for i, v := range values {
		fmt.Fprintf(&columns, ", f%d.bits", i)
		fmt.Fprintf(&joins,
			" LEFT JOIN request_filters f%[1]d ON f%[1]d.group_id = g.id AND f%[1]d.shard = ? %% g.shards", i)
		args = append(args, v.place())
	}
	return "SELECT g.first_id, g.end_id" + columns.String() + " FROM request_groups g" + joins.String(), args
}

func scanGroup(rows *sql.Rows, values []value) (g group, err error) {
	shards, into := make([]sql.RawBytes, len(values)), []any{&g.first, &g.end}
	for i := range shards {
		into = append(into, &shards[i])
	}
	if err := rows.Scan(into...); err != nil {
		return g, err
	}
	g.may = true
	for i, v := range values {
		g.may = g.may && v.mayBeIn(shards[i])
	}
	return g, nil
}

// groupAt returns the group that has the id. If no group has it, groupAt returns the range between the groups before
// and after it.
func groupAt(
	ctx context.Context, tx *sql.Tx, projectID int64, id requestlog.ID, values []value,
) (group, error) {
	text, args := selectGroups(values)
	rows, err := tx.QueryContext(ctx, text+`
		WHERE g.project_id = ?
			AND g.first_id = (SELECT MAX(first_id) FROM request_groups WHERE project_id = ? AND first_id <= ?)
			AND g.end_id > ?`, append(args, projectID, projectID, int64(id), int64(id))...)
	if err != nil {
		return group{}, err
	}
	defer rows.Close()
	if rows.Next() {
		return scanGroup(rows, values)
	}
	if err := rows.Err(); err != nil {
		return group{}, err
	}
	g := group{may: true}
	err = tx.QueryRowContext(ctx, `
		SELECT
			COALESCE((
				SELECT end_id FROM request_groups
				WHERE project_id = ?1 AND first_id <= ?2
				ORDER BY first_id DESC
				LIMIT 1
			), 0),
			COALESCE((SELECT MIN(first_id) FROM request_groups WHERE project_id = ?1 AND first_id > ?2), ?3)`,
		projectID, int64(id), int64(requestlog.EndOfIDs)).Scan(&g.first, &g.end)
	return g, err
}
