package gate

import (
	"context"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

const (
	// reportWait is how long a report waits for rows that are not written yet.
	reportWait = 2 * time.Second
	// othersWrite is how long another process may take to write a row, with some to spare; recentRow is how old a request is at
	// most that may wait to be written there.
	othersWrite = 200 * time.Millisecond
	recentRow   = time.Second
)

// Report completes the rows of a project's requests with what the app says of them, and gives the ids that have no row there. A
// row is written a moment after the verdict: those that wait in this process, and what another one has judged a moment ago, are
// waited for. Errors: those of the database, also where rows wait for more than two seconds. A report can be repeated.
func (g *Gate) Report(ctx context.Context, project *Project, reports []requestlog.Report) (missing []requestlog.ID, err error) {
	recent := g.now().Add(-recentRow)
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
	missing, err = g.completeRequests(ctx, project.ID, only(reports, missing))
	if err != nil || !g.staleness.shared || !anySince(missing, recent) {
		return missing, err
	}
	select {
	case <-time.After(othersWrite):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.completeRequests(ctx, project.ID, only(reports, missing))
}

func anySince(ids []requestlog.ID, at time.Time) bool {
	return slices.ContainsFunc(ids, func(id requestlog.ID) bool { return !id.Time().Before(at) })
}

// only gives the reports of those requests.
func only(reports []requestlog.Report, ids []requestlog.ID) []requestlog.Report {
	return slices.DeleteFunc(slices.Clone(reports), func(r requestlog.Report) bool { return !slices.Contains(ids, r.ID) })
}
