package models

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// listOfKey asks the index which requests the key made, and reads those from their chunks.
func (q *sqliteRequests) listOfKey(ctx context.Context, query requestlog.Query) ([]requestlog.Row, error) {
	x, err := q.index(ctx)
	if err != nil {
		return nil, err
	}
	defer x.tx.Rollback()
	if query.From, err = x.oldestRow(query); err != nil {
		return nil, err
	}
	values := valuesAsked(&query)
	find, err := x.tx.PrepareContext(ctx, "SELECT first_id, last_id, data FROM request_chunks WHERE project_id = ? AND first_id <= ? ORDER BY first_id DESC LIMIT 1")
	if err != nil {
		return nil, err
	}
	defer find.Close()
	var list []requestlog.Row
	for len(list) < query.Limit {
		entries, err := x.entries(q, query)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		if len(values) > 0 {
			group, err := groupOf(ctx, x.tx, query.ProjectID, entries[0].id, values)
			passed := !group.maybe
			for err == nil && !group.maybe && query.From < query.To { // quicker than to ask for entries in each
				at := pass(&query, group)
				group, err = groupOf(ctx, x.tx, query.ProjectID, at, values)
			}
			if err != nil {
				return nil, err
			}
			if passed {
				continue
			}
			if n := slices.IndexFunc(entries, func(e keyEntry) bool { return e.id < group.first || e.id >= group.end }); n > 0 {
				entries = entries[:n]
			}
		}
		// Beyond these, the next turn goes on: some may have no row any more, or not the category.
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

// pass narrows the query to what is beyond the group, and gives the id that comes next.
func pass(q *requestlog.Query, g chunkGroup) requestlog.ID {
	if q.OldestFirst {
		q.From = g.end
		return q.From
	}
	q.To = g.first
	return q.To - 1
}

// oldestRow is where the stretch of a query for a key begins at most: the index may name older requests whose rows are gone.
func (x *indexReader) oldestRow(query requestlog.Query) (requestlog.ID, error) {
	var oldest requestlog.ID
	err := x.tx.QueryRowContext(x.ctx, "SELECT COALESCE(MIN(first_id), 0) FROM request_chunks WHERE project_id = ?", query.ProjectID).Scan(&oldest)
	return max(query.From, oldest), err
}

// rowsOfChunk reads the rows of the first entry and of those after it that are in the same chunk, and tells for how many
// entries it has looked.
func rowsOfChunk(ctx context.Context, find *sql.Stmt, projectID int64, entries []keyEntry) (list []requestlog.Row, n int, err error) {
	var first, last requestlog.ID
	var data []byte
	err = find.QueryRowContext(ctx, projectID, int64(entries[0].id)).Scan(&first, &last, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 1, nil // removed, with all that is older
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

// entries lists the next requests of a key in the stretch that the query asks for: as many as its limit, or fewer where there
// are no more.
func (x *indexReader) entries(q *sqliteRequests, query requestlog.Query) ([]keyEntry, error) {
	found := []keyEntry{}
	asked := func(e keyEntry) (bool, error) {
		if query.Code == "" {
			return true, nil
		}
		o, err := q.outcomes.of(e.outcome)
		return o.code == query.Code, err
	}
	direction := func(a, b keyEntry) int {
		if query.OldestFirst {
			return compareEntries(a, b)
		}
		return compareEntries(b, a)
	}
	add := func(entries []keyEntry) error { // in the order asked for
		n := 0
		for i := range entries {
			e := entries[i]
			if !query.OldestFirst {
				e = entries[len(entries)-1-i]
			}
			if ok, err := asked(e); err != nil {
				return err
			} else if ok {
				found = append(found, e)
				n++
			}
			if n == query.Limit {
				break
			}
		}
		return nil
	}
	trim := func() {
		slices.SortFunc(found, direction)
		found = found[:min(len(found), query.Limit)]
	}
	for _, p := range x.parts {
		if err := add(p.of(query.KeyID, query.From, query.To)); err != nil {
			return nil, err
		}
	}
	trim()
	runs := slices.Clone(x.runs)
	if query.OldestFirst {
		slices.SortFunc(runs, func(a, b keyRun) int { return int(min(max(a.firstID-b.firstID, -1), 1)) })
	}
	for _, run := range runs {
		if !run.requests || run.firstID >= query.To || run.lastID < query.From {
			continue
		}
		if len(found) == query.Limit { // could this run have one that comes before the last?
			last := found[len(found)-1].id
			if !query.OldestFirst && run.lastID < last || query.OldestFirst && run.firstID > last {
				break
			}
		}
		if err := x.entriesOfRun(run, query, add, &found); err != nil {
			return nil, err
		}
		trim()
	}
	return found, nil
}

// entriesOfRun adds entries of a run until there are as many as the limit asks for.
func (x *indexReader) entriesOfRun(run keyRun, query requestlog.Query, add func([]keyEntry) error, found *[]keyEntry) error {
	had := len(*found)
	take := func(data []byte) (bool, error) {
		entries, err := decodeEntries(data)
		if err != nil {
			return false, err
		}
		if err := add((tailPart{entries: entries}).of(query.KeyID, query.From, query.To)); err != nil {
			return false, err
		}
		return len(*found)-had < query.Limit, nil
	}
	if !query.OldestFirst {
		return x.blocks(run.id, blockOfRequests, query.KeyID, int64(query.To-1), take)
	}
	return x.blocksFrom(run.id, query.KeyID, int64(query.From), take)
}

// blocksFrom is blocks the other way round: those of requests from a time on, the first ones first.
func (x *indexReader) blocksFrom(run, key, from int64, yield func(data []byte) (bool, error)) error {
	var firstKey, firstAt int64 = math.MinInt64, math.MinInt64
	err := x.tx.QueryRowContext(x.ctx, "SELECT first_key, first_at FROM key_blocks WHERE run_id = ? AND kind = ? AND (first_key, first_at) <= (?, ?) "+
		"ORDER BY first_key DESC, first_at DESC LIMIT 1", run, blockOfRequests, key, from).Scan(&firstKey, &firstAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	rows, err := x.tx.QueryContext(x.ctx, "SELECT data FROM key_blocks WHERE run_id = ? AND kind = ? AND (first_key, first_at) >= (?, ?) AND first_key <= ? "+
		"ORDER BY first_key, first_at, id", run, blockOfRequests, firstKey, firstAt, key)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if more, err := yield(data); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}
