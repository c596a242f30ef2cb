package gate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// ledger notes which uses are written, and can be held up.
type ledger struct {
	mu     sync.Mutex
	uses   []time.Time
	err    error
	before func()
}

func (l *ledger) write(_ context.Context, _ int64, at time.Time) error {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses = append(l.uses, at)
	return l.err
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.uses)
}

func TestAUsedTokenIsWrittenDownOnceAMinute(t *testing.T) {
	ledger, token, now := &ledger{}, &gateToken{}, time.Unix(1_000_000, 0)
	u := newTokenUses(ledger.write, slog.New(slog.DiscardHandler))
	for second := range 150 {
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { u.note(token, now.Add(time.Duration(second)*time.Second)) })
		}
		group.Wait()
	}
	if err := u.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(ledger.uses) != 3 || !ledger.uses[2].Equal(now.Add(2*time.Minute)) {
		t.Errorf("150 seconds of use were written as %v", ledger.uses)
	}
	if err := u.close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATokenThatWasUsedAMomentAgoIsNotWrittenAgainAfterItIsRead(t *testing.T) {
	used := time.Unix(1_000_000, 0)
	load := loadToken(func(context.Context, models.Digest) (*models.ServiceToken, error) {
		return &models.ServiceToken{LastUsedAt: &used}, nil
	})
	token, err := load(t.Context(), models.Digest{})
	if err != nil {
		t.Fatal(err)
	}
	ledger := &ledger{}
	u := newTokenUses(ledger.write, slog.New(slog.DiscardHandler))
	u.note(token, used.Add(59*time.Second))
	u.note(token, used.Add(60*time.Second))
	if err := u.close(t.Context()); err != nil { // which writes what waits
		t.Fatal(err)
	}
	if len(ledger.uses) != 1 || !ledger.uses[0].Equal(used.Add(time.Minute)) {
		t.Errorf("written: %v", ledger.uses)
	}
}

func TestNotingAUseWaitsForNobody(t *testing.T) {
	hold := make(chan struct{})
	ledger := &ledger{before: func() { <-hold }, err: errors.New("the database is away")}
	u := newTokenUses(ledger.write, slog.New(slog.DiscardHandler))
	now := time.Unix(1_000_000, 0)
	last := &gateToken{}
	for range 2 * maxWaitingUses {
		u.note(&gateToken{}, now)
	}
	u.note(last, now)
	close(hold)
	if err := u.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := ledger.count()
	u.note(last, now.Add(time.Second)) // there was no room for it before
	if err := u.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := ledger.count(); n != before+1 || before > maxWaitingUses+1 {
		t.Errorf("%d uses were written, then %d", before, n-before)
	}
}
