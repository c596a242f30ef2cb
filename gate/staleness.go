package gate

import (
	"sync/atomic"
	"time"
)

const (
	// staleFor is how long a read from the database is used while changes of other processes may be missed. With the
	// time of one look-up it is less than the second in which a change takes effect everywhere: product.md, section
	// 3.
	staleFor = 250 * time.Millisecond
	// syncLifetime is how long an answer of the listening connection proves that no change was missed. It is longer
	// than the time from one question to the answer of the next, see models.Store.Listen, and less than that second.
	syncLifetime = 750 * time.Millisecond
	// knownTimeout is the time limit of a look-up if a stale result is in memory, which is then used.
	knownTimeout = 300 * time.Millisecond
	// retryAfter is how long a database that failed is not asked again about what is in memory.
	retryAfter = 250 * time.Millisecond
)

// stalenessPolicy decides whether a read from the database may still be used without asking again, and whether to ask a
// database that may be away. If other processes change the same database, the former depends on whether their changes
// arrive. The caches of a gate share one policy.
//
// Moments are milliseconds since 1970 by a clock that is never set back: see moment.
type stalenessPolicy struct {
	now     func() time.Time
	started time.Time
	shared  bool // other processes change the same database

	// A read that began after since is valid until a change invalidates it. That is known to hold up to the moment
	// until.
	since, until atomic.Int64
	// retryAt is when a database that failed may be asked again; 0 while it answers.
	retryAt atomic.Int64
}

// newStalenessPolicy returns a policy. If shared is set, it begins disconnected; otherwise every read is used until a
// change invalidates it.
func newStalenessPolicy(shared bool, now func() time.Time) *stalenessPolicy {
	return &stalenessPolicy{now: now, started: now(), shared: shared}
}

// moment returns the present moment. Take it before a look-up, for fresh. It counts from the start by the monotonic
// clock, so that setting the system's time does not make an old read look new.
func (p *stalenessPolicy) moment() int64 { return p.at(p.now()) }

func (p *stalenessPolicy) at(at time.Time) int64 {
	return p.started.UnixMilli() + at.Sub(p.started).Milliseconds()
}

// fresh reports whether the result of a look-up that began at readAt may be used, provided that no change has
// invalidated it.
func (p *stalenessPolicy) fresh(readAt int64) bool {
	if !p.shared {
		return true
	}
	now := p.moment()
	// until is loaded before since. So both are from one call of syncedUntil, or since is from a later one, and more is
	// read again than needed.
	return now < p.until.Load() && readAt > p.since.Load() || now-readAt < staleFor.Milliseconds()
}

// syncedUntil says that all changes that were committed after since and before asked have arrived.
func (p *stalenessPolicy) syncedUntil(since, asked time.Time) {
	p.since.Store(p.at(since))
	p.until.Store(p.at(asked.Add(syncLifetime)))
}

// disconnected says that changes may be missed from now on, until the next call of syncedUntil.
func (p *stalenessPolicy) disconnected() { p.until.Store(0) }

// isSynced reports whether changes of other processes arrive, or there are no other processes.
func (p *stalenessPolicy) isSynced() bool { return !p.shared || p.moment() < p.until.Load() }

// mayQuery reports whether to ask the database about something of which a stale result is in memory. While the database
// does not answer, it allows one caller at a time, now and then; the others use the stale result. A caller that is
// allowed calls queryDone with the outcome.
func (p *stalenessPolicy) mayQuery() bool {
	retryAt := p.retryAt.Load()
	if retryAt == 0 {
		return true
	}
	now := p.moment()
	return now >= retryAt && p.retryAt.CompareAndSwap(retryAt, now+(knownTimeout+retryAfter).Milliseconds())
}

// queryDone takes the outcome of a look-up, whether or not mayQuery was called for it.
func (p *stalenessPolicy) queryDone(err error) {
	switch {
	case err != nil:
		p.retryAt.Store(p.moment() + retryAfter.Milliseconds())
	case p.retryAt.Load() != 0:
		p.retryAt.Store(0)
	}
}

// timeout returns the time limit of a look-up. known says whether a stale result is in memory.
func (p *stalenessPolicy) timeout(known bool) time.Duration {
	if known {
		return knownTimeout
	}
	return loadTimeout
}
