package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// listOfKey reads from the index which requests the key made, and then their rows from the chunks.
func (l *Log) listOfKey(ctx context.Context, query requestlog.Query) ([]requestlog.Row, error) {
	x, err := l.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer x.close()
	if query.From, err = x.oldestRow(query); err != nil {
		return nil, err
	}
	values := valuesAsked(&query)
	find, err := x.tx.PrepareContext(ctx, `
		SELECT first_id, last_id, data FROM request_chunks
		WHERE project_id = ? AND first_id <= ?
		ORDER BY first_id DESC
		LIMIT 1`)
	if err != nil {
		return nil, err
	}
	defer find.Close()
	var list []requestlog.Row
	for len(list) < query.Limit {
		entries, err := x.entries(query)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		if len(values) > 0 {
			g, skipped, err := x.skipGroups(&query, entries[0].id, values)
			if err != nil {
				return nil, err
			}
			if skipped {
				continue
			}
			outside := func(e entry) bool { return e.id < g.first || e.id >= g.end }
			if n := slices.IndexFunc(entries, outside); n > 0 {
				entries = entries[:n]
			}
		}
		// Go on after these entries, because some of their rows may be removed or may not match.
		if last := entries[len(entries)-1].id; query.OldestFirst {
			query.From = last + 1
		} else {
			query.To = last
		}
		asked := query
		asked.From, asked.To = 0, requestlog.EndOfIDs
		for len(entries) > 0 {
			rows, n, err := rowsOfChunk(ctx, find, query.ProjectID, entries)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				if asked.Matches(&rows[i]) {
					list = append(list, rows[i])
				}
			}
			entries = entries[n:]
		}
	}
	return list[:min(len(list), query.Limit)], nil
}

// skipGroups starts at the group of the request id and skips groups, in the query's order, until one may have all
// values. It narrows the query accordingly. It returns the group at which it stopped, and whether it skipped any. That
// is quicker than reading the entries of each group.
func (x *indexReader) skipGroups(
	q *requestlog.Query, id requestlog.ID, values []value,
) (g group, skipped bool, err error) {
	g, err = groupAt(x.ctx, x.tx, q.ProjectID, id, values)
	for err == nil && !g.may {
		skipped = true
		if q.OldestFirst {
			q.From = g.end
			id = q.From
		} else {
			q.To = g.first
			id = q.To - 1
		}
		if q.From >= q.To {
			break
		}
		g, err = groupAt(x.ctx, x.tx, q.ProjectID, id, values)
	}
	return g, skipped, err
}

// oldestRow returns the smallest id of the query's range for which the project can have a row. The index may have older
// entries, whose rows are removed.
func (x *indexReader) oldestRow(q requestlog.Query) (requestlog.ID, error) {
	var oldest requestlog.ID
	err := x.tx.QueryRowContext(x.ctx,
		"SELECT COALESCE(MIN(first_id), 0) FROM request_chunks WHERE project_id = ?", q.ProjectID).Scan(&oldest)
	return max(q.From, oldest), err
}

// rowsOfChunk returns the rows of the first entry and of the entries after it that are in the same chunk. n is the
// number of these entries, some of which may have no row.
func rowsOfChunk(
	ctx context.Context, find *sql.Stmt, projectID int64, entries []entry,
) (list []requestlog.Row, n int, err error) {
	var first, last requestlog.ID
	var data []byte
	err = find.QueryRowContext(ctx, projectID, int64(entries[0].id)).Scan(&first, &last, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 1, nil // removed, with all older rows
	}
	if err != nil {
		return nil, 0, err
	}
	columns, err := requestlog.ReadColumns(data)
	if err != nil {
		return nil, 0, err
	}
	ids, err := columns.IDs()
	if err != nil {
		return nil, 0, err
	}
	var places []int
	for n = 0; n < len(entries) && (n == 0 || entries[n].id >= first && entries[n].id <= last); n++ {
		if i, found := slices.BinarySearch(ids, entries[n].id); found {
			places = append(places, i)
		}
	}
	backwards := len(places) > 1 && places[0] > places[1]
	if backwards {
		slices.Reverse(places)
	}
	list, err = columns.Rows(ids, places)
	if backwards {
		slices.Reverse(list)
	}
	return list, n, err
}

// entries returns the key's first entries in the query's range and order: as many as its limit, or fewer if there are
// no more. Of the query's values it compares only the code.
func (x *indexReader) entries(q requestlog.Query) ([]entry, error) {
	found := entryList{query: q, outcomes: x.outcomes}
	for _, p := range x.parts {
		if _, err := found.add(p.of(q.KeyID, q.From, q.To)); err != nil {
			return nil, err
		}
	}
	found.trim()
	runs := slices.Clone(x.runs)
	if q.OldestFirst {
		slices.SortFunc(runs, func(a, b sortedRun) int { return cmp.Compare(a.firstID, b.firstID) })
	}
	for _, run := range runs {
		if !run.hasEntries || run.firstID >= q.To || run.lastID < q.From {
			continue
		}
		if found.isBefore(run) {
			break
		}
		if err := x.entriesOfRun(run, q, found.add); err != nil {
			return nil, err
		}
		found.trim()
	}
	return found.list, nil
}

// entryList collects the first entries that match a query.
type entryList struct {
	query    requestlog.Query
	outcomes *outcomes
	list     []entry
}

// add adds the first matching entries in the query's order, up to its limit, and returns how many it added. The entries
// given must be sorted from the oldest to the newest.
func (f *entryList) add(entries []entry) (added int, err error) {
	for i := range entries {
		e := entries[i]
		if !f.query.OldestFirst {
			e = entries[len(entries)-1-i]
		}
		if f.query.Code != "" {
			o, err := f.outcomes.get(e.outcome)
			if err != nil {
				return added, err
			}
			if o.code != f.query.Code {
				continue
			}
		}
		f.list = append(f.list, e)
		if added++; added == f.query.Limit {
			break
		}
	}
	return added, nil
}

// trim sorts the list and cuts it to the query's limit.
func (f *entryList) trim() {
	slices.SortFunc(f.list, func(a, b entry) int {
		if f.query.OldestFirst {
			return compareEntries(a, b)
		}
		return compareEntries(b, a)
	})
	f.list = f.list[:min(len(f.list), f.query.Limit)]
}

// isBefore reports whether the list is full and all of it comes before the entries of the run.
func (f *entryList) isBefore(run sortedRun) bool {
	if len(f.list) < f.query.Limit {
		return false
	}
	last := f.list[len(f.list)-1].id
	if f.query.OldestFirst {
		return run.firstID > last
	}
	return run.lastID < last
}
