package models

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
)

// listOfKey asks the index which requests the key made, and reads those from their chunks.
func (q *sqliteRequests) listOfKey(ctx context.Context, query rowQuery) ([]RequestLog, error) {
	x, err := q.index(ctx)
	if err != nil {
		return nil, err
	}
	defer x.tx.Rollback()
	if query.from, err = x.oldestRow(query); err != nil {
		return nil, err
	}
	if query.keyType != "" {
		switch t, err := x.typeOfKey(query.keyID); {
		case err != nil:
			return nil, err
		case t != "" && t != query.keyType:
			return nil, nil
		case t != "":
			query.keyType = ""
		}
	}
	values := query.values()
	find, err := x.tx.PrepareContext(ctx, "SELECT first_id, last_id, data FROM request_chunks WHERE project_id = ? AND first_id <= ? ORDER BY first_id DESC LIMIT 1")
	if err != nil {
		return nil, err
	}
	defer find.Close()
	var list []RequestLog
	for len(list) < query.limit {
		entries, err := x.entries(q, query)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		if len(values) > 0 {
			group, err := groupOf(ctx, x.tx, query.projectID, entries[0].id, values)
			passed := !group.maybe
			for err == nil && !group.maybe && query.from < query.to { // quicker than to ask for entries in each
				at := query.pass(group)
				group, err = groupOf(ctx, x.tx, query.projectID, at, values)
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
		if last := entries[len(entries)-1].id; query.oldestFirst {
			query.from = last + 1
		} else {
			query.to = last
		}
		asked := query
		asked.from, asked.to = 0, endOfIDs
		for len(entries) > 0 {
			rows, n, err := rowsOfChunk(ctx, find, query.projectID, entries)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				if asked.matches(&rows[i]) {
					list = append(list, rows[i])
				}
			}
			entries = entries[n:]
		}
	}
	return list[:min(len(list), query.limit)], nil
}

// pass narrows the query to what is beyond the group, and gives the id that comes next.
func (q *rowQuery) pass(g chunkGroup) RequestID {
	if q.oldestFirst {
		q.from = g.end
		return q.from
	}
	q.to = g.first
	return q.to - 1
}

// oldestRow is where the stretch of a query for a key begins at most: the index may name older requests whose rows are gone.
// Of a key of another project there is none.
func (x *indexReader) oldestRow(query rowQuery) (RequestID, error) {
	if mine, err := x.keyIn(query.projectID, query.keyID); !mine || err != nil {
		return endOfIDs, err
	}
	var oldest RequestID
	err := x.tx.QueryRowContext(x.ctx, "SELECT COALESCE(MIN(first_id), 0) FROM request_chunks WHERE project_id = ?", query.projectID).Scan(&oldest)
	return max(query.from, oldest), err
}

// keyIn tells whether the key is of the project, or of none that is there.
func (x *indexReader) keyIn(projectID, keyID int64) (bool, error) {
	owner := projectID
	err := x.tx.QueryRowContext(x.ctx, "SELECT project_id FROM keys WHERE id = ?", keyID).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return owner == projectID, err
}

// typeOfKey is empty for a key that is gone.
func (x *indexReader) typeOfKey(keyID int64) (t KeyType, err error) {
	return t, x.tx.QueryRowContext(x.ctx, "SELECT COALESCE((SELECT type FROM keys WHERE id = ?), '')", keyID).Scan(&t)
}

// rowsOfChunk reads the rows of the first entry and of those after it that are in the same chunk, and tells for how many
// entries it has looked.
func rowsOfChunk(ctx context.Context, find *sql.Stmt, projectID int64, entries []keyEntry) (list []RequestLog, n int, err error) {
	var first, last RequestID
	var data []byte
	err = find.QueryRowContext(ctx, projectID, int64(entries[0].id)).Scan(&first, &last, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 1, nil // removed, with all that is older
	}
	if err != nil {
		return nil, 0, err
	}
	columns, err := readColumns(data)
	if err != nil {
		return nil, 0, err
	}
	ids, err := columns.ids()
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
	list, err = columns.rows(ids, places)
	if backwards {
		slices.Reverse(list)
	}
	return list, n, err
}

// entries lists the next requests of a key in the stretch that the query asks for: as many as its limit, or fewer where there
// are no more.
func (x *indexReader) entries(q *sqliteRequests, query rowQuery) ([]keyEntry, error) {
	found := []keyEntry{}
	asked := func(e keyEntry) (bool, error) {
		if query.code == "" {
			return true, nil
		}
		o, err := q.outcomes.of(e.outcome)
		return o.code == query.code, err
	}
	direction := func(a, b keyEntry) int {
		if query.oldestFirst {
			return compareEntries(a, b)
		}
		return compareEntries(b, a)
	}
	add := func(entries []keyEntry) error { // in the order asked for
		n := 0
		for i := range entries {
			e := entries[i]
			if !query.oldestFirst {
				e = entries[len(entries)-1-i]
			}
			if ok, err := asked(e); err != nil {
				return err
			} else if ok {
				found = append(found, e)
				n++
			}
			if n == query.limit {
				break
			}
		}
		return nil
	}
	trim := func() {
		slices.SortFunc(found, direction)
		found = found[:min(len(found), query.limit)]
	}
	for _, p := range x.parts {
		if err := add(p.of(query.keyID, query.from, query.to)); err != nil {
			return nil, err
		}
	}
	trim()
	runs := slices.Clone(x.runs)
	if query.oldestFirst {
		slices.SortFunc(runs, func(a, b keyRun) int { return int(min(max(a.firstID-b.firstID, -1), 1)) })
	}
	for _, run := range runs {
		if !run.requests || run.firstID >= query.to || run.lastID < query.from {
			continue
		}
		if len(found) == query.limit { // could this run have one that comes before the last?
			last := found[len(found)-1].id
			if !query.oldestFirst && run.lastID < last || query.oldestFirst && run.firstID > last {
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
func (x *indexReader) entriesOfRun(run keyRun, query rowQuery, add func([]keyEntry) error, found *[]keyEntry) error {
	had := len(*found)
	take := func(data []byte) (bool, error) {
		entries, err := decodeEntries(data)
		if err != nil {
			return false, err
		}
		if err := add((tailPart{entries: entries}).of(query.keyID, query.from, query.to)); err != nil {
			return false, err
		}
		return len(*found)-had < query.limit, nil
	}
	if !query.oldestFirst {
		return x.blocks(run.id, blockOfRequests, query.keyID, int64(query.to-1), take)
	}
	return x.blocksFrom(run.id, query.keyID, int64(query.from), take)
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
