package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/claviger/claviger/models/requestlog"
)

// rangeGrowth is how much longer each range is than the one before.
const rangeGrowth = 8

// List returns the rows that the query asks for.
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

// list looks for values in ranges that grow. In each, Postgres goes from row to row or asks the index of values, as
// its statistics say: a value that many rows have is found at once, and one that few have in a dozen statements. One
// statement for all would look through the whole log for a value that is neither.
func (l *Log) list(ctx context.Context, q requestlog.Query) ([]requestlog.Row, error) {
	tx, err := l.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if !asksForValue(&q) {
		return listRows(ctx, tx, q)
	}
	// A generic plan, which Postgres makes after some statements of one form, knows neither how long the range is nor
	// how rare the value.
	if _, err := tx.ExecContext(ctx, "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
		return nil, err
	}
	return l.listRanges(ctx, tx, q)
}

// asksForValue reports whether the query asks for a value of a column other than the key.
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

// firstRange narrows the query to where rows are, and returns the length of the range with the first ScanRows of them.
func (l *Log) firstRange(
	ctx context.Context, tx *sql.Tx, query requestlog.Query,
) (narrowed requestlog.Query, length requestlog.ID, err error) {
	order, reversed := "DESC", "ASC"
	if query.OldestFirst {
		order, reversed = reversed, order
	}
	var first, last, end requestlog.ID // of the first rows, and the last row of all
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
	if end == 0 {
		narrowed.To = narrowed.From // no row
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
	add(query.StatusClass != 0, "status >=", query.StatusClass*100) // as the index knows it
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
			id, project_id, key_id, version, type, category, method, path, status, duration_us, ttfb_us, ip, credits, code,
			session_hash
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
		err := rows.Scan(&r.ID, &r.ProjectID, &r.KeyID, &r.Version, &r.Type, &r.Category, &r.Method, &r.Path, &r.Status,
			&r.DurationUs, &r.TTFBUs, &r.IP, &r.Credits, &r.Code, &r.SessionHash)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
