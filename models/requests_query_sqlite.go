package models

import (
	"context"
	"math"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

func (q *sqliteRequests) list(ctx context.Context, query requestlog.Query) ([]requestlog.Row, error) {
	if query.From >= query.To {
		return nil, nil
	}
	find := q.listOfProject
	if query.KeyID != 0 {
		find = q.listOfKey
	}
	return find(ctx, query)
}

func (q *sqliteRequests) keyUsage(ctx context.Context, keyID, now int64) (requestlog.KeyUsage, error) {
	x, err := q.index(ctx)
	if err != nil {
		return requestlog.KeyUsage{}, err
	}
	defer x.tx.Rollback()
	sum := requestlog.NewUsageSum(now)
	add := func(c keyCount) error {
		o, err := q.outcomes.of(c.outcome)
		if err == nil && o.code == requestlog.CodeValid {
			sum.Add(c.slot, c.requests)
		}
		return err
	}
	if err := x.counts(keyID, add); err != nil {
		return requestlog.KeyUsage{}, err
	}
	for _, p := range x.parts {
		if err := countsOf(p.of(keyID, 0, requestlog.EndOfIDs), add); err != nil {
			return requestlog.KeyUsage{}, err
		}
	}
	return sum.Usage(), nil
}

func (q *sqliteRequests) useByVersion(ctx context.Context, keyID int64, since time.Time) (map[int]requestlog.VersionUsage, error) {
	x, err := q.index(ctx)
	if err != nil {
		return nil, err
	}
	defer x.tx.Rollback()
	use := map[int]requestlog.VersionUsage{}
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
	from, whole := requestlog.FirstIDAt(since), requestlog.NextWholeSlot(since)
	for _, p := range x.parts {
		if err := countsOf(p.of(keyID, from, requestlog.EndOfIDs), add); err != nil {
			return nil, err
		}
	}
	// Before the first whole slot, single requests are counted: a slot would tell of what was before since, too.
	query := requestlog.Query{KeyID: keyID, From: from, To: requestlog.FirstIDOfMinute(whole), Limit: math.MaxInt}
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
