package gate

import (
	"context"

	"github.com/claviger/claviger/models"
)

// Usage is what a key may know of itself.
type Usage struct {
	Code   models.Code // valid, or why the key may know nothing
	Key    models.GateKey
	Used   [models.QuotaCount]int64 // admitted requests in each window, of the total ever
	Quotas [models.QuotaCount]QuotaState
}

// Usage reads how much a key has used of its quotas. It counts nothing.
func (g *Gate) Usage(ctx context.Context, plain string) (Usage, error) {
	if plain == "" {
		return Usage{Code: models.KeyMissing}, nil
	}
	secret, wellFormed := models.ParseSecret(plain)
	if !wellFormed || secret.Kind == models.SecretService {
		return Usage{Code: models.KeyInvalid}, nil
	}
	key, found, err := g.keys.get(ctx, g.pepper.Digest(secret))
	if err != nil || !found {
		return Usage{Code: models.KeyInvalid}, err
	}
	u, now := Usage{Code: key.StateRefusal(g.now()), Key: key}, g.now()
	if u.Code != models.Valid {
		return u, nil
	}
	m := g.meters.lock(key.KeyID)
	defer m.mu.Unlock()
	if err := g.meters.ready(ctx, m, minuteOf(now)); err != nil {
		return u, err
	}
	for q := range u.Used {
		u.Used[q] = m.used(models.Quota(q))
	}
	g.meters.describe(m, &key.Caps, &u.Quotas, now)
	return u, nil
}
