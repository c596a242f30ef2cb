package models

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"
)

func (q *sqliteRequests) list(ctx context.Context, query rowQuery) ([]LogEntry, error) {
	if query.from >= query.to {
		return nil, nil
	}
	find := q.listOfProject
	if query.keyID != 0 {
		find = q.listOfKey
	}
	rows, err := find(ctx, query)
	if err != nil {
		return nil, err
	}
	return q.withKeyNames(ctx, rows)
}

// withKeyNames adds the present names of the keys, and their types where a row does not tell it.
func (q *sqliteRequests) withKeyNames(ctx context.Context, list []RequestLog) ([]LogEntry, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var ids []int64
	for _, r := range list {
		ids = append(ids, r.KeyID)
	}
	slices.Sort(ids)
	asked, err := json.Marshal(slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	rows, err := q.reading.QueryContext(ctx, "SELECT id, name, type FROM keys WHERE id IN (SELECT value FROM json_each(?))", string(asked))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type key struct {
		name    string
		keyType KeyType
	}
	keys := map[int64]key{}
	for rows.Next() {
		var id int64
		var k key
		if err := rows.Scan(&id, &k.name, &k.keyType); err != nil {
			return nil, err
		}
		keys[id] = k
	}
	entries := make([]LogEntry, len(list))
	for i, r := range list {
		k := keys[r.KeyID]
		r.Type = cmp.Or(r.Type, k.keyType)
		entries[i] = LogEntry{r, k.name}
	}
	return entries, rows.Err()
}

func (q *sqliteRequests) keyUsage(ctx context.Context, keyID, now int64) (KeyUsage, error) {
	x, err := q.index(ctx)
	if err != nil {
		return KeyUsage{}, err
	}
	defer x.tx.Rollback()
	sum := usageSum{now: now}
	add := func(c keyCount) error {
		o, err := q.outcomes.of(c.outcome)
		if err == nil && o.code == Valid {
			sum.add(c.slot, c.requests)
		}
		return err
	}
	if err := x.counts(keyID, add); err != nil {
		return KeyUsage{}, err
	}
	for _, p := range x.parts {
		if err := countsOf(p.of(keyID, 0, endOfIDs), add); err != nil {
			return KeyUsage{}, err
		}
	}
	return sum.usage(), nil
}

func (q *sqliteRequests) useByVersion(ctx context.Context, projectID, keyID int64, since time.Time) (map[int]VersionUse, error) {
	x, err := q.index(ctx)
	if err != nil {
		return nil, err
	}
	defer x.tx.Rollback()
	use := map[int]VersionUse{}
	if mine, err := x.keyIn(projectID, keyID); !mine || err != nil {
		return use, err
	}
	add := func(c keyCount) error {
		o, err := q.outcomes.of(c.outcome)
		u := use[o.version]
		u.Version, u.Requests = o.version, u.Requests+c.requests
		if at := c.newest.Time(); at.After(u.LastUsedAt) {
			u.LastUsedAt = at
		}
		use[o.version] = u
		return err
	}
	from, whole := FirstRequestIDAt(since), wholeSlots(since)
	for _, p := range x.parts {
		if err := countsOf(p.of(keyID, from, endOfIDs), add); err != nil {
			return nil, err
		}
	}
	// Before the first whole slot, single requests are counted: a slot would tell of what was before since, too.
	query := rowQuery{keyID: keyID, from: from, to: firstIDOfMinute(whole), limit: math.MaxInt}
	for _, run := range x.runs {
		var entries []keyEntry
		err := x.entriesOfRun(run, query, func(more []keyEntry) error { return countsOf(more, add) }, &entries)
		if err != nil {
			return nil, err
		}
	}
	err = x.counts(keyID, func(c keyCount) error {
		if c.slot < whole {
			return nil
		}
		return add(c)
	})
	return use, err
}
