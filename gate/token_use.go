package gate

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// useEvery is how often a token's last use is written down at most.
	useEvery = time.Minute
	// maxUses bounds the memory of uses that wait to be written.
	maxUses = 1024
)

// gateToken is a service token with the moment its last use was written down.
type gateToken struct {
	models.ServiceToken
	reported atomic.Int64 // milliseconds since 1970; 0 is never
}

// loadToken makes gateTokens of what find reads.
func loadToken(find func(context.Context, models.Digest) (*models.ServiceToken, error)) func(context.Context, models.Digest) (*gateToken, error) {
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

// tokenUses writes down when service tokens were last used, in the background.
type tokenUses struct {
	write func(ctx context.Context, tokenID int64, at time.Time) error
	log   *slog.Logger
	queue chan tokenUse
	end   chan struct{} // closed at close: write what waits, then end
	done  chan struct{} // closed when the loop has ended
}

// tokenUse is a use to write, or where flushed is set a question whether all before it are written.
type tokenUse struct {
	token   *gateToken
	at      time.Time
	flushed chan<- struct{}
}

func newTokenUses(write func(ctx context.Context, tokenID int64, at time.Time) error, log *slog.Logger) *tokenUses {
	u := &tokenUses{write: write, log: log, queue: make(chan tokenUse, maxUses), end: make(chan struct{}), done: make(chan struct{})}
	go u.run()
	return u
}

// note takes down that the token was used. It never waits, and of many requests within a minute one costs a write.
func (u *tokenUses) note(token *gateToken, at time.Time) {
	before := token.reported.Load()
	if at.UnixMilli()-before < useEvery.Milliseconds() || !token.reported.CompareAndSwap(before, at.UnixMilli()) {
		return
	}
	select {
	case u.queue <- tokenUse{token: token, at: at.UTC().Truncate(time.Millisecond)}:
	default:
		token.reported.Store(before) // there is no room: the next request tries again
	}
}

func (u *tokenUses) run() {
	defer close(u.done)
	for {
		select {
		case use := <-u.queue:
			u.store(use)
			continue
		default:
		}
		select {
		case use := <-u.queue:
			u.store(use)
		case <-u.end:
			return
		}
	}
}

// store tries once: a use that cannot be written is told of again a minute later.
func (u *tokenUses) store(use tokenUse) {
	if use.flushed != nil {
		close(use.flushed)
		return
	}
	if err := once(func(ctx context.Context) error { return u.write(ctx, use.token.ID, use.at) }); err != nil {
		u.log.Error("the last use of a service token could not be written", "token", use.token.ID, "error", err)
	}
}

// flush returns when every use that was noted before the call was written.
func (u *tokenUses) flush(ctx context.Context) error {
	return flushed(ctx, u.queue, func(answered chan<- struct{}) tokenUse { return tokenUse{flushed: answered} })
}

// close writes what waits and ends the loop. Call it once.
func (u *tokenUses) close(ctx context.Context) error {
	close(u.end)
	return ended(ctx, u.done)
}
