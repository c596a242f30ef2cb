package models

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// rowsTooLong is how much longer than the plan says a row may stay, so that a chunk is not cut at every step.
const rowsTooLong = time.Hour

// tidy removes what is dead, then merges runs, then removes rows that are too old, and groups chunks.
func (q *sqliteRequests) tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	if more, err := q.tidyRuns(ctx, kept); more || err != nil {
		return more, err
	}
	return q.tidyChunks(ctx, kept)
}

func (q *sqliteRequests) tidyRuns(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	if err := q.ready(ctx); err != nil {
		return false, err
	}
	q.upkeep.mu.Lock()
	defer q.upkeep.mu.Unlock()
	if err := q.buryHalfWritten(ctx); err != nil {
		return false, err
	}
	if more, err := q.removeDead(ctx); more || err != nil {
		return more, err
	}
	u := &q.upkeep
	if u.merge == nil {
		var runs []keyRun
		tx, err := q.reading.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		runs, err = readRuns(ctx, tx)
		tx.Rollback()
		if err != nil {
			return false, err
		}
		now := kept.Now.Unix() / 60
		sources := nextMerge(runs, kept.Oldest, now)
		if sources == nil {
			return false, nil
		}
		if u.merge, err = q.startMerge(ctx, sources, kept.Oldest, now); err != nil {
			return false, err
		}
	}
	done, err := u.merge.step(ctx)
	if done || err != nil {
		u.merge = nil
	}
	if err != nil {
		u.cleaned = false // it starts anew
	}
	return err == nil, err
}

// removeDead removes blocks of a run that was merged into another one, and at last the run.
func (q *sqliteRequests) removeDead(ctx context.Context) (more bool, err error) {
	var run int64
	err = q.reading.QueryRowContext(ctx, "SELECT id FROM key_runs WHERE state = 'dead' LIMIT 1").Scan(&run)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, q.writer.tx(ctx, func(tx *writeTx) error {
		n, err := tx.changed("DELETE FROM key_blocks WHERE id IN (SELECT id FROM key_blocks WHERE run_id = ? LIMIT ?)", run, 4*limits.blocksPerStep)
		if n > 0 || err != nil {
			return err
		}
		return tx.exec("DELETE FROM key_runs WHERE id = ?", run)
	})
}

// tidyChunks removes chunks of the next project that has rows that are kept no longer, or makes its next group.
func (q *sqliteRequests) tidyChunks(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	for range 100 { // projects without any of that; then others may go on
		var project *int64
		if err := q.reading.QueryRowContext(ctx, "SELECT MIN(project_id) FROM request_chunks WHERE project_id > ?", kept.Project).Scan(&project); err != nil {
			return false, err
		}
		if project == nil {
			return false, nil
		}
		var removed int
		var grouped bool
		q.writing.Lock() // a writer knows where groups end
		err := q.writer.tx(ctx, func(tx *writeTx) error {
			from, err := kept.Of(*project, func() (there bool, err error) {
				return there, tx.row("SELECT EXISTS (SELECT 1 FROM projects WHERE id = ?)", []any{*project}, &there)
			})
			if err == nil {
				removed, err = removeChunks(tx, *project, from)
			}
			if err == nil && removed == 0 {
				grouped, err = groupChunks(tx, *project)
			}
			return err
		})
		delete(q.open, *project)
		q.writing.Unlock()
		if err != nil {
			return false, err
		}
		if removed == 0 && !grouped { // else it has its next step
			kept.Project = *project
		}
		if removed > 0 || grouped {
			break
		}
	}
	return true, nil
}

// removeChunks removes rows from before from, and tells from how many chunks.
func removeChunks(tx *writeTx, project int64, from requestlog.ID) (int, error) {
	chunks, err := chunksBefore(tx, project, from)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, c := range chunks {
		var left []requestlog.Row
		switch {
		case c.last < from:
		case c.firstID < requestlog.FirstIDAt(from.Time().Add(-rowsTooLong)):
			if left, err = chunkRows(tx, c.id); err != nil {
				return 0, err
			}
			left = slices.DeleteFunc(left, func(r requestlog.Row) bool { return r.ID < from })
		default:
			continue
		}
		removed++
		if err := replaceChunk(tx, c.id, left); err != nil {
			return 0, err
		}
	}
	if removed > 0 {
		err = removeGroups(tx, project)
	}
	return removed, err
}

func chunksBefore(tx *writeTx, project int64, from requestlog.ID) (chunks []rowChunk, err error) {
	rows, err := tx.Query("SELECT id, first_id, last_id FROM request_chunks WHERE project_id = ? AND first_id < ? ORDER BY first_id LIMIT ?", project, int64(from), limits.chunksPerStep)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c rowChunk
		if err := rows.Scan(&c.id, &c.firstID, &c.last); err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
	}
	return chunks, rows.Err()
}
