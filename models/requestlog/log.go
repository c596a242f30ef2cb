package requestlog

import (
	"context"
	"time"
)

// Log stores rows and the counts that are derived from them. Rows and counts are written in one transaction, or the
// counts are computed from the rows, so they cannot disagree. It is safe for use by many goroutines.
type Log interface {
	// Write stores a batch of rows. Writing the same batch again changes nothing: after an error that leaves open
	// whether it was stored, call it again with the same rows in the same order.
	Write(ctx context.Context, batch []Row) error
	// Complete changes the project's rows to what apps report, in small transactions, and returns the ids that have no
	// row. An id must not occur twice. Completing again changes nothing.
	Complete(ctx context.Context, projectID int64, reports []Report) (missing []ID, err error)
	// List returns the rows that match the query, in its order.
	List(ctx context.Context, q Query) ([]Row, error)

	// NewIDs returns a source of ids for this process, all larger than those of rows that were stored before the call.
	NewIDs(ctx context.Context) (*IDs, error)

	// UsageByMinute counts the project's requests in each minute (since 1970) from first to last. Minutes without
	// requests are included.
	UsageByMinute(ctx context.Context, projectID, first, last int64) ([]MinuteUsage, error)
	// KeyUsage returns what the key has used. It counts every request that was stored before the call.
	KeyUsage(ctx context.Context, keyID int64) (KeyUsage, error)
	// UsageByVersion counts the key's requests since a time by the version of its secret.
	UsageByVersion(ctx context.Context, keyID int64, since time.Time) (map[int]VersionUsage, error)
	// LastUsed returns, by key, the last uses that last_used_at in the keys' own rows may not show yet. The caller
	// takes the later of the two times.
	LastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error)
	// HoldUse calls fn and returns its error. This process writes no row of the key until fn returns. used reports
	// whether the log knows of a use that last_used_at in the key's own row may not show.
	HoldUse(ctx context.Context, keyID int64, fn func(used bool) error) error

	// Tidy does one small step of the maintenance that keeps the log small and quick: it removes rows whose retention
	// has ended, and merges counts. more reports whether there is more to do.
	Tidy(ctx context.Context, kept *Retention) (more bool, err error)
	// Close stops work in the background. It does not close the database.
	Close()
}

// Retention says which rows each project keeps. One value is used for a whole round of calls of [Log.Tidy], which
// record in it which projects are done.
type Retention struct {
	Now      time.Time
	KeepFrom map[int64]ID // by project: rows with smaller ids are removed; 0 keeps all
	Oldest   ID           // no project keeps a row with a smaller id
	Project  int64        // projects with ids up to this one are done in this round
}

// Of returns the id from which on a project keeps its rows. A project that is not in KeepFrom keeps all if it exists,
// because it was created after the round began, and none if it was deleted. exists is called only for such a project.
func (r *Retention) Of(projectID int64, exists func() (bool, error)) (ID, error) {
	if from, known := r.KeepFrom[projectID]; known {
		return from, nil
	}
	if is, err := exists(); is || err != nil {
		return 0, err
	}
	return EndOfIDs, nil
}
