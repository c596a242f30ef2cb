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
	// loadTimeout ends a look-up that the database does not answer, of something that is not known from before.
	loadTimeout = 5 * time.Second
)

// cache keeps what was read from the database by its name K. A hit takes the read lock of one shard; a miss is one
// look-up, however many ask at once. Values are shared and must not be changed.
type cache[K comparable, V any] struct {
	load      func(context.Context, K) (*V, error) // nil value: there is none
	text      func(K) string
	limit     int // entries for each shard, of known and of unknown names apart
	staleness *stalenessPolicy

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
	unknown map[K]int64 // moments at which their look-ups began
}

type cached[V any] struct {
	value  *V
	readAt int64 // the moment at which the look-up began
}

// newCache makes a cache of at most about limit entries.
func newCache[K comparable, V any](limit int, trust *stalenessPolicy, text func(K) string, load func(context.Context, K) (*V, error)) *cache[K, V] {
	c := &cache[K, V]{load: load, text: text, limit: max(1, limit/shards), staleness: trust, seed: maphash.MakeSeed()}
	for i := range c.shard {
		c.shard[i].known, c.shard[i].unknown = map[K]cached[V]{}, map[K]int64{}
	}
	return c
}

// get gives the value of k, nil where there is none. Where the database cannot be asked, what was known is still given.
func (c *cache[K, V]) get(ctx context.Context, k K) (*V, error) {
	shard := &c.shard[maphash.Comparable(c.seed, k)%shards]
	value, fresh := c.look(shard, k)
	if fresh || value != nil && !c.staleness.mayAsk() {
		c.hits.Add(1)
		return value, nil
	}
	c.misses.Add(1)
	epoch := c.epoch.Load()
	loaded, err, _ := c.flights.Do(c.text(k)+"@"+strconv.FormatUint(epoch, 36), func() (any, error) {
		if value, fresh := c.look(shard, k); fresh { // the look-up that this one just missed to wait for
			return value, nil
		}
		// One caller loads for all: its own cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.staleness.timeout(value != nil))
		defer cancel()
		readAt := c.staleness.moment()
		value, err := c.load(ctx, k)
		c.staleness.asked(err)
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

// look gives what is known of k, and whether it may be believed without asking: also that there is none.
func (c *cache[K, V]) look(shard *cacheShard[K, V], k K) (value *V, fresh bool) {
	shard.mu.RLock()
	entry, known := shard.known[k]
	unknownAt, unknown := shard.unknown[k]
	shard.mu.RUnlock()
	if known {
		return entry.value, c.staleness.fresh(entry.readAt)
	}
	return nil, unknown && c.staleness.fresh(unknownAt) && c.staleness.moment()-unknownAt < unknownFor.Milliseconds()
}

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

// makeRoom drops an arbitrary entry where m is full and has none of the name. Which one does not matter for what is answered,
// only for how soon.
func makeRoom[K comparable, V any](m map[K]V, limit int, name K) {
	if _, there := m[name]; there {
		return
	}
	for k := range m {
		if len(m) < limit {
			return
		}
		delete(m, k)
	}
}

// forget drops the known values that match, and all that is believed unknown. From its return on, get answers by what
// the database held at the call or later.
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
