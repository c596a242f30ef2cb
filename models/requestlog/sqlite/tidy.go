package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// keptTooLong is how long a row may stay after its retention has ended, so that a chunk is not rewritten at every step.
const keptTooLong = time.Hour

// Tidy removes dead sorted runs, then compacts runs, then removes rows whose retention has ended and makes groups of
// chunks. One call does one step.
func (l *Log) Tidy(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	if more, err = l.tidyRuns(ctx, kept); err != nil {
		return false, fmt.Errorf("tidy the index of requests: %w", err)
	}
	if more {
		return true, nil
	}
	if more, err = l.tidyChunks(ctx, kept); err != nil {
		return false, fmt.Errorf("tidy the rows of requests: %w", err)
	}
	return more, nil
}

func (l *Log) tidyRuns(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	if err := l.ready(ctx); err != nil {
		return false, err
	}
	m := &l.maintenance
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := l.killUnfinishedRuns(ctx); err != nil {
		return false, err
	}
	if more, err := l.removeDeadRun(ctx); more || err != nil {
		return more, err
	}
	if m.compaction == nil {
		runs, err := l.liveRuns(ctx)
		if err != nil {
			return false, err
		}
		now := kept.Now.Unix() / 60
		sources := l.nextCompaction(runs, kept.Oldest, now)
		if sources == nil {
			return false, nil
		}
		if m.compaction, err = l.startCompaction(ctx, sources, kept.Oldest, now); err != nil {
			return false, err
		}
	}
	done, err := m.compaction.step(ctx)
	if done || err != nil {
		m.compaction = nil
	}
	if err != nil {
		m.noUnfinishedRuns = false // the next step marks the run as dead, and the compaction starts again
	}
	return err == nil, err
}

// removeDeadRun deletes blocks of a dead run: one that was compacted into another, or that was never finished. When it
// has no blocks left, it deletes the run.
func (l *Log) removeDeadRun(ctx context.Context) (more bool, err error) {
	var run int64
	err = l.read.QueryRowContext(ctx, "SELECT id FROM key_runs WHERE state = 'dead' LIMIT 1").Scan(&run)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.ExecCount(`
			DELETE FROM key_blocks
			WHERE id IN (SELECT id FROM key_blocks WHERE run_id = ? LIMIT ?)`, run, 4*l.options.BlocksPerStep)
		if n > 0 || err != nil {
			return err
		}
		return tx.Exec("DELETE FROM key_runs WHERE id = ?", run)
	})
}

// tidyChunks finds the next project that has rows whose retention has ended, or enough chunks for another group, and
// does one step for it.
func (l *Log) tidyChunks(ctx context.Context, kept *requestlog.Retention) (more bool, err error) {
	for range 100 { // at most that many projects that need neither in one step
		var project *int64
		err := l.read.QueryRowContext(ctx,
			"SELECT MIN(project_id) FROM request_chunks WHERE project_id > ?", kept.Project).Scan(&project)
		if err != nil {
			return false, err
		}
		if project == nil {
			return false, nil
		}
		changed, err := l.tidyProject(ctx, *project, kept)
		if err != nil {
			return false, err
		}
		if changed { // the project may need another step
			break
		}
		kept.Project = *project
	}
	return true, nil
}

// tidyProject does one step for a project, and reports whether there was something to do.
func (l *Log) tidyProject(ctx context.Context, project int64, kept *requestlog.Retention) (changed bool, err error) {
	l.writing.Lock() // protects l.heads, in which writers remember where groups end
	defer l.writing.Unlock()
	defer delete(l.heads, project)
	err = l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
		from, err := kept.Of(project, func() (exists bool, err error) {
			err = tx.QueryRow("SELECT EXISTS (SELECT 1 FROM projects WHERE id = ?)", []any{project}, &exists)
			return exists, err
		})
		if err == nil {
			changed, err = l.removeChunks(tx, project, from)
		}
		if err == nil && !changed {
			changed, err = l.groupChunks(tx, project)
		}
		return err
	})
	return changed, err
}

// removeChunks removes rows with smaller ids than from, and reports whether it removed any.
func (l *Log) removeChunks(tx *sqldb.Tx, project int64, from requestlog.ID) (removed bool, err error) {
	chunks, err := l.chunksBefore(tx, project, from)
	if err != nil {
		return false, err
	}
	for _, c := range chunks {
		var left []requestlog.Row
		switch {
		case c.lastID < from:
		case c.firstID < requestlog.FirstIDAt(from.Time().Add(-keptTooLong)):
			if left, err = chunkRows(tx, c.id); err != nil {
				return false, err
			}
			left = slices.DeleteFunc(left, func(r requestlog.Row) bool { return r.ID < from })
		default:
			continue
		}
		removed = true
		if err := l.replaceChunk(tx, c.id, left); err != nil {
			return false, err
		}
	}
	if removed {
		err = removeGroups(tx, project)
	}
	return removed, err
}

func (l *Log) chunksBefore(tx *sqldb.Tx, project int64, from requestlog.ID) (chunks []chunk, err error) {
	rows, err := tx.Query(`
		SELECT id, first_id, last_id FROM request_chunks
		WHERE project_id = ? AND first_id < ?
		ORDER BY first_id
		LIMIT ?`, project, int64(from), l.options.ChunksPerStep)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c chunk
		if err := rows.Scan(&c.id, &c.firstID, &c.lastID); err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
	}
	return chunks, rows.Err()
}
