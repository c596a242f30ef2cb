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

// useTable keeps the uses that are written. Tests can delay its writes and make them fail.
type useTable struct {
	mu     sync.Mutex
	uses   []time.Time
	err    error
	before func()
}

func (l *useTable) write(_ context.Context, _ int64, at time.Time) error {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses = append(l.uses, at)
	return l.err
}

func (l *useTable) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.uses)
}

func TestAUseOfATokenIsWrittenOnceAMinute(t *testing.T) {
	table, token, now := &useTable{}, &gateToken{}, time.Unix(1_000_000, 0)
	u := newTokenUses(table.write, slog.New(slog.DiscardHandler))
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
	if len(table.uses) != 3 || !table.uses[2].Equal(now.Add(2*time.Minute)) {
		t.Errorf("150 seconds of use were written as %v, want 3 writes, a minute apart", table.uses)
	}
	if err := u.close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAFreshlyReadTokenIsNotWrittenWithinAMinuteOfItsLastUse(t *testing.T) {
	used := time.Unix(1_000_000, 0)
	load := loadToken(func(context.Context, models.Digest) (*models.ServiceToken, error) {
		return &models.ServiceToken{LastUsedAt: &used}, nil
	})
	token, err := load(t.Context(), models.Digest{})
	if err != nil {
		t.Fatal(err)
	}
	table := &useTable{}
	u := newTokenUses(table.write, slog.New(slog.DiscardHandler))
	u.note(token, used.Add(59*time.Second))
	u.note(token, used.Add(60*time.Second))
	if err := u.close(t.Context()); err != nil { // close writes what is queued
		t.Fatal(err)
	}
	if len(table.uses) != 1 || !table.uses[0].Equal(used.Add(time.Minute)) {
		t.Errorf("written: %v, want one use, a minute after the last one", table.uses)
	}
}

func TestNotingAUseNeverWaits(t *testing.T) {
	hold := make(chan struct{})
	table := &useTable{before: func() { <-hold }, err: errors.New("the database is away")}
	u := newTokenUses(table.write, slog.New(slog.DiscardHandler))
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
	before := table.count()
	u.note(last, now.Add(time.Second)) // the queue was full before, so its use was not noted
	if err := u.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := table.count(); n != before+1 || before > maxWaitingUses+1 {
		t.Errorf("%d uses were written, want at most %d; then %d, want 1", before, maxWaitingUses+1, n-before)
	}
}
