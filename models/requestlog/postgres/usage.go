package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// UsageByMinute counts the project's requests by minute.
func (l *Log) UsageByMinute(ctx context.Context, projectID, first, last int64) ([]requestlog.MinuteUsage, error) {
	counts, err := l.projectMinutes(ctx, projectID, first, last)
	if err != nil {
		return nil, fmt.Errorf("count the requests of a project: %w", err)
	}
	return requestlog.Minutes(counts, first, last), nil
}

func (l *Log) projectMinutes(
	ctx context.Context, projectID, first, last int64,
) ([]requestlog.ProjectMinute, error) {
	rows, err := l.pool.QueryContext(ctx, `
		SELECT minute, code, requests FROM usage_minutes
		WHERE project_id = $1 AND minute BETWEEN $2 AND $3`, projectID, first, last)
	if err != nil {
		return nil, err
	}
	return requestlog.ScanMinutes(rows)
}

// KeyUsage reads the counts of the key in one snapshot of the database.
func (l *Log) KeyUsage(ctx context.Context, keyID int64) (requestlog.KeyUsage, error) {
	usage, err := l.keyUsage(ctx, keyID)
	if err != nil {
		return requestlog.KeyUsage{}, fmt.Errorf("read what a key has used: %w", err)
	}
	return usage, nil
}

func (l *Log) keyUsage(ctx context.Context, keyID int64) (usage requestlog.KeyUsage, err error) {
	tx, err := l.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return usage, err
	}
	defer tx.Rollback()
	now := l.options.Now().Unix() / 60
	sum := requestlog.NewUsageSum(now)
	rows, err := tx.QueryContext(ctx, `
		SELECT slot, SUM(requests)::bigint
		FROM usage_keys
		WHERE key_id = $1 AND slot >= $2 AND code = $3
		GROUP BY slot`, keyID, now-requestlog.SlotLifetime, string(requestlog.CodeValid))
	if err != nil {
		return usage, err
	}
	defer rows.Close()
	for rows.Next() {
		var slot, requests int64
		if err := rows.Scan(&slot, &requests); err != nil {
			return usage, err
		}
		sum.Add(slot, requests)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return usage, err
	}
	usage = sum.Usage()
	err = tx.QueryRowContext(ctx,
		"SELECT COALESCE((SELECT admitted FROM key_totals WHERE key_id = $1), 0)", keyID).Scan(&usage.Total)
	return usage, err
}

// UsageByVersion counts the key's requests since a time by version.
func (l *Log) UsageByVersion(
	ctx context.Context, keyID int64, since time.Time,
) (map[int]requestlog.VersionUsage, error) {
	usage, err := l.usageByVersion(ctx, keyID, since)
	if err != nil {
		return nil, fmt.Errorf("count the requests of a key by version: %w", err)
	}
	return usage, nil
}

func (l *Log) usageByVersion(
	ctx context.Context, keyID int64, since time.Time,
) (map[int]requestlog.VersionUsage, error) {
	// Until the first whole slot, rows are counted, because a slot would include requests from before since.
	whole := requestlog.NextWholeSlot(since)
	rows, err := l.pool.QueryContext(ctx, `
		SELECT version, SUM(requests)::bigint, MAX(newest)
		FROM (
			SELECT version, 1 AS requests, id AS newest
			FROM request_logs
			WHERE project_id = (SELECT project_id FROM keys WHERE id = $1) AND key_id = $1 AND id >= $2 AND id < $3
			UNION ALL
			SELECT version, requests, newest
			FROM usage_keys
			WHERE key_id = $1 AND slot >= $4
		) AS counts
		GROUP BY version`,
		keyID, int64(requestlog.FirstIDAt(since)), int64(requestlog.FirstIDOfMinute(whole)), whole)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	usage := map[int]requestlog.VersionUsage{}
	for rows.Next() {
		var u requestlog.VersionUsage
		var newest requestlog.ID
		if err := rows.Scan(&u.Version, &u.Requests, &newest); err != nil {
			return nil, err
		}
		u.LastUsedAt = newest.Time()
		usage[u.Version] = u
	}
	return usage, rows.Err()
}
