package gate

import (
	"sync/atomic"
	"time"
)

const (
	// believedFor is how long after a change that no notice told of what was read before it may still be believed. With the
	// time of one look-up it is less than the second in which a change holds everywhere: product.md, section 3.
	staleFor = 250 * time.Millisecond
	// heardFor is how long an answer of the listening connection stands for: more than it takes from one question to the
	// answer of the next, see models.Store.Listen, and less than that second.
	syncLifetime = 750 * time.Millisecond
	// knownTimeout ends a look-up whose outcome is known from before, so that an answer does not wait for a database that is away.
	knownTimeout = 300 * time.Millisecond
	// retryAfter is how long a database that failed is not asked again about what is known.
	retryAfter = 250 * time.Millisecond
)

// trust decides whether what was read from the database may be believed without asking again, and whether asking is worth
// the wait. Where other processes change the same database, that hangs on whether their notices arrive. The caches of a gate
// share one.
//
// Moments are milliseconds since 1970 by a clock that is never set back: see moment.
type stalenessPolicy struct {
	now     func() time.Time
	started time.Time
	shared  bool // other processes change the same database

	// What was read after since is right until something is told of it, as far as until.
	since, until atomic.Int64
	// retryAt is when a database that failed may be asked again; 0 while it answers.
	retryAt atomic.Int64
}

// newTrust begins deaf where shared is set. Else there is nobody to hear of, and everything is believed for good.
func newStalenessPolicy(shared bool, now func() time.Time) *stalenessPolicy {
	return &stalenessPolicy{now: now, started: now(), shared: shared}
}

// moment is the present: take it before a look-up, for fresh. It goes on from the time of the start by the monotonic clock,
// so that setting the system's time makes nothing old look new.
func (t *stalenessPolicy) moment() int64 { return t.at(t.now()) }

func (t *stalenessPolicy) at(at time.Time) int64 {
	return t.started.UnixMilli() + at.Sub(t.started).Milliseconds()
}

// fresh tells whether what a look-up begun at readAt gave may be believed, where nothing was told of it since.
func (t *stalenessPolicy) fresh(readAt int64) bool {
	if !t.shared {
		return true
	}
	now := t.moment()
	// until before since: both are from one call of heard, or since is from a later one and more is read again than needed.
	return now < t.until.Load() && readAt > t.since.Load() || now-readAt < staleFor.Milliseconds()
}

// heard says that all changes that were committed after since and before asked have been told.
func (t *stalenessPolicy) syncedUntil(since, asked time.Time) {
	t.since.Store(t.at(since))
	t.until.Store(t.at(asked.Add(syncLifetime)))
}

// deaf says that changes may be missed from now on, until heard says otherwise.
func (t *stalenessPolicy) disconnected() { t.until.Store(0) }

// hears tells whether changes of other processes arrive, or there are no other processes.
func (t *stalenessPolicy) isSynced() bool { return !t.shared || t.moment() < t.until.Load() }

// mayAsk tells whether to ask the database about something that is known and not fresh. While it does not answer, one caller
// at a time may, every now and then; the others do better with what they know. Who is told yes calls asked with the outcome.
func (t *stalenessPolicy) mayAsk() bool {
	retryAt := t.retryAt.Load()
	if retryAt == 0 {
		return true
	}
	now := t.moment()
	return now >= retryAt && t.retryAt.CompareAndSwap(retryAt, now+(knownTimeout+retryAfter).Milliseconds())
}

// asked takes the outcome of a look-up, of any one.
func (t *stalenessPolicy) asked(err error) {
	switch {
	case err != nil:
		t.retryAt.Store(t.moment() + retryAfter.Milliseconds())
	case t.retryAt.Load() != 0:
		t.retryAt.Store(0)
	}
}

// timeout is how long a look-up may take, of something that is known and not fresh or of something that is not known.
func (t *stalenessPolicy) timeout(known bool) time.Duration {
	if known {
		return knownTimeout
	}
	return loadTimeout
}
