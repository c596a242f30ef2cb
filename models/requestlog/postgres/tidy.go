package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claviger/claviger/models/requestlog"
)

// lockNotAvailable is a code of https://www.postgresql.org/docs/current/errcodes-appendix.html.
const lockNotAvailable = "55P03"

// Tidy makes partitions, removes rows whose retention has ended, and merges counts. One call does one step. If another
// process is doing one, it does nothing and returns false.
func (l *Log) Tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	if more, err = l.tidy(ctx, kept); err != nil {
		return false, fmt.Errorf("tidy the request log: %w", err)
	}
	return more, nil
}

func (l *Log) tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	tx, err := l.pool.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	// All later statements on a table wait behind one that waits for its lock, so give up soon and try again later.
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
		return false, err
	}
	var locked bool
	err = tx.QueryRowContext(ctx, `
		SELECT pg_try_advisory_xact_lock(hashtext('claviger tidy ' || current_schema()))`).Scan(&locked)
	if err != nil || !locked {
		return false, err
	}
	for _, step := range []func(context.Context, *sql.Tx, *requestlog.Retention) (bool, error){
		makePartition, dropPartition, l.removeOldRows, l.mergeCounts,
	} {
		if more, err := step(ctx, tx, kept); err != nil {
			return false, err
		} else if more {
			return true, tx.Commit()
		}
	}
	return false, summarizeValues(ctx, tx)
}

// summarizeValues adds the rows written since the last call to the index of values, which is a BRIN index.
func summarizeValues(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `
		SELECT brin_summarize_new_values(inhrelid)
		FROM pg_inherits
		WHERE inhparent = 'request_logs_values'::regclass`)
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == lockNotAvailable { // a vacuum is running, which does the same
		return nil
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

const (
	minutesPerWeek = 7 * requestlog.MinutesPerDay
	// weeksAhead is how many weeks in advance partitions are made.
	weeksAhead = 4
)

// makePartition makes the partition of the next week that has none. Rows of that week that already exist are moved to
// it.
func makePartition(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	var end requestlog.ID
	if err := tx.QueryRowContext(ctx, "SELECT MAX(end_id) FROM request_partitions").Scan(&end); err != nil {
		return false, err
	}
	present := kept.Now.Unix() / 60 / minutesPerWeek
	week := max(end.Minute()/minutesPerWeek, present)
	if week > present+weeksAhead {
		return false, nil
	}
	name := fmt.Sprintf("request_logs_%d", week)
	first := requestlog.FirstIDOfMinute(week * minutesPerWeek)
	end = requestlog.FirstIDOfMinute((week + 1) * minutesPerWeek)
	for _, statement := range []string{
		"CREATE TABLE %[1]s (LIKE request_logs INCLUDING ALL)",
		`WITH moved AS (
			DELETE FROM request_logs_other WHERE id >= %[2]d AND id < %[3]d RETURNING *
		)
		INSERT INTO %[1]s SELECT * FROM moved`,
		"ALTER TABLE request_logs ATTACH PARTITION %[1]s FOR VALUES FROM (%[2]d) TO (%[3]d)",
		"INSERT INTO request_partitions (name, first_id, end_id) VALUES ('%[1]s', %[2]d, %[3]d)",
	} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(statement, name, int64(first), int64(end))); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropPartition drops the oldest partition if no project keeps a row of it.
func dropPartition(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	var name string
	err := tx.QueryRowContext(ctx, `
		SELECT name FROM request_partitions
		WHERE end_id <= $1 AND end_id < (SELECT MAX(end_id) FROM request_partitions)
		ORDER BY end_id
		LIMIT 1`, int64(kept.Oldest)).Scan(&name)
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

// removeOldRows removes rows of the next project that has rows whose retention has ended.
func (l *Log) removeOldRows(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	for range 100 { // at most that many projects without such rows in one step
		var project *int64
		err := tx.QueryRowContext(ctx,
			"SELECT MIN(project_id) FROM request_logs WHERE project_id > $1", kept.Project).Scan(&project)
		if err != nil {
			return false, err
		}
		if project == nil {
			return false, nil
		}
		from, err := kept.Of(*project, func() (exists bool, err error) {
			const query = "SELECT EXISTS (SELECT 1 FROM projects WHERE id = $1)"
			err = tx.QueryRowContext(ctx, query, *project).Scan(&exists)
			return exists, err
		})
		if err != nil {
			return false, err
		}
		result, err := tx.ExecContext(ctx, `
			DELETE FROM request_logs
			WHERE id IN (SELECT id FROM request_logs WHERE project_id = $1 AND id < $2 ORDER BY id LIMIT $3)`,
			*project, int64(from), l.options.RowsPerStep)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, err
		}
		if n < int64(l.options.RowsPerStep) {
			kept.Project = *project
		}
		if n > 0 {
			break
		}
	}
	return true, nil
}

// mergeCounts merges counts by key into the longer slots of their age, and removes those that are too old for a slot.
// The totals already contain them.
func (l *Log) mergeCounts(ctx context.Context, tx *sql.Tx, kept *requestlog.Retention) (bool, error) {
	now := kept.Now.Unix() / 60
	result, err := tx.ExecContext(ctx, `
		DELETE FROM usage_keys
		WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_keys WHERE minutes = $1 AND slot <= $2 LIMIT $3))`,
		requestlog.MonthSlot, now-requestlog.SlotLifetime, l.options.RowsPerStep)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); n > 0 || err != nil {
		return n > 0, err
	}
	for _, step := range []struct{ from, to, age int64 }{ // lengths of slots, and the age of the counts, in minutes
		{requestlog.WeekSlot, requestlog.MonthSlot, 7 * requestlog.MinutesPerDay},
		{1, requestlog.WeekSlot, requestlog.MinutesPerDay},
	} {
		before := (now - step.age) / step.to * step.to // only whole slots
		result, err := tx.ExecContext(ctx, `
			WITH old AS (
				DELETE FROM usage_keys
				WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_keys WHERE minutes = $1 AND slot < $2 LIMIT $4))
				RETURNING *
			)
			INSERT INTO usage_keys (key_id, minutes, slot, version, code, requests, credits, newest)
			SELECT key_id, $3::integer, slot / $3 * $3, version, code, SUM(requests), SUM(credits), MAX(newest)
			FROM old
			GROUP BY 1, 3, 4, 5
			ORDER BY 1, 3, 4, 5
			ON CONFLICT (key_id, slot, minutes, version, code) DO UPDATE SET
				requests = usage_keys.requests + excluded.requests,
				credits = usage_keys.credits + excluded.credits,
				newest = GREATEST(usage_keys.newest, excluded.newest)`,
			step.from, before, step.to, l.options.RowsPerStep)
		if err != nil {
			return false, err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return n > 0, err
		}
	}
	return false, nil
}
