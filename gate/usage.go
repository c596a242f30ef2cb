package gate

import (
	"context"
	"time"

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
	u.Used, err = g.used(ctx, key.KeyID, now, func(m *meter) { g.meters.describe(m, &key.Caps, &u.Quotas, now) })
	return u, err
}

// Used is how many requests the key was admitted in each window, and ever. It counts nothing.
func (g *Gate) Used(ctx context.Context, keyID int64) ([models.QuotaCount]int64, error) {
	return g.used(ctx, keyID, g.now(), func(*meter) {})
}

func (g *Gate) used(ctx context.Context, keyID int64, now time.Time, also func(*meter)) (used [models.QuotaCount]int64, err error) {
	m := g.meters.lock(keyID)
	defer m.mu.Unlock()
	if err := g.meters.ready(ctx, m, minuteOf(now)); err != nil {
		return used, err
	}
	for q := range used {
		used[q] = m.used(models.Quota(q))
	}
	also(m)
	return used, nil
}
