package requestlog

import (
	"context"
	"time"
)

// Log stores rows and the counts that follow from them. Rows and counts are written in one transaction or follow from
// each other, so that they cannot disagree. It is safe for use by many goroutines.
type Log interface {
	// Write stores a batch of rows. Writing the same batch again changes nothing: after an error that leaves open
	// whether it was stored, call it again with the same rows in the same order.
	Write(ctx context.Context, batch []Row) error
	// Complete puts what apps report into the project's rows, in small transactions, and returns the ids that have no
	// row. Reports are sorted by id, each id once. Completing again changes nothing.
	Complete(ctx context.Context, projectID int64, reports []Report) (missing []ID, err error)
	// List returns the rows that the query asks for, in its order.
	List(ctx context.Context, q Query) ([]Row, error)

	// NewIDs returns a source of ids for this process, all larger than those of rows that were stored before the call.
	NewIDs(ctx context.Context) (*IDs, error)

	// UsageByMinute counts the project's requests in each minute (since 1970) from first to last, quiet ones included.
	UsageByMinute(ctx context.Context, projectID, first, last int64) ([]MinuteUsage, error)
	// KeyUsage returns what the key has used. Every request that was stored before the call is in it.
	KeyUsage(ctx context.Context, keyID int64) (KeyUsage, error)
	// UsageByVersion counts the key's requests since a moment by the version of its secret.
	UsageByVersion(ctx context.Context, keyID int64, since time.Time) (map[int]VersionUsage, error)
	// LastUsed returns the times of last use that are newer than last_used_at of the keys' own rows.
	LastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error)
	// HoldUse runs fn with whether the key has a row of which its last_used_at does not tell. No row of the key is
	// written by this process before fn returns.
	HoldUse(ctx context.Context, keyID int64, fn func(used bool) error) error

	// Tidy does one small step of what keeps the log small and quick: it removes rows that are kept no longer, and
	// folds and merges counts. more is true while there is more to do.
	Tidy(ctx context.Context, kept *Retention) (more bool, err error)
	// Close ends what runs in the background. It does not close the database.
	Close()
}

// Retention is how long each project keeps its rows. One value serves a whole round of calls of [Log.Tidy]: the log
// notes in it how far the round is.
type Retention struct {
	Now      time.Time
	KeepFrom map[int64]ID // by project: the oldest row that it keeps; 0 where it keeps all
	Oldest   ID           // no project keeps a row from before
	Project  int64        // projects up to this one are done in this round
}

// Of returns the oldest row that a project keeps. A project that KeepFrom lacks was made after the round began and
// keeps all, or it is gone and keeps none: exists tells which.
func (r *Retention) Of(projectID int64, exists func() (bool, error)) (ID, error) {
	if from, known := r.KeepFrom[projectID]; known {
		return from, nil
	}
	if is, err := exists(); is || err != nil {
		return 0, err
	}
	return EndOfIDs, nil
}
