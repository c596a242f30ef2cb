package models

import (
	"context"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// complete goes from chunk to chunk, some in each transaction.
func (q *sqliteRequests) complete(ctx context.Context, projectID int64, reports []requestlog.Report) (missing []requestlog.ID, err error) {
	for len(reports) > 0 {
		var without []requestlog.ID
		done := 0
		err := q.writer.tx(ctx, func(tx *writeTx) error {
			for chunks := 0; done < len(reports) && chunks < limits.chunksPerStep; chunks++ {
				n, notThere, err := completeChunk(tx, projectID, reports[done:])
				if err != nil {
					return err
				}
				done, without = done+n, append(without, notThere...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		reports, missing = reports[done:], append(missing, without...)
	}
	return missing, nil
}

// completeChunk completes the rows of the chunk that the first report belongs to, and tells how many reports that were.
func completeChunk(tx *writeTx, projectID int64, reports []requestlog.Report) (n int, missing []requestlog.ID, err error) {
	first := reports[0].ID
	chunk, err := chunkBefore(tx, projectID, first)
	if err != nil {
		return 0, nil, err
	}
	if chunk.id == 0 || chunk.last < first {
		return 1, []requestlog.ID{first}, nil
	}
	rows, err := chunkRows(tx, chunk.id)
	if err != nil {
		return 0, nil, err
	}
	var reclassed, recounted []requestlog.Row
	changed := false
	for ; n < len(reports) && reports[n].ID <= chunk.last; n++ {
		r := &reports[n]
		place, found := slices.BinarySearchFunc(rows, r.ID, compareID)
		if !found {
			missing = append(missing, r.ID)
			continue
		}
		class := rows[place].Status / 100
		change, credits := r.Apply(&rows[place])
		if changed = changed || change; rows[place].Status/100 != class {
			reclassed = append(reclassed, rows[place])
		}
		if credits != 0 {
			row := rows[place]
			row.Credits = credits
			recounted = append(recounted, row)
		}
	}
	if !changed {
		return n, missing, nil
	}
	if err := replaceChunk(tx, chunk.id, rows); err != nil {
		return 0, nil, err
	}
	grouped, err := groupedEnd(tx, projectID)
	if err == nil {
		err = addToGroups(tx, reclassed, grouped)
	}
	if err != nil {
		return 0, nil, err
	}
	return n, missing, addUsageMinutes(tx, requestlog.CountCredits(recounted))
}
