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
	// unknownFor is how long the result that a name is unknown is used.
	unknownFor = 2 * time.Second
	// loadTimeout is the time limit of a look-up if no earlier result is in memory.
	loadTimeout = 5 * time.Second
)

// cache holds values that were read from the database, by their name K. A hit takes the read lock of one shard.
// Concurrent misses of one name share one look-up. Values are shared and must not be changed.
type cache[K comparable, V any] struct {
	load      func(context.Context, K) (*V, error) // nil value: the name is unknown
	text      func(K) string
	limit     int // for each shard: the most values, and the most unknown names
	staleness *stalenessPolicy

	// epoch grows with every invalidate. A look-up that was under way then may have read the state before the change:
	// its result is not kept, and later calls of get do not wait for it.
	epoch   atomic.Uint64
	flights singleflight.Group
	seed    maphash.Seed
	shard   [shards]cacheShard[K, V]

	hits, misses atomic.Uint64
}

type cacheShard[K comparable, V any] struct {
	mu      sync.RWMutex
	known   map[K]cached[V]
	unknown map[K]int64 // moment at which the look-up began
}

type cached[V any] struct {
	value  *V
	readAt int64 // moment at which the look-up began
}

// newCache returns a cache of at most about limit values, and as many unknown names. load reads a value from the
// database, nil if the name is unknown. text returns a different text for each name.
func newCache[K comparable, V any](
	limit int, staleness *stalenessPolicy, text func(K) string, load func(context.Context, K) (*V, error),
) *cache[K, V] {
	c := &cache[K, V]{
		load:      load,
		text:      text,
		limit:     max(1, limit/shards),
		staleness: staleness,
		seed:      maphash.MakeSeed(),
	}
	for i := range c.shard {
		c.shard[i].known, c.shard[i].unknown = map[K]cached[V]{}, map[K]int64{}
	}
	return c
}

// get returns the value of k, nil if k is unknown. If the database does not answer, it returns the value in memory even
// if that is stale, or the database's error if there is none.
func (c *cache[K, V]) get(ctx context.Context, k K) (*V, error) {
	shard := &c.shard[maphash.Comparable(c.seed, k)%shards]
	value, fresh := c.lookup(shard, k)
	if fresh || value != nil && !c.staleness.mayQuery() {
		c.hits.Add(1)
		return value, nil
	}
	c.misses.Add(1)
	epoch := c.epoch.Load()
	loaded, err, _ := c.flights.Do(c.text(k)+"@"+strconv.FormatUint(epoch, 36), func() (any, error) {
		if value, fresh := c.lookup(shard, k); fresh { // a look-up ended just before this one began
			return value, nil
		}
		// One caller loads for all, so its cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.staleness.timeout(value != nil))
		defer cancel()
		readAt := c.staleness.moment()
		value, err := c.load(ctx, k)
		c.staleness.queryDone(err)
		if err == nil {
			c.keep(shard, k, value, readAt, epoch)
		}
		return value, err
	})
	if err != nil {
		if value != nil {
			return value, nil
		}
		return nil, err
	}
	return loaded.(*V), nil
}

// lookup returns the value of k in memory, nil if there is none or k is known to be unknown, and whether that result is
// fresh.
func (c *cache[K, V]) lookup(shard *cacheShard[K, V], k K) (value *V, fresh bool) {
	shard.mu.RLock()
	entry, known := shard.known[k]
	unknownAt, unknown := shard.unknown[k]
	shard.mu.RUnlock()
	if known {
		return entry.value, c.staleness.fresh(entry.readAt)
	}
	return nil, unknown && c.staleness.fresh(unknownAt) && c.staleness.moment()-unknownAt < unknownFor.Milliseconds()
}

// keep puts the result of a look-up into memory, unless invalidate was called since it began, which was in epoch.
func (c *cache[K, V]) keep(shard *cacheShard[K, V], k K, value *V, readAt int64, epoch uint64) {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if c.epoch.Load() != epoch {
		return
	}
	if value == nil {
		delete(shard.known, k)
		makeRoom(shard.unknown, c.limit, k)
		shard.unknown[k] = readAt
		return
	}
	delete(shard.unknown, k)
	makeRoom(shard.known, c.limit, k)
	shard.known[k] = cached[V]{value, readAt}
}

// makeRoom removes an arbitrary entry if m is full and does not have the name. Which one affects only the time of later
// calls, not their results.
func makeRoom[K comparable, V any](m map[K]V, limit int, name K) {
	if _, known := m[name]; known {
		return
	}
	for k := range m {
		if len(m) < limit {
			return
		}
		delete(m, k)
	}
}

// invalidate removes the values that match, and all unknown names. After it returns, get returns what the database held
// at the time of the call or later.
func (c *cache[K, V]) invalidate(match func(*V) bool) {
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
