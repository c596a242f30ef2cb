package models

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/claviger/claviger/models/requestlog"
)

// windowGrowth is how much longer than a stretch the next one is.
const windowGrowth = 8

// list looks for rows in stretches that grow. In each, Postgres goes from row to row or asks the index of values, as its
// statistics say: a value that many rows have is found at once, and one that few have in a dozen statements. With one statement
// for all, one that is neither would be looked for in the whole log.
func (q *postgresRequests) list(ctx context.Context, query requestlog.Query) (list []requestlog.Row, err error) {
	tx, err := q.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if !narrowsByValue(&query) {
		return listRows(ctx, tx, query)
	}
	// A plan for any values, which Postgres makes after some of the same form, knows neither how long the stretch is nor how rare.
	if _, err := tx.ExecContext(ctx, "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
		return nil, err
	}
	return listStretches(ctx, tx, query)
}

// narrowsByValue reports whether the query asks for a value of a column other than the key.
func narrowsByValue(q *requestlog.Query) bool {
	return q.Type != "" || q.Category != "" || q.Code != "" || q.StatusClass != 0 || q.Path != "" || q.IP != ""
}

func listStretches(ctx context.Context, tx *sql.Tx, query requestlog.Query) (list []requestlog.Row, err error) {
	rest, window, err := firstStretch(ctx, tx, query)
	for err == nil && rest.From < rest.To && len(list) < query.Limit {
		part := rest
		part.Limit -= len(list)
		switch {
		case rest.To-rest.From <= window:
			rest.From = rest.To
		case query.OldestFirst:
			part.To = rest.From + window
			rest.From = part.To
		default:
			part.From = rest.To - window
			rest.To = part.From
		}
		window = min(window, (rest.To-rest.From)/windowGrowth+1) * windowGrowth
		var found []requestlog.Row
		found, err = listRows(ctx, tx, part)
		list = append(list, found...)
	}
	return list, err
}

// firstStretch narrows the query to where rows are, and tells how long the stretch with the first of them is.
func firstStretch(ctx context.Context, tx *sql.Tx, query requestlog.Query) (narrowed requestlog.Query, window requestlog.ID, err error) {
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
		SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0), COALESCE((SELECT id FROM asked ORDER BY id %s LIMIT 1), 0)
		FROM first`, order, reversed),
		query.ProjectID, int64(query.From), int64(query.To), query.KeyID, limits.window).Scan(&first, &last, &end)
	narrowed = query
	narrowed.From, narrowed.To = min(first, end), max(last, end)+1
	if end == 0 {
		narrowed.To = narrowed.From // there is none
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
		SELECT id, project_id, key_id, version, type, category, method, path, status, duration_us, ttfb_us, ip, credits, code, session_hash
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
