package gate

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// digestOf returns a digest that is as random as real ones.
func digestOf(number uint64) (digest models.Digest) {
	random := rand.New(rand.NewPCG(number, 1))
	for i := 0; i < len(digest); i += 8 {
		binary.LittleEndian.PutUint64(digest[i:], random.Uint64())
	}
	return digest
}

// keyTable has a key for each even number, and counts look-ups.
type keyTable struct {
	keys   map[models.Digest]int64
	loads  atomic.Int64
	before func()
}

func (k *keyTable) load(_ context.Context, digest models.Digest) (*models.GateKey, error) {
	k.loads.Add(1)
	if k.before != nil {
		k.before()
	}
	if id, known := k.keys[digest]; known {
		return &models.GateKey{ProjectID: 1, KeyID: id, State: models.StateActive}, nil
	}
	return nil, nil
}

func newKeyTable() *keyTable {
	table := &keyTable{keys: map[models.Digest]int64{}}
	for number := uint64(0); number < 4000; number += 2 {
		table.keys[digestOf(number)] = int64(number)
	}
	return table
}

func TestTheKeyCacheIsBounded(t *testing.T) {
	const limit = 256
	table := newKeyTable()
	c := newKeyCache(limit, unsharedPolicy(), metersOf(2*limit, nil), table.load)
	for number := range uint64(4000) {
		key, found, err := c.get(t.Context(), digestOf(number))
		if err != nil || found != (number%2 == 0) || found && key.KeyID != int64(number) {
			t.Fatalf("key %d: %v %v %v", number, key, found, err)
		}
	}
	// Shards fill unevenly, so each has some room of its own.
	if n := c.size(); n > limit+limit/20+2*shards {
		t.Errorf("%d keys are in memory, want about %d at most", n, limit)
	}
	unknown := 0
	for i := range c.shard {
		unknown += len(c.shard[i].unknown)
	}
	if unknown > limit+limit/20+2*shards {
		t.Errorf("%d unknown digests are in memory, want about 256 at most", unknown)
	}
	// This key was evicted, and is read again.
	if key, found, err := c.get(t.Context(), digestOf(0)); err != nil || !found || key.KeyID != 0 {
		t.Errorf("%v %v %v", key, found, err)
	}
}

func TestAnUnknownDigestIsCachedForTwoSeconds(t *testing.T) {
	clock := &fakeClock{time.Unix(1_000_000, 0)}
	table := newKeyTable()
	c := newKeyCache(1000, newStalenessPolicy(false, clock.now), metersOf(1000, nil), table.load)
	for _, step := range []struct {
		after time.Duration
		loads int64
	}{{0, 1}, {time.Second, 1}, {999 * time.Millisecond, 1}, {time.Millisecond, 2}} {
		clock.at = clock.at.Add(step.after)
		if _, found, err := c.get(t.Context(), digestOf(1)); found || err != nil {
			t.Fatal(found, err)
		}
		if n := table.loads.Load(); n != step.loads {
			t.Errorf("%v later it was looked up %d times, want %d", step.after, n, step.loads)
		}
	}
}

func TestConcurrentLookUpsOfAKeyShareOneRead(t *testing.T) {
	hold := make(chan struct{})
	table := newKeyTable()
	table.before = func() { <-hold }
	c := newKeyCache(1000, unsharedPolicy(), metersOf(1000, nil), table.load)
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			if key, found, err := c.get(t.Context(), digestOf(2)); !found || err != nil || key.KeyID != 2 {
				t.Errorf("%v %v %v", key, found, err)
			}
		})
	}
	for c.misses.Load() < 64 { // until all have missed and are about to look the key up
		runtime.Gosched()
	}
	close(hold)
	group.Wait()
	if n := table.loads.Load(); n != 1 {
		t.Errorf("64 callers made %d look-ups, want 1", n)
	}
}

// A read from before a change must not be used after it, even if the change comes while the result is being cached.
func TestAChangeWhileAKeyIsBeingCachedTakesEffect(t *testing.T) {
	for round := range 500 {
		var revoked atomic.Bool
		read := make(chan struct{}, 1)
		load := func(context.Context, models.Digest) (*models.GateKey, error) {
			key := &models.GateKey{ProjectID: 1, KeyID: 7, State: models.StateActive}
			if revoked.Load() {
				key.State = models.StateRevoked
			}
			select {
			case read <- struct{}{}:
			default:
			}
			return key, nil
		}
		c := newKeyCache(1000, unsharedPolicy(), metersOf(1000, nil), load)
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := c.get(t.Context(), digestOf(7)); err != nil {
				t.Error(err)
			}
		})
		<-read
		revoked.Store(true)
		c.changes.keyChanged(7)
		group.Wait()
		if key, _, err := c.get(t.Context(), digestOf(7)); err != nil || key.State != models.StateRevoked {
			t.Fatalf("round %d: the key is %s (%v), want revoked", round, key.State, err)
		}
	}
}
