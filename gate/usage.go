package gate

import (
	"context"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Usage is what a key may know of itself.
type Usage struct {
	Key    models.GateKey
	Used   [models.QuotaCount]int64 // admitted requests in each window, of the total ever
	Quotas [models.QuotaCount]QuotaState
}

// Usage reads how much a key has used of its quotas. It counts nothing, but a key that is none is a bad key of ip, which is
// empty where nobody knows who asks. Errors: those of [Gate.Key], and why a key may not be used.
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

// Used is how many requests the key was admitted in each window, and ever. It counts nothing.
func (g *Gate) Used(ctx context.Context, keyID int64) (used [models.QuotaCount]int64, err error) {
	now := minuteOf(g.now())
	m := g.meters.lock(keyID)
	if m.loaded {
		defer m.mu.Unlock()
		g.meters.advance(m, now)
		return m.allUsed(), nil
	}
	// Requests of a key without quotas are counted in the database alone, and keep coming while that is asked.
	ticket := m.ticket
	m.mu.Unlock()
	read, err := g.meters.read(ctx, keyID, ticket)
	if err != nil {
		return used, err
	}
	var s series
	s.take(read)
	s.fold(now)
	return (&meter{total: read.Total, sum: s.sum}).allUsed(), nil
}
