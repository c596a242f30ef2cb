package models

import (
	"context"

	"github.com/claviger/claviger/models/requestlog"
)

// KeyUsage reads what a key has used. Every request that was stored before the call is in it.
func (s *Store) KeyUsage(ctx context.Context, keyID int64) (requestlog.KeyUsage, error) {
	return s.requests.keyUsage(ctx, keyID, s.Now().Unix()/60)
}
