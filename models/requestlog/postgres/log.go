// Package postgres stores the request log in Postgres: rows in a table that is partitioned by week, and counts in
// tables of their own. Any number of processes may write.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// Options say how much the log reads and writes at once. A zero field means its default, which was chosen by
// measurement: see docs/performance.md.
type Options struct {
	// Now returns the time. The default is time.Now.
	Now func() time.Time
	// ScanRows is how many rows a list with a filter searches first. The default is 5,000.
	ScanRows int
	// RowsPerStep is how many rows one transaction of Tidy changes at most. The default is 5,000.
	RowsPerStep int
}

// Log is the [requestlog.Log] of a Postgres database.
type Log struct {
	options Options
	pool    *sql.DB
}

var _ requestlog.Log = (*Log)(nil)

// New returns the log in db, which must be migrated before the log is used.
func New(db *sqldb.DB, o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ScanRows, o.RowsPerStep = cmp.Or(o.ScanRows, 5000), cmp.Or(o.RowsPerStep, 5000)
	return &Log{options: o, pool: db.Write}
}

// Close does nothing: nothing runs in the background.
func (l *Log) Close() {}

// LastUsed returns nothing, because Write updates last_used_at in the keys' own rows.
func (l *Log) LastUsed(context.Context, []int64) (map[int64]time.Time, error) { return nil, nil }

// HoldUse calls fn with false: see [Log.LastUsed].
func (l *Log) HoldUse(_ context.Context, _ int64, fn func(used bool) error) error { return fn(false) }

// NewIDs returns a source of ids with the next of 1,024 process numbers.
func (l *Log) NewIDs(ctx context.Context) (*requestlog.IDs, error) {
	var process int64
	if err := l.pool.QueryRowContext(ctx, "SELECT nextval('process_numbers')").Scan(&process); err != nil {
		return nil, fmt.Errorf("claim a process number: %w", err)
	}
	return requestlog.NewIDs(l.options.Now, process, 0), nil
}

// Write stores rows and counts in one transaction.
func (l *Log) Write(ctx context.Context, batch []requestlog.Row) error {
	if len(batch) == 0 {
		return nil
	}
	if err := l.write(ctx, batch); err != nil {
		return fmt.Errorf("write %d rows of requests: %w", len(batch), err)
	}
	return nil
}

// write uses one statement for each table and passes each column as an array. The rows of each statement are sorted by
// the table's key, so that processes that write at the same time lock rows in the same order.
func (l *Log) write(ctx context.Context, batch []requestlog.Row) error {
	tx, err := l.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stored, err := insertRows(ctx, tx, batch)
	if err != nil {
		return err
	}
	if stored < int64(len(batch)) {
		// The batch was stored before, together with its counts. If only some of its rows existed, the others have been
		// removed since then, because of their age.
		return nil
	}
	if err := addProjectMinutes(ctx, tx, requestlog.CountByMinute(batch)); err != nil {
		return err
	}
	if err := addKeyCounts(ctx, tx, countByKey(batch)); err != nil {
		return err
	}
	return tx.Commit()
}

// columnOf returns the value of each row.
func columnOf[R, T any](rows []R, value func(*R) T) []T {
	column := make([]T, len(rows))
	for i := range rows {
		column[i] = value(&rows[i])
	}
	return column
}

func insertRows(ctx context.Context, tx *sql.Tx, batch []requestlog.Row) (stored int64, err error) {
	rows := slices.Clone(batch)
	slices.SortFunc(rows, func(a, b requestlog.Row) int { return cmp.Compare(a.ID, b.ID) })
	result, err := tx.ExecContext(ctx, `
		INSERT INTO request_logs (
			id, project_id, key_id, version, type, category, method, path,
			status, duration_us, ttfb_us, ip, credits, code, session_hash
		)
		SELECT * FROM unnest(
			$1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[],
			$9::integer[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::text[], $15::bytea[]
		)
		ON CONFLICT DO NOTHING`,
		columnOf(rows, func(r *requestlog.Row) int64 { return int64(r.ID) }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.ProjectID }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.KeyID }),
		columnOf(rows, func(r *requestlog.Row) int32 { return int32(r.Version) }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Type }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Category }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Method }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Path }),
		columnOf(rows, func(r *requestlog.Row) int32 { return int32(r.Status) }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.DurationUs }),
		columnOf(rows, func(r *requestlog.Row) sql.NullInt64 { return r.TTFBUs }),
		columnOf(rows, func(r *requestlog.Row) string { return r.IP }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.Credits }),
		columnOf(rows, func(r *requestlog.Row) string { return string(r.Code) }),
		columnOf(rows, func(r *requestlog.Row) []byte { return r.SessionHash }))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
