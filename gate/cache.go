package gate

import (
	"context"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	shards = 64
	// unknownFor is how long "there is no such thing" is believed without asking again.
	unknownFor = 2 * time.Second
	// loadTimeout ends a look-up that the database does not answer.
	loadTimeout = 5 * time.Second
)

// cache keeps what was read from the database by its name K. A hit takes the read lock of one shard; a miss is one
// look-up, however many ask at once. Values are shared and must not be changed.
type cache[K comparable, V any] struct {
	load   func(context.Context, K) (*V, error) // nil value: there is none
	text   func(K) string
	now    func() time.Time
	limit  int           // entries for each shard, of known and of unknown names apart
	maxAge time.Duration // after which a known value is read again; 0 is never
	// unknownFor is how long "there is no such thing" is believed: no longer than a known value is, so that what another
	// process makes is seen as soon as what it changes.
	unknownFor time.Duration

	// epoch grows with every forget. A look-up that was under way at the time may have read what was before the
	// change: its result is not kept, and nobody who asks after the change waits for it.
	epoch   atomic.Uint64
	flights singleflight.Group
	seed    maphash.Seed
	shard   [shards]cacheShard[K, V]

	hits, misses atomic.Uint64
}

type cacheShard[K comparable, V any] struct {
	mu      sync.RWMutex
	known   map[K]cached[V]
	unknown map[K]time.Time // until when
}

type cached[V any] struct {
	value *V
	until time.Time // zero: for good
}

// newCache makes a cache of at most about limit entries.
func newCache[K comparable, V any](limit int, maxAge time.Duration, now func() time.Time,
	text func(K) string, load func(context.Context, K) (*V, error)) *cache[K, V] {
	c := &cache[K, V]{
		load: load, text: text, now: now, limit: max(1, limit/shards), maxAge: maxAge, unknownFor: unknownFor, seed: maphash.MakeSeed(),
	}
	if maxAge > 0 {
		c.unknownFor = min(unknownFor, maxAge)
	}
	for i := range c.shard {
		c.shard[i].known, c.shard[i].unknown = map[K]cached[V]{}, map[K]time.Time{}
	}
	return c
}

// get gives the value of k, nil where there is none.
func (c *cache[K, V]) get(ctx context.Context, k K) (*V, error) {
	shard := &c.shard[maphash.Comparable(c.seed, k)%shards]
	if value, found := shard.get(k, c.now); found {
		c.hits.Add(1)
		return value, nil
	}
	c.misses.Add(1)
	epoch := c.epoch.Load()
	loaded, err, _ := c.flights.Do(c.text(k)+"@"+strconv.FormatUint(epoch, 36), func() (any, error) {
		// One caller loads for all: its own cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		value, err := c.load(ctx, k)
		if err == nil {
			c.keep(shard, k, value, epoch)
		}
		return value, err
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*V), nil
}

func (s *cacheShard[K, V]) get(k K, now func() time.Time) (value *V, found bool) {
	s.mu.RLock()
	entry, known := s.known[k]
	until, unknown := s.unknown[k]
	s.mu.RUnlock()
	if known {
		return entry.value, entry.until.IsZero() || now().Before(entry.until)
	}
	return nil, unknown && now().Before(until)
}

func (c *cache[K, V]) keep(shard *cacheShard[K, V], k K, value *V, epoch uint64) {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if c.epoch.Load() != epoch {
		return
	}
	if value == nil {
		makeRoom(shard.unknown, c.limit)
		shard.unknown[k] = c.now().Add(c.unknownFor)
		return
	}
	delete(shard.unknown, k)
	makeRoom(shard.known, c.limit)
	entry := cached[V]{value: value}
	if c.maxAge > 0 {
		entry.until = c.now().Add(c.maxAge)
	}
	shard.known[k] = entry
}

// makeRoom drops an arbitrary entry where m is full. Which one does not matter for what is answered, only for how soon.
func makeRoom[K comparable, V any](m map[K]V, limit int) {
	for k := range m {
		if len(m) < limit {
			return
		}
		delete(m, k)
	}
}

// forget drops the known values that match, and all that is believed unknown. From its return on, get answers by what
// the database held at the call or later.
func (c *cache[K, V]) forget(match func(*V) bool) {
	c.epoch.Add(1)
	for i := range c.shard {
		shard := &c.shard[i]
		shard.mu.Lock()
		for k, entry := range shard.known {
			if match(entry.value) {
				delete(shard.known, k)
			}
		}
		clear(shard.unknown)
		shard.mu.Unlock()
	}
}
