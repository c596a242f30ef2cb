package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// List returns the rows that match the query.
func (l *Log) List(ctx context.Context, q requestlog.Query) ([]requestlog.Row, error) {
	if q.From >= q.To {
		return nil, nil
	}
	find := l.listOfProject
	if q.KeyID != 0 {
		find = l.listOfKey
	}
	rows, err := find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return rows, nil
}

// listOfProject reads the chunks of a project in the query's order. It skips groups that have no matching row.
func (l *Log) listOfProject(ctx context.Context, query requestlog.Query) ([]requestlog.Row, error) {
	tx, end, err := sqldb.BeginWhole(ctx, l.read) // readGroups runs a statement while it reads the rows of another
	if err != nil {
		return nil, err
	}
	defer end()
	r := projectReader{ctx: ctx, tx: tx, query: query}
	values := valuesAsked(&query)
	if len(values) == 0 {
		err = r.read(query.From, query.To)
		return r.list, err
	}
	var first, last requestlog.ID // the range of all groups; rows outside it are in no group
	err = tx.QueryRowContext(ctx, `
		SELECT
			COALESCE((SELECT first_id FROM request_groups WHERE project_id = ?1 ORDER BY first_id LIMIT 1), 0),
			COALESCE((SELECT end_id FROM request_groups WHERE project_id = ?1 ORDER BY first_id DESC LIMIT 1), 0)`,
		query.ProjectID).Scan(&first, &last)
	if err != nil {
		return nil, err
	}
	parts := []func() error{
		func() error { return r.read(max(query.From, last), query.To) },
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

// projectReader collects the rows of a project that match a query.
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

// read adds matching rows with ids in [from, to), up to the query's limit.
func (r *projectReader) read(from, to requestlog.ID) error {
	if from >= to || r.full() {
		return nil
	}
	asked := r.query
	asked.From, asked.To = from, to
	rows, err := r.tx.QueryContext(r.ctx, `
		SELECT data FROM request_chunks
		WHERE project_id = ?1
			AND first_id < ?3
			AND bitmap & ?4 = ?4
			AND first_id >= COALESCE((
				SELECT MAX(first_id) FROM request_chunks WHERE project_id = ?1 AND first_id <= ?2
			), ?2)
		ORDER BY first_id `+r.order(),
		asked.ProjectID, int64(from), int64(to), int64(bitmapAsked(&asked)))
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

// add adds the rows of a chunk that match asked, up to the query's limit.
func (r *projectReader) add(data []byte, asked *requestlog.Query) error {
	columns, err := requestlog.ReadColumns(data)
	if err != nil {
		return err
	}
	if may, err := mayMatch(columns, asked); !may || err != nil {
		return err
	}
	rows, err := columns.All()
	if err != nil {
		return err
	}
	if !asked.OldestFirst {
		slices.Reverse(rows)
	}
	for i := range rows {
		if asked.Matches(&rows[i]) && !r.full() {
			r.list = append(r.list, rows[i])
		}
	}
	return nil
}

// mayMatch reports whether some row may match the query. It reads only the lists of different texts and the statuses.
func mayMatch(c *requestlog.Columns, q *requestlog.Query) (bool, error) {
	for column, text := range map[requestlog.Column]string{
		requestlog.ColumnPaths:   q.Path,
		requestlog.ColumnIPs:     q.IP,
		requestlog.ColumnMethods: q.Method,
	} {
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

// readGroups adds matching rows of the groups whose filters may have the values.
func (r *projectReader) readGroups(values []value) error {
	if r.full() {
		return nil
	}
	text, args := selectGroups(values)
	rows, err := r.tx.QueryContext(r.ctx, text+`
		WHERE g.project_id = ?
			AND g.first_id < ?
			AND g.first_id >= COALESCE((
				SELECT MAX(first_id) FROM request_groups WHERE project_id = ? AND first_id <= ?
			), 0)
		ORDER BY g.first_id `+r.order(),
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
		if !g.may {
			continue
		}
		if err := r.read(max(g.first, r.query.From), min(g.end, r.query.To)); err != nil {
			return err
		}
	}
	return rows.Err()
}
