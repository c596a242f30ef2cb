package models

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/claviger/claviger/models/requestlog"
)

// listOfProject goes through the chunks of a project from the newest or the oldest on, past groups that have no row asked for.
func (q *sqliteRequests) listOfProject(ctx context.Context, query requestlog.Query) ([]requestlog.Row, error) {
	tx, finish, err := beginWhole(ctx, q.reading) // rows of several statements are read at the same time
	if err != nil {
		return nil, err
	}
	defer finish()
	r := projectReader{ctx: ctx, tx: tx, query: query}
	values := valuesAsked(&query)
	if len(values) == 0 {
		err = r.read(query.From, query.To)
		return r.list, err
	}
	var first, end requestlog.ID // of all groups; what is outside of them is in none
	err = tx.QueryRowContext(ctx, "SELECT COALESCE((SELECT first_id FROM request_groups WHERE project_id = ?1 ORDER BY first_id LIMIT 1), 0), "+
		"COALESCE((SELECT end_id FROM request_groups WHERE project_id = ?1 ORDER BY first_id DESC LIMIT 1), 0)", query.ProjectID).Scan(&first, &end)
	if err != nil {
		return nil, err
	}
	parts := []func() error{
		func() error { return r.read(max(query.From, end), query.To) },
		func() error { return r.readGroups(values) },
		func() error { return r.read(query.From, min(query.To, first)) },
	}
	if query.OldestFirst {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return r.list, nil
}

// projectReader gathers rows of a project.
type projectReader struct {
	ctx   context.Context
	tx    *sql.Tx
	query requestlog.Query
	list  []requestlog.Row
}

func (r *projectReader) full() bool { return len(r.list) >= r.query.Limit }

func (r *projectReader) order() string {
	if r.query.OldestFirst {
		return "ASC"
	}
	return "DESC"
}

// read adds rows with ids in [from, to), as many as the limit says.
func (r *projectReader) read(from, to requestlog.ID) error {
	if from >= to || r.full() {
		return nil
	}
	asked := r.query
	asked.From, asked.To = from, to
	var labels uint64
	if asked.Code != "" {
		labels |= codeLabel(asked.Code)
	}
	if asked.Category != "" {
		labels |= categoryLabel(asked.Category)
	}
	rows, err := r.tx.QueryContext(r.ctx, "SELECT data FROM request_chunks WHERE project_id = ?1 AND first_id < ?3 AND labels & ?4 = ?4 "+
		"AND first_id >= COALESCE((SELECT MAX(first_id) FROM request_chunks WHERE project_id = ?1 AND first_id <= ?2), ?2) ORDER BY first_id "+r.order(),
		asked.ProjectID, int64(from), int64(to), int64(labels))
	if err != nil {
		return err
	}
	defer rows.Close()
	for !r.full() && rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if err := r.add(data, &asked); err != nil {
			return err
		}
	}
	return rows.Err()
}

// add adds the rows of a chunk that are asked for.
func (r *projectReader) add(data []byte, asked *requestlog.Query) error {
	columns, err := requestlog.ReadColumns(data)
	if err != nil {
		return err
	}
	if may, err := mayMatch(columns, asked); !may || err != nil {
		return err
	}
	chunk, err := columns.All()
	if err != nil {
		return err
	}
	if !asked.OldestFirst {
		slices.Reverse(chunk)
	}
	for i := range chunk {
		row := &chunk[i]
		if asked.Matches(row) && !r.full() {
			r.list = append(r.list, *row)
		}
	}
	return nil
}

// mayMatch tells by the lists of texts whether a row may be asked for.
func mayMatch(c *requestlog.Columns, q *requestlog.Query) (bool, error) {
	for column, text := range map[requestlog.Column]string{requestlog.ColumnPaths: q.Path, requestlog.ColumnIPs: q.IP, requestlog.ColumnMethods: q.Method} {
		if text == "" {
			continue
		}
		if has, err := c.HasText(column, text); !has || err != nil {
			return false, err
		}
	}
	if q.StatusClass == 0 {
		return true, nil
	}
	may := false
	err := c.EachNumber(requestlog.ColumnStatus, func(status int64) { may = may || int(status)/100 == q.StatusClass })
	return may, err
}

// readGroups adds rows of the groups whose filters may have the values.
func (r *projectReader) readGroups(values []rowValue) error {
	if r.full() {
		return nil
	}
	text, args := selectGroups(values)
	rows, err := r.tx.QueryContext(r.ctx, text+" WHERE g.project_id = ? AND g.first_id < ? "+
		"AND g.first_id >= COALESCE((SELECT MAX(first_id) FROM request_groups WHERE project_id = ? AND first_id <= ?), 0) ORDER BY g.first_id "+r.order(),
		append(args, r.query.ProjectID, int64(r.query.To), r.query.ProjectID, int64(r.query.From))...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for !r.full() && rows.Next() {
		g, err := scanGroup(rows, values)
		if err != nil {
			return err
		}
		if !g.maybe {
			continue
		}
		if err := r.read(max(g.first, r.query.From), min(g.end, r.query.To)); err != nil {
			return err
		}
	}
	return rows.Err()
}

// chunkGroup is a stretch of the log; maybe tells whether some row in it may have the values that were asked for.
type chunkGroup struct {
	first, end requestlog.ID
	maybe      bool
}

// selectGroups begins a query of groups, each with the pieces of its filter that the values are in.
func selectGroups(values []rowValue) (text string, args []any) {
	var columns, joins strings.Builder
	for i, v := range values {
		fmt.Fprintf(&columns, ", f%d.bits", i)
		fmt.Fprintf(&joins, " LEFT JOIN request_filters f%[1]d ON f%[1]d.group_id = g.id AND f%[1]d.piece = ? %% g.pieces", i)
		args = append(args, v.place())
	}
	return "SELECT g.first_id, g.end_id" + columns.String() + " FROM request_groups g" + joins.String(), args
}

func scanGroup(rows *sql.Rows, values []rowValue) (g chunkGroup, err error) {
	pieces, into := make([]sql.RawBytes, len(values)), []any{&g.first, &g.end}
	for i := range pieces {
		into = append(into, &pieces[i])
	}
	if err := rows.Scan(into...); err != nil {
		return g, err
	}
	g.maybe = true
	for i, v := range values {
		g.maybe = g.maybe && v.maybeIn(pieces[i])
	}
	return g, nil
}

// groupOf is the group that a request falls into, or the stretch up to the next ones where it is in none.
func groupOf(ctx context.Context, tx *sql.Tx, projectID int64, id requestlog.ID, values []rowValue) (chunkGroup, error) {
	text, args := selectGroups(values)
	rows, err := tx.QueryContext(ctx, text+" WHERE g.project_id = ? AND g.first_id = (SELECT MAX(first_id) FROM request_groups WHERE project_id = ? AND first_id <= ?) AND g.end_id > ?",
		append(args, projectID, projectID, int64(id), int64(id))...)
	if err != nil {
		return chunkGroup{}, err
	}
	defer rows.Close()
	if rows.Next() {
		return scanGroup(rows, values)
	}
	if err := rows.Err(); err != nil {
		return chunkGroup{}, err
	}
	g := chunkGroup{maybe: true}
	return g, tx.QueryRowContext(ctx, "SELECT COALESCE((SELECT end_id FROM request_groups WHERE project_id = ?1 AND first_id <= ?2 ORDER BY first_id DESC LIMIT 1), 0), "+
		"COALESCE((SELECT MIN(first_id) FROM request_groups WHERE project_id = ?1 AND first_id > ?2), ?3)", projectID, int64(id), int64(requestlog.EndOfIDs)).Scan(&g.first, &g.end)
}
