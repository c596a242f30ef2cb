package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	pgLockNotAvailable = "55P03" // https://www.postgresql.org/docs/current/errcodes-appendix.html

	weekMinutes = 7 * requestlog.MinutesPerDay
	// weeksAhead is how many weeks have their partition before they begin.
	weeksAhead = 4
)

// tidy makes partitions, removes rows that are too old, and folds counts. Of several processes one does it at a time.
func (q *postgresRequests) tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	tx, err := q.pool.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	// Who waits for the lock of a table makes all wait that come after: better to try again later.
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
		return false, err
	}
	var mine bool
	err = tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtext('claviger tidy ' || current_schema()))").Scan(&mine)
	if err != nil || !mine {
		return false, err
	}
	for _, step := range []func(context.Context, *sql.Tx, *requestlog.Retention) (bool, error){makePartition, dropPartition, removeOldRows, foldCounts} {
		if more, err := step(ctx, tx, kept); err != nil {
			return false, err
		} else if more {
			return true, tx.Commit()
		}
	}
	return false, summarizeValues(ctx, tx)
}

// summarizeValues brings what was written since the last time into the index of values.
func summarizeValues(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "SELECT brin_summarize_new_values(inhrelid) FROM pg_inherits WHERE inhparent = 'request_logs_values'::regclass")
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == pgLockNotAvailable { // a vacuum is at work, and does the same
		return nil
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// makePartition makes the partition of the next week that has none. Rows of it that are there already move to it.
func makePartition(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	var end requestlog.ID
	if err := tx.QueryRowContext(ctx, "SELECT MAX(end_id) FROM request_partitions").Scan(&end); err != nil {
		return false, err
	}
	this := kept.Now.Unix() / 60 / weekMinutes
	week := max(end.Minute()/weekMinutes, this)
	if week > this+weeksAhead {
		return false, nil
	}
	name, first, end := fmt.Sprintf("request_logs_%d", week), requestlog.FirstIDOfMinute(week*weekMinutes), requestlog.FirstIDOfMinute((week+1)*weekMinutes)
	for _, statement := range []string{
		"CREATE TABLE %[1]s (LIKE request_logs INCLUDING ALL)",
		"WITH moved AS (DELETE FROM request_logs_other WHERE id >= %[2]d AND id < %[3]d RETURNING *) INSERT INTO %[1]s SELECT * FROM moved",
		"ALTER TABLE request_logs ATTACH PARTITION %[1]s FOR VALUES FROM (%[2]d) TO (%[3]d)",
		"INSERT INTO request_partitions (name, first_id, end_id) VALUES ('%[1]s', %[2]d, %[3]d)",
	} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(statement, name, int64(first), int64(end))); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropPartition removes a partition of which no project keeps a row.
func dropPartition(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	var name string
	err := tx.QueryRowContext(ctx, "SELECT name FROM request_partitions WHERE end_id <= $1 AND end_id < (SELECT MAX(end_id) FROM request_partitions) ORDER BY end_id LIMIT 1", int64(kept.Oldest)).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "DROP TABLE "+name); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM request_partitions WHERE name = $1", name)
	return err == nil, err
}

// removeOldRows removes rows of the next project that has some that are kept no longer.
func removeOldRows(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	for range 100 { // projects without such rows; then others may go on
		var project *int64
		if err := tx.QueryRowContext(ctx, "SELECT MIN(project_id) FROM request_logs WHERE project_id > $1", kept.Project).Scan(&project); err != nil {
			return false, err
		}
		if project == nil {
			return false, nil
		}
		from, err := kept.Of(*project, func() (there bool, err error) {
			return there, tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM projects WHERE id = $1)", *project).Scan(&there)
		})
		if err != nil {
			return false, err
		}
		result, err := tx.ExecContext(ctx, "DELETE FROM request_logs WHERE id IN (SELECT id FROM request_logs WHERE project_id = $1 AND id < $2 ORDER BY id LIMIT $3)",
			*project, int64(from), limits.rowsPerStep)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, err
		}
		if n < int64(limits.rowsPerStep) {
			kept.Project = *project
		}
		if n > 0 {
			break
		}
	}
	return true, nil
}

// foldCounts brings counts to the slots of their age, and removes those that are part of the totals alone.
func foldCounts(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	now := kept.Now.Unix() / 60
	result, err := tx.ExecContext(ctx, "DELETE FROM usage_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_keys WHERE minutes = $1 AND slot <= $2 LIMIT $3))",
		requestlog.MonthSlot, now-requestlog.SlotLifetime, limits.rowsPerStep)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); n > 0 || err != nil {
		return n > 0, err
	}
	for _, fold := range []struct {
		from, to int64 // lengths of slots in minutes
		age      time.Duration
	}{{requestlog.WeekSlot, requestlog.MonthSlot, 7 * 24 * time.Hour}, {1, requestlog.WeekSlot, 24 * time.Hour}} {
		before := (now - int64(fold.age/time.Minute)) / fold.to * fold.to // whole slots alone
		result, err := tx.ExecContext(ctx, "WITH old AS (DELETE FROM usage_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_keys WHERE minutes = $1 AND slot < $2 LIMIT $4)) RETURNING *) "+
			"INSERT INTO usage_keys (key_id, minutes, slot, version, code, requests, credits, newest) "+
			"SELECT key_id, $3::integer, slot / $3 * $3, version, code, SUM(requests), SUM(credits), MAX(newest) FROM old GROUP BY 1, 3, 4, 5 ORDER BY 1, 3, 4, 5 "+
			"ON CONFLICT (key_id, slot, minutes, version, code) DO UPDATE SET requests = usage_keys.requests + excluded.requests, "+
			"credits = usage_keys.credits + excluded.credits, newest = GREATEST(usage_keys.newest, excluded.newest)",
			fold.from, before, fold.to, limits.rowsPerStep)
		if err != nil {
			return false, err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return n > 0, err
		}
	}
	return false, nil
}
