package gate

import (
	"context"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Usage is the state of a key's quotas.
type Usage struct {
	Key    models.GateKey
	Used   [models.QuotaCount]int64 // admitted requests in each quota's window; for the total, ever
	Quotas [models.QuotaCount]QuotaState
}

// Usage returns how much a key has used of its quotas. The call does not count against them. A bad key counts against
// the caller's address ip, which is empty if it is not known. Errors: those of [Gate.Key], [models.Denied] if the key
// is revoked, inactive or expired, and those of the database.
func (g *Gate) Usage(ctx context.Context, plain, ip string) (Usage, error) {
	key, err := g.Key(ctx, nil, plain, ip)
	if err != nil {
		return Usage{}, err
	}
	if code := key.StateDenialCode(g.now()); code != requestlog.CodeValid {
		return Usage{}, models.Denied(code)
	}
	u := Usage{Key: key}
	if !key.Caps.Any() {
		u.Used, err = g.Used(ctx, key.KeyID)
		return u, err
	}
	m, err := g.meters.lockLoaded(ctx, key.KeyID, g.now)
	if err != nil {
		return u, err
	}
	defer m.mu.Unlock()
	now := g.now()
	g.meters.advance(m, minuteOf(now))
	u.Used = m.allUsed()
	g.meters.describe(m, &key.Caps, &u.Quotas, now)
	return u, nil
}

// Used returns the admitted requests of the key in each quota's window, and ever for the total. Errors: those of the
// database.
func (g *Gate) Used(ctx context.Context, keyID int64) (used [models.QuotaCount]int64, err error) {
	now := minuteOf(g.now())
	m := g.meters.lock(keyID)
	if m.loaded {
		defer m.mu.Unlock()
		g.meters.advance(m, now)
		return m.allUsed(), nil
	}
	// The requests of a key without quotas are counted only in the database. The lock is not held while that is read.
	ticket := m.ticket
	m.mu.Unlock()
	read, err := g.meters.read(ctx, keyID, ticket)
	if err != nil {
		return used, err
	}
	var s series
	s.load(read)
	s.fold(now)
	return (&meter{total: read.Total, sum: s.sum}).allUsed(), nil
}
