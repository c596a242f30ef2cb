package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/claviger/claviger/models/requestlog"
)

// Complete updates rows in the order of their ids, so that processes that report at the same time lock them in the
// same order.
func (l *Log) Complete(
	ctx context.Context, projectID int64, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	if len(reports) == 0 {
		return nil, nil
	}
	if missing, err = l.complete(ctx, projectID, requestlog.SortedReports(reports)); err != nil {
		return nil, fmt.Errorf("complete requests: %w", err)
	}
	return missing, nil
}

func (l *Log) complete(
	ctx context.Context, projectID int64, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	tx, err := l.pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	rows, err := lockRows(ctx, tx, projectID, reports)
	if err != nil {
		return nil, err
	}
	var changed, recounted []requestlog.Row
	for i := range reports {
		row, found := rows[reports[i].ID]
		if !found {
			missing = append(missing, reports[i].ID)
			continue
		}
		rowChanged, credits := reports[i].Apply(&row)
		if rowChanged {
			changed = append(changed, row)
		}
		if credits != 0 {
			row.Credits = credits // the difference
			recounted = append(recounted, row)
		}
	}
	if len(changed) == 0 {
		return missing, nil
	}
	// The bounds on the id let Postgres skip partitions.
	_, err = tx.ExecContext(ctx, `
		UPDATE request_logs
		SET status = u.status, ttfb_us = u.ttfb_us, credits = u.credits
		FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[]) AS u (id, status, ttfb_us, credits)
		WHERE request_logs.id = u.id AND request_logs.id >= $5 AND request_logs.id <= $6`,
		columnOf(changed, func(r *requestlog.Row) int64 { return int64(r.ID) }),
		columnOf(changed, func(r *requestlog.Row) int32 { return int32(r.Status) }),
		columnOf(changed, func(r *requestlog.Row) sql.NullInt64 { return r.TTFBUs }),
		columnOf(changed, func(r *requestlog.Row) int64 { return r.Credits }),
		int64(changed[0].ID), int64(changed[len(changed)-1].ID))
	if err != nil {
		return nil, err
	}
	if err := addProjectMinutes(ctx, tx, requestlog.CountCredits(recounted)); err != nil {
		return nil, err
	}
	return missing, tx.Commit()
}

// lockRows locks the rows of the reports that exist, and reads the fields that a report can change.
func lockRows(
	ctx context.Context, tx *sql.Tx, projectID int64, reports []requestlog.Report,
) (map[requestlog.ID]requestlog.Row, error) {
	ids := columnOf(reports, func(r *requestlog.Report) int64 { return int64(r.ID) })
	rows, err := tx.QueryContext(ctx, `
		SELECT id, code, status, ttfb_us, credits
		FROM request_logs
		WHERE project_id = $1 AND id = ANY ($2::bigint[]) AND id >= $3 AND id <= $4
		ORDER BY id
		FOR UPDATE`, projectID, ids, ids[0], ids[len(ids)-1])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[requestlog.ID]requestlog.Row{}
	for rows.Next() {
		r := requestlog.Row{ProjectID: projectID}
		if err := rows.Scan(&r.ID, &r.Code, &r.Status, &r.TTFBUs, &r.Credits); err != nil {
			return nil, err
		}
		found[r.ID] = r
	}
	return found, rows.Err()
}
