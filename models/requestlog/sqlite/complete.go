package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// Complete changes rows to what the reports say, in at most ChunksPerStep chunks in each transaction.
func (l *Log) Complete(
	ctx context.Context, projectID int64, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	reports = requestlog.SortedReports(reports)
	for len(reports) > 0 {
		var withoutRow []requestlog.ID
		done := 0
		err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
			for chunks := 0; done < len(reports) && chunks < l.options.ChunksPerStep; chunks++ {
				n, ids, err := l.completeChunk(tx, projectID, reports[done:])
				if err != nil {
					return err
				}
				done, withoutRow = done+n, append(withoutRow, ids...)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("complete requests: %w", err)
		}
		reports, missing = reports[done:], append(missing, withoutRow...)
	}
	return missing, nil
}

// completeChunk applies the reports that belong to the same chunk as the first one, and returns how many these are.
func (l *Log) completeChunk(
	tx *sqldb.Tx, projectID int64, reports []requestlog.Report,
) (n int, missing []requestlog.ID, err error) {
	first := reports[0].ID
	c, err := chunkBefore(tx, projectID, first)
	if err != nil {
		return 0, nil, err
	}
	if c.id == 0 || c.lastID < first {
		return 1, []requestlog.ID{first}, nil
	}
	rows, err := chunkRows(tx, c.id)
	if err != nil {
		return 0, nil, err
	}
	var reclassed, recounted []requestlog.Row // rows whose status class changes, and rows whose credits change
	changed := false
	for ; n < len(reports) && reports[n].ID <= c.lastID; n++ {
		place, found := slices.BinarySearchFunc(rows, reports[n].ID, compareID)
		if !found {
			missing = append(missing, reports[n].ID)
			continue
		}
		row := &rows[place]
		class := row.Status / 100
		rowChanged, credits := reports[n].Apply(row)
		changed = changed || rowChanged
		if row.Status/100 != class {
			reclassed = append(reclassed, *row)
		}
		if credits != 0 {
			difference := *row
			difference.Credits = credits
			recounted = append(recounted, difference)
		}
	}
	if !changed {
		return n, missing, nil
	}
	if err := l.replaceChunk(tx, c.id, rows); err != nil {
		return 0, nil, err
	}
	grouped, err := groupsEnd(tx, projectID)
	if err == nil {
		err = addToGroups(tx, reclassed, grouped)
	}
	if err != nil {
		return 0, nil, err
	}
	return n, missing, addProjectMinutes(tx, requestlog.CountCredits(recounted))
}
