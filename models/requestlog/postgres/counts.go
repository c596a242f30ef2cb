package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

func addProjectMinutes(ctx context.Context, tx *sql.Tx, sums []requestlog.ProjectMinute) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO usage_minutes (project_id, minute, code, requests, credits)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
		ON CONFLICT (project_id, minute, code) DO UPDATE SET
			requests = usage_minutes.requests + excluded.requests,
			credits = usage_minutes.credits + excluded.credits`,
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.ProjectID }),
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Minute }),
		columnOf(sums, func(u *requestlog.ProjectMinute) string { return string(u.Code) }),
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Requests }),
		columnOf(sums, func(u *requestlog.ProjectMinute) int64 { return u.Credits }))
	return err
}

// keyCount is a row of usage_keys: the requests of a key in one slot with one version and code.
type keyCount struct {
	keyID, slot       int64 // slot is the minute since 1970 in which it starts
	version           int
	code              requestlog.Code
	requests, credits int64
	newest            requestlog.ID
}

// countByKey counts rows by key, minute, version and code. The result is sorted by these four.
func countByKey(batch []requestlog.Row) []keyCount {
	type group struct {
		keyID, slot int64
		version     int
		code        requestlog.Code
	}
	index, counts := map[group]int{}, []keyCount(nil)
	for i := range batch {
		r := &batch[i]
		g := group{r.KeyID, r.ID.Minute(), r.Version, r.Code}
		at, seen := index[g]
		if !seen {
			at = len(counts)
			index[g] = at
			counts = append(counts, keyCount{keyID: g.keyID, slot: g.slot, version: g.version, code: g.code})
		}
		c := &counts[at]
		c.requests, c.credits, c.newest = c.requests+1, c.credits+r.Credits, max(c.newest, r.ID)
	}
	slices.SortFunc(counts, func(a, b keyCount) int {
		return cmp.Or(
			cmp.Compare(a.keyID, b.keyID),
			cmp.Compare(a.slot, b.slot),
			cmp.Compare(a.version, b.version),
			cmp.Compare(a.code, b.code),
		)
	})
	return counts
}

// addKeyCounts adds counts, which must be sorted by key, to the tables of counts by key. It also updates last_used_at
// of the keys, at most once a second for each key.
func addKeyCounts(ctx context.Context, tx *sql.Tx, counts []keyCount) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO usage_keys (key_id, minutes, slot, version, code, requests, credits, newest)
		SELECT key_id, 1, slot, version, code, requests, credits, newest
		FROM unnest(
			$1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]
		) AS u (key_id, slot, version, code, requests, credits, newest)
		ON CONFLICT (key_id, slot, minutes, version, code) DO UPDATE SET
			requests = usage_keys.requests + excluded.requests,
			credits = usage_keys.credits + excluded.credits,
			newest = GREATEST(usage_keys.newest, excluded.newest)`,
		columnOf(counts, func(c *keyCount) int64 { return c.keyID }),
		columnOf(counts, func(c *keyCount) int64 { return c.slot }),
		columnOf(counts, func(c *keyCount) int32 { return int32(c.version) }),
		columnOf(counts, func(c *keyCount) string { return string(c.code) }),
		columnOf(counts, func(c *keyCount) int64 { return c.requests }),
		columnOf(counts, func(c *keyCount) int64 { return c.credits }),
		columnOf(counts, func(c *keyCount) int64 { return int64(c.newest) }))
	if err != nil {
		return err
	}
	var keys, admitted []int64
	var used []time.Time
	for _, c := range counts {
		if n := len(keys); n == 0 || keys[n-1] != c.keyID {
			keys, admitted, used = append(keys, c.keyID), append(admitted, 0), append(used, time.Time{})
		}
		n := len(keys) - 1
		if c.code == requestlog.CodeValid {
			admitted[n] += c.requests
		}
		if at := c.newest.Time(); at.After(used[n]) {
			used[n] = at
		}
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO key_totals (key_id, admitted)
		SELECT * FROM unnest($1::bigint[], $2::bigint[])
		ON CONFLICT (key_id) DO UPDATE SET admitted = key_totals.admitted + excluded.admitted`, keys, admitted)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		WITH used AS (
			SELECT keys.id, u.at
			FROM unnest($1::bigint[], $2::timestamptz[]) AS u (id, at)
			JOIN keys ON keys.id = u.id
			WHERE keys.last_used_at IS NULL OR keys.last_used_at <= u.at - interval '1 second'
			ORDER BY keys.id
			FOR NO KEY UPDATE OF keys
		)
		UPDATE keys SET last_used_at = used.at
		FROM used
		WHERE keys.id = used.id`, keys, used)
	return err
}
