package gate

import (
	"context"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

const (
	// reportWait is how long a report waits for rows of this process to be written.
	reportWait = 2 * time.Second
	// otherProcessWait is how long a report waits for rows of other processes. A row is written sooner than that if the
	// database is not away.
	otherProcessWait = 200 * time.Millisecond
	// recentRequest is the age up to which a request may have a row that another process has not written yet.
	recentRequest = time.Second
)

// Report completes the rows of a project's requests with what the app reports about them, and returns the IDs that
// have no row in the project. A row is written a moment after the verdict, so Report waits up to 2 s for rows of this
// process, and 0.2 s if another process may have judged one of the requests within the last second. Errors: those of
// the database, and that of the context if rows of this process are not written in time. Repeating a report is safe.
func (g *Gate) Report(
	ctx context.Context, project *Project, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	recent := g.now().Add(-recentRequest)
	waiting := recent
	if oldest := g.recorder.Oldest(); !oldest.IsZero() && oldest.Before(recent) {
		waiting = oldest
	}
	missing, err = g.completeRequests(ctx, project.ID, reports)
	if err != nil || !anySince(missing, waiting) {
		return missing, err
	}
	flushed, cancel := context.WithTimeout(ctx, reportWait)
	defer cancel()
	if err := g.recorder.Flush(flushed); err != nil {
		return nil, err
	}
	missing, err = g.completeRequests(ctx, project.ID, reportsOf(reports, missing))
	if err != nil || !g.staleness.shared || !anySince(missing, recent) {
		return missing, err
	}
	select {
	case <-time.After(otherProcessWait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.completeRequests(ctx, project.ID, reportsOf(reports, missing))
}

// anySince reports whether one of the requests came at the time or later.
func anySince(ids []requestlog.ID, at time.Time) bool {
	return slices.ContainsFunc(ids, func(id requestlog.ID) bool { return !id.Time().Before(at) })
}

// reportsOf returns the reports of the requests with those IDs.
func reportsOf(reports []requestlog.Report, ids []requestlog.ID) []requestlog.Report {
	return slices.DeleteFunc(slices.Clone(reports), func(r requestlog.Report) bool {
		return !slices.Contains(ids, r.ID)
	})
}
