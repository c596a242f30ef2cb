package sqlite

import (
	"context"
	"fmt"
	"math"
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
	rows, err := l.read.QueryContext(ctx, `
		SELECT minute, code, requests FROM usage_minutes
		WHERE project_id = ? AND minute BETWEEN ? AND ?`, projectID, first, last)
	if err != nil {
		return nil, err
	}
	return requestlog.ScanMinutes(rows)
}

// KeyUsage sums the counts of the key in the sorted runs and in the memtable.
func (l *Log) KeyUsage(ctx context.Context, keyID int64) (usage requestlog.KeyUsage, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read what a key has used: %w", err)
		}
	}()
	x, err := l.readIndex(ctx)
	if err != nil {
		return usage, err
	}
	defer x.close()
	sum := requestlog.NewUsageSum(l.options.Now().Unix() / 60)
	add := func(c keyCount) error {
		o, err := l.outcomes.get(c.outcome)
		if err == nil && o.code == requestlog.CodeValid {
			sum.Add(c.slot, c.requests)
		}
		return err
	}
	if err := x.counts(keyID, add); err != nil {
		return usage, err
	}
	for _, p := range x.parts {
		if err := countEntries(p.of(keyID, 0, requestlog.EndOfIDs), add); err != nil {
			return usage, err
		}
	}
	return sum.Usage(), nil
}

// UsageByVersion counts the key's requests since a time by version.
func (l *Log) UsageByVersion(
	ctx context.Context, keyID int64, since time.Time,
) (usage map[int]requestlog.VersionUsage, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("count the requests of a key by version: %w", err)
		}
	}()
	x, err := l.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	usage = map[int]requestlog.VersionUsage{}
	add := func(c keyCount) error {
		o, err := l.outcomes.get(c.outcome)
		if err != nil {
			return err
		}
		u := usage[o.version]
		u.Version, u.Requests = o.version, u.Requests+c.requests
		if at := c.newest.Time(); at.After(u.LastUsedAt) {
			u.LastUsedAt = at
		}
		usage[o.version] = u
		return nil
	}
	from, whole := requestlog.FirstIDAt(since), requestlog.NextWholeSlot(since)
	for _, p := range x.parts {
		if err := countEntries(p.of(keyID, from, requestlog.EndOfIDs), add); err != nil {
			return nil, err
		}
	}
	// Until the first whole slot, entries are counted, because a slot would include requests from before since.
	query := requestlog.Query{KeyID: keyID, From: from, To: requestlog.FirstIDOfMinute(whole), Limit: math.MaxInt}
	for _, run := range x.runs {
		err := x.entriesOfRun(run, query, func(entries []entry) (int, error) {
			return len(entries), countEntries(entries, add)
		})
		if err != nil {
			return nil, err
		}
	}
	return usage, x.counts(keyID, func(c keyCount) error {
		if c.slot < whole {
			return nil
		}
		return add(c)
	})
}
