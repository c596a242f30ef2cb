package models

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// postgresRequests keeps rows in a table by the week and counts by key in a table beside it. Any number of processes may write.
type postgresRequests struct {
	pool *sql.DB
}

func (q *postgresRequests) close() {}

// lastUsed gives nothing: the rows of keys are up to date.
func (q *postgresRequests) lastUsed(context.Context, []int64) (map[int64]time.Time, error) {
	return nil, nil
}

func (q *postgresRequests) holdUse(_ context.Context, _ int64, fn func(used bool) error) error {
	return fn(false)
}

// write stores rows and counts in one transaction: a statement for each table, with a column as an array. Each statement's
// rows are in the order of the table's key, so that processes that write at the same moment wait for each other in one order.
func (q *postgresRequests) write(ctx context.Context, batch []requestlog.Row) error {
	tx, err := q.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stored, err := insertRows(ctx, tx, batch)
	if err != nil {
		return err
	}
	if stored < int64(len(batch)) {
		return nil // stored before, together with the counts; where only some are there still, the others were too old to be kept
	}
	if err := insertUsageMinutes(ctx, tx, requestlog.CountByMinute(batch)); err != nil {
		return err
	}
	if err := insertKeyCounts(ctx, tx, batch); err != nil {
		return err
	}
	return tx.Commit()
}

// columnOf is one field of each row.
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
	result, err := tx.ExecContext(ctx, "INSERT INTO request_logs (id, project_id, key_id, version, category, method, path, status, duration_us, ip, credits, code, session_hash, type, ttfb_us) "+
		"SELECT id, project_id, key_id, version, category, method, path, status, duration_us, ip, credits, code, session_hash, "+
		"type, ttfb_us "+
		"FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bytea[], $14::text[], $15::bigint[]) "+
		"AS u (id, project_id, key_id, version, category, method, path, status, duration_us, ip, credits, code, session_hash, type, ttfb_us) "+
		"ON CONFLICT DO NOTHING",
		columnOf(rows, func(r *requestlog.Row) int64 { return int64(r.ID) }), columnOf(rows, func(r *requestlog.Row) int64 { return r.ProjectID }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.KeyID }), columnOf(rows, func(r *requestlog.Row) int32 { return int32(r.Version) }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Category }), columnOf(rows, func(r *requestlog.Row) string { return r.Method }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Path }), columnOf(rows, func(r *requestlog.Row) int32 { return int32(r.Status) }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.DurationUs }), columnOf(rows, func(r *requestlog.Row) string { return r.IP }),
		columnOf(rows, func(r *requestlog.Row) int64 { return r.Credits }), columnOf(rows, func(r *requestlog.Row) string { return string(r.Code) }),
		columnOf(rows, func(r *requestlog.Row) []byte { return r.SessionHash }),
		columnOf(rows, func(r *requestlog.Row) string { return r.Type }), columnOf(rows, func(r *requestlog.Row) sql.NullInt64 { return r.TTFBUs }))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func insertUsageMinutes(ctx context.Context, tx *sql.Tx, sums []requestlog.ProjectMinute) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO usage_minutes (project_id, minute, code, requests, credits) "+
		"SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[]) "+
		"ON CONFLICT (project_id, minute, code) DO UPDATE SET requests = usage_minutes.requests + excluded.requests, credits = usage_minutes.credits + excluded.credits",
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.ProjectID }), columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Minute }),
		columnOf(sums, func(u *requestlog.ProjectMinute) string { return string(u.Code) }),
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Requests }), columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Credits }))
	return err
}

// keySlot is a row of usage_keys.
type keySlot struct {
	keyID, slot       int64
	version           int
	code              requestlog.Code
	requests, credits int64
	newest            requestlog.ID
}

// slotsOf sums rows up by key, minute, version and code, in the order of the primary key.
func slotsOf(batch []requestlog.Row) []keySlot {
	type group struct {
		keyID, slot int64
		version     int
		code        requestlog.Code
	}
	index, slots := map[group]int{}, []keySlot(nil)
	for _, r := range batch {
		g := group{r.KeyID, r.ID.Minute(), r.Version, r.Code}
		i, seen := index[g]
		if !seen {
			i = len(slots)
			index[g] = i
			slots = append(slots, keySlot{keyID: g.keyID, slot: g.slot, version: g.version, code: g.code})
		}
		s := &slots[i]
		s.requests, s.credits, s.newest = s.requests+1, s.credits+r.Credits, max(s.newest, r.ID)
	}
	slices.SortFunc(slots, func(a, b keySlot) int {
		return cmp.Or(cmp.Compare(a.keyID, b.keyID), cmp.Compare(a.slot, b.slot), cmp.Compare(a.version, b.version), cmp.Compare(a.code, b.code))
	})
	return slots
}

// insertKeyCounts adds what the keys did to their counts, and moves their last use on, at most once a second.
func insertKeyCounts(ctx context.Context, tx *sql.Tx, batch []requestlog.Row) error {
	slots := slotsOf(batch)
	_, err := tx.ExecContext(ctx, "INSERT INTO usage_keys (key_id, minutes, slot, version, code, requests, credits, newest) "+
		"SELECT key_id, 1, slot, version, code, requests, credits, newest FROM "+
		"unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) AS u (key_id, slot, version, code, requests, credits, newest) "+
		"ON CONFLICT (key_id, slot, minutes, version, code) DO UPDATE SET requests = usage_keys.requests + excluded.requests, "+
		"credits = usage_keys.credits + excluded.credits, newest = GREATEST(usage_keys.newest, excluded.newest)",
		columnOf(slots, func(s *keySlot) int64 { return s.keyID }), columnOf(slots, func(s *keySlot) int64 { return s.slot }),
		columnOf(slots, func(s *keySlot) int32 { return int32(s.version) }), columnOf(slots, func(s *keySlot) string { return string(s.code) }),
		columnOf(slots, func(s *keySlot) int64 { return s.requests }), columnOf(slots, func(s *keySlot) int64 { return s.credits }),
		columnOf(slots, func(s *keySlot) int64 { return int64(s.newest) }))
	if err != nil {
		return err
	}
	var keys, admitted []int64
	var used []time.Time
	for _, s := range slots {
		if n := len(keys); n == 0 || keys[n-1] != s.keyID {
			keys, admitted, used = append(keys, s.keyID), append(admitted, 0), append(used, time.Time{})
		}
		n := len(keys) - 1
		if s.code == requestlog.CodeValid {
			admitted[n] += s.requests
		}
		if at := s.newest.Time(); at.After(used[n]) {
			used[n] = at
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO key_totals (key_id, admitted) SELECT * FROM unnest($1::bigint[], $2::bigint[]) "+
		"ON CONFLICT (key_id) DO UPDATE SET admitted = key_totals.admitted + excluded.admitted", keys, admitted)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "WITH used AS (SELECT keys.id, u.at FROM unnest($1::bigint[], $2::timestamptz[]) AS u (id, at) JOIN keys ON keys.id = u.id "+
		"WHERE keys.last_used_at IS NULL OR keys.last_used_at <= u.at - interval '1 second' ORDER BY keys.id FOR NO KEY UPDATE OF keys) "+
		"UPDATE keys SET last_used_at = used.at FROM used WHERE keys.id = used.id", keys, used)
	return err
}

func (q *postgresRequests) newestID(ctx context.Context) (id requestlog.ID, err error) {
	return id, q.pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM request_logs").Scan(&id)
}

func (q *postgresRequests) keyUsage(ctx context.Context, keyID, now int64) (usage requestlog.KeyUsage, err error) {
	tx, err := q.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return usage, err
	}
	defer tx.Rollback()
	sum := requestlog.NewUsageSum(now)
	rows, err := tx.QueryContext(ctx, "SELECT slot, SUM(requests)::bigint FROM usage_keys WHERE key_id = $1 AND slot >= $2 AND code = $3 GROUP BY slot", keyID, now-requestlog.SlotLifetime, string(requestlog.CodeValid))
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
	return usage, tx.QueryRowContext(ctx, "SELECT COALESCE((SELECT admitted FROM key_totals WHERE key_id = $1), 0)", keyID).Scan(&usage.Total)
}

func (q *postgresRequests) useByVersion(ctx context.Context, keyID int64, since time.Time) (map[int]requestlog.VersionUsage, error) {
	whole := requestlog.NextWholeSlot(since)
	// Before the first whole slot, rows are counted: a slot would tell of what was before since, too.
	rows, err := q.pool.QueryContext(ctx, `
		SELECT version, SUM(requests)::bigint, MAX(newest)
		FROM (
			SELECT version, 1 AS requests, id AS newest
			FROM request_logs
			WHERE key_id = $1 AND project_id = (SELECT project_id FROM keys WHERE id = $1) AND id >= $2 AND id < $3
			UNION ALL
			SELECT version, requests, newest
			FROM usage_keys
			WHERE key_id = $1 AND slot >= $4
		) AS use
		GROUP BY version`,
		keyID, int64(requestlog.FirstIDAt(since)), int64(requestlog.FirstIDOfMinute(whole)), whole)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	use := map[int]requestlog.VersionUsage{}
	for rows.Next() {
		var u requestlog.VersionUsage
		var newest requestlog.ID
		if err := rows.Scan(&u.Version, &u.Requests, &newest); err != nil {
			return nil, err
		}
		u.LastUsedAt = newest.Time()
		use[u.Version] = u
	}
	return use, rows.Err()
}
