package gate

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// tokenUseInterval is the least time between two writes of a token's last use.
	tokenUseInterval = time.Minute
	// maxWaitingUses bounds the uses that wait to be written.
	maxWaitingUses = 1024
)

// gateToken is a service token with the time of its last use that was written or queued.
type gateToken struct {
	models.ServiceToken
	reported atomic.Int64 // milliseconds since 1970; 0 is never
}

// loadToken returns the load function of the cache of tokens. find reads a token from the database.
func loadToken(
	find func(context.Context, models.Digest) (*models.ServiceToken, error),
) func(context.Context, models.Digest) (*gateToken, error) {
	return func(ctx context.Context, digest models.Digest) (*gateToken, error) {
		found, err := find(ctx, digest)
		if err != nil || found == nil {
			return nil, err
		}
		token := &gateToken{ServiceToken: *found}
		if found.LastUsedAt != nil {
			token.reported.Store(found.LastUsedAt.UnixMilli())
		}
		return token, nil
	}
}

// tokenUses writes the times at which service tokens were last used to the database, in the background.
type tokenUses struct {
	write func(ctx context.Context, tokenID int64, at time.Time) error
	queue chan tokenUse
	*worker
}

type tokenUse struct {
	token *gateToken
	at    time.Time
}

func newTokenUses(write func(ctx context.Context, tokenID int64, at time.Time) error, log *slog.Logger) *tokenUses {
	u := &tokenUses{
		write: write, queue: make(chan tokenUse, maxWaitingUses),
		worker: newWorker("write the last uses of service tokens", 0, log),
	}
	u.start(func() error { return drainQueue(u.queue, u.store) })
	return u
}

// note queues a use of the token, at most one in tokenUseInterval. It never waits.
func (u *tokenUses) note(token *gateToken, at time.Time) {
	before := token.reported.Load()
	if at.UnixMilli()-before < tokenUseInterval.Milliseconds() ||
		!token.reported.CompareAndSwap(before, at.UnixMilli()) {
		return
	}
	select {
	case u.queue <- tokenUse{token: token, at: at.UTC().Truncate(time.Millisecond)}:
		u.wake()
	default:
		token.reported.Store(before) // the queue is full: the next request tries again
	}
}

// store writes a use. It tries once: if that fails, the next use is written a minute later.
func (u *tokenUses) store(use tokenUse) error {
	if err := withTimeout(func(ctx context.Context) error { return u.write(ctx, use.token.ID, use.at) }); err != nil {
		return fmt.Errorf("write the last use of service token %d: %w", use.token.ID, err)
	}
	return nil
}
