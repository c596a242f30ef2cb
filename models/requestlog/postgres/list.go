package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/claviger/claviger/models/requestlog"
)

// rangeGrowth is how many times longer each range is than the one before.
const rangeGrowth = 8

// List returns the rows that match the query.
func (l *Log) List(ctx context.Context, q requestlog.Query) ([]requestlog.Row, error) {
	if q.From >= q.To {
		return nil, nil
	}
	rows, err := l.list(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return rows, nil
}

// list searches for values in ranges of ids, each longer than the one before. In each range, Postgres chooses by its
// statistics whether to read row by row or to use the index of values. So a frequent value is found at once, and a rare
// one with a dozen statements. With one statement over the whole log, Postgres would read all of it for a value that is
// neither frequent nor rare.
func (l *Log) list(ctx context.Context, q requestlog.Query) ([]requestlog.Row, error) {
	tx, err := l.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if !asksForValue(&q) {
		return listRows(ctx, tx, q)
	}
	// Postgres uses a generic plan after some executions of a statement. It ignores how long the range is and how rare
	// the value is.
	if _, err := tx.ExecContext(ctx, "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
		return nil, err
	}
	return l.listRanges(ctx, tx, q)
}

// asksForValue reports whether the query has a value of a column that is in the index of values.
func asksForValue(q *requestlog.Query) bool {
	return q.Type != "" || q.Category != "" || q.Code != "" || q.StatusClass != 0 || q.Path != "" || q.IP != ""
}

func (l *Log) listRanges(
	ctx context.Context, tx *sql.Tx, query requestlog.Query,
) (list []requestlog.Row, err error) {
	rest, length, err := l.firstRange(ctx, tx, query)
	for err == nil && rest.From < rest.To && len(list) < query.Limit {
		part := rest
		part.Limit -= len(list)
		switch {
		case rest.To-rest.From <= length:
			rest.From = rest.To
		case query.OldestFirst:
			part.To = rest.From + length
			rest.From = part.To
		default:
			part.From = rest.To - length
			rest.To = part.From
		}
		length = min(length, (rest.To-rest.From)/rangeGrowth+1) * rangeGrowth
		var found []requestlog.Row
		found, err = listRows(ctx, tx, part)
		list = append(list, found...)
	}
	return list, err
}

// firstRange narrows the query to the range of ids in which it has rows, before values are compared. length is that of
// the range with the first ScanRows of these rows.
func (l *Log) firstRange(
	ctx context.Context, tx *sql.Tx, query requestlog.Query,
) (narrowed requestlog.Query, length requestlog.ID, err error) {
	order, reversed := "DESC", "ASC"
	if query.OldestFirst {
		order, reversed = reversed, order
	}
	var first, last, end requestlog.ID // the smallest and largest of the first rows; the last of all rows
	err = tx.QueryRowContext(ctx, fmt.Sprintf(`
		WITH asked AS NOT MATERIALIZED (
			SELECT id FROM request_logs
			WHERE project_id = $1 AND id >= $2 AND id < $3 AND ($4::bigint = 0 OR key_id = $4)
		), first AS (
			SELECT id FROM asked ORDER BY id %s LIMIT $5
		)
		SELECT
			COALESCE(MIN(id), 0),
			COALESCE(MAX(id), 0),
			COALESCE((SELECT id FROM asked ORDER BY id %s LIMIT 1), 0)
		FROM first`, order, reversed),
		query.ProjectID, int64(query.From), int64(query.To), query.KeyID, l.options.ScanRows).Scan(&first, &last, &end)
	narrowed = query
	narrowed.From, narrowed.To = min(first, end), max(last, end)+1
	if end == 0 { // there is no row
		narrowed.To = narrowed.From
	}
	return narrowed, last - first + 1, err
}

// listRows lists rows in one statement.
func listRows(ctx context.Context, tx *sql.Tx, query requestlog.Query) (list []requestlog.Row, err error) {
	args := []any{query.ProjectID, int64(query.From), int64(query.To)}
	conditions := []string{"project_id = $1", "id >= $2", "id < $3"}
	add := func(asked bool, condition string, value any) {
		if asked {
			args = append(args, value)
			conditions = append(conditions, fmt.Sprintf("%s $%d", condition, len(args)))
		}
	}
	add(query.KeyID != 0, "key_id =", query.KeyID)
	add(query.Type != "", "type =", query.Type)
	add(query.Category != "", "category =", query.Category)
	add(query.Code != "", "code =", string(query.Code))
	add(query.StatusClass != 0, "status >=", query.StatusClass*100) // a range, because the index has the status itself
	add(query.StatusClass != 0, "status <", query.StatusClass*100+100)
	add(query.Method != "", "method =", query.Method)
	add(query.Path != "", "path =", query.Path)
	add(query.IP != "", "ip =", query.IP)
	order := "DESC"
	if query.OldestFirst {
		order = "ASC"
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf(`
		SELECT
			id, project_id, key_id, version, type, category, method, path,
			status, duration_us, ttfb_us, ip, credits, code, session_hash
		FROM request_logs
		WHERE %s
		ORDER BY id %s
		LIMIT %d`, strings.Join(conditions, " AND "), order, query.Limit), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r requestlog.Row
		err := rows.Scan(
			&r.ID, &r.ProjectID, &r.KeyID, &r.Version, &r.Type, &r.Category, &r.Method, &r.Path,
			&r.Status, &r.DurationUs, &r.TTFBUs, &r.IP, &r.Credits, &r.Code, &r.SessionHash,
		)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
