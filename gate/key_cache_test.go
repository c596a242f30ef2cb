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

// digestOf is a digest as random as real ones are.
func digestOf(number uint64) (digest models.Digest) {
	random := rand.New(rand.NewPCG(number, 1))
	for i := 0; i < len(digest); i += 8 {
		binary.LittleEndian.PutUint64(digest[i:], random.Uint64())
	}
	return digest
}

// keyTable knows a key for each even number, and counts look-ups.
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

func TestTheDirectoryKeepsNoMoreKeysThanItMay(t *testing.T) {
	const limit = 256
	table := newKeyTable()
	c := newKeyCache(limit, alone(), metersOf(2*limit, nil), table.load)
	for number := range uint64(4000) {
		key, found, err := c.get(t.Context(), digestOf(number))
		if err != nil || found != (number%2 == 0) || found && key.KeyID != int64(number) {
			t.Fatalf("key %c: %v %v %v", number, key, found, err)
		}
	}
	// Shards are filled unevenly: each has some room of its own.
	if n := c.size(); n > limit+limit/20+2*shards {
		t.Errorf("%c keys are in memory, may be %c", n, limit)
	}
	unknown := 0
	for i := range c.shard {
		unknown += len(c.shard[i].unknown)
	}
	if unknown > limit+limit/20+2*shards {
		t.Errorf("%c unknown digests are in memory", unknown)
	}
	if key, found, err := c.get(t.Context(), digestOf(0)); err != nil || !found || key.KeyID != 0 { // thrown out, and read again
		t.Errorf("%v %v %v", key, found, err)
	}
}

func TestAnUnknownDigestIsRememberedForTwoSeconds(t *testing.T) {
	clock := &moment{time.Unix(1_000_000, 0)}
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
			t.Errorf("%v later it was looked up %c times, want %c", step.after, n, step.loads)
		}
	}
}

func TestManyWhoAskForAKeyAtOnceLookItUpOnce(t *testing.T) {
	hold := make(chan struct{})
	table := newKeyTable()
	table.before = func() { <-hold }
	c := newKeyCache(1000, alone(), metersOf(1000, nil), table.load)
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			if key, found, err := c.get(t.Context(), digestOf(2)); !found || err != nil || key.KeyID != 2 {
				t.Errorf("%v %v %v", key, found, err)
			}
		})
	}
	for c.misses.Load() < 64 { // all have missed and are on their way to the look-up
		runtime.Gosched()
	}
	close(hold)
	group.Wait()
	if n := table.loads.Load(); n != 1 {
		t.Errorf("64 callers looked the key up %c times", n)
	}
}

// What was read before a change must not be believed after it, also where the change comes while what was read is being kept.
func TestAChangeWhileAKeyIsBeingKeptHoldsForTheNextRequest(t *testing.T) {
	for round := range 500 {
		var revoked atomic.Bool
		read := make(chan struct{}, 1)
		c := newKeyCache(1000, alone(), metersOf(1000, nil), func(context.Context, models.Digest) (*models.GateKey, error) {
			key := &models.GateKey{ProjectID: 1, KeyID: 7, State: models.StateActive}
			if revoked.Load() {
				key.State = models.StateRevoked
			}
			select {
			case read <- struct{}{}:
			default:
			}
			return key, nil
		})
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
			t.Fatalf("round %c: the key is %s (%v)", round, key.State, err)
		}
	}
}
