package gate

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/claviger/claviger/models"
)

// keyCache holds the versions of keys that were read from the database, by the digest of their secret. It is a
// [cache] for a million keys: entries have no pointers, so the garbage collector does not scan them, and invalidating
// a key takes the same time however many there are.
type keyCache struct {
	load      func(context.Context, models.Digest) (*models.GateKey, error)
	meters    *meters
	staleness *stalenessPolicy
	limit     int // for each shard: the most entries, and the most unknown digests

	changes generations
	flights singleflight.Group
	shard   [shards]keyCacheShard

	hits, misses atomic.Uint64
}

type keyCacheShard struct {
	mu      sync.RWMutex
	index   index // by the first bytes of a digest
	entries *slab[entry]
	texts   internTable
	unknown map[models.Digest]absence
}

// maxInterned bounds the texts in the intern table of a shard, which also holds those that no entry refers to any more.
// A shard with more texts is cleared.
const maxInterned = 50_000

// absence is the result that no key has a digest.
type absence struct {
	readAt  int64  // moment at which the look-up began
	changes uint64 // generations.all when it began
}

// knownKey is a key and a hint at its meter: nil if the meter is not in memory. A meter that was evicted since serves
// another key or none, see [meters.lockHint].
type knownKey struct {
	models.GateKey
	meter *meter
}

// newKeyCache returns a cache of at most about limit keys. load reads a key from the database, nil if there is none.
func newKeyCache(
	limit int, staleness *stalenessPolicy, m *meters,
	load func(context.Context, models.Digest) (*models.GateKey, error),
) *keyCache {
	// Digests do not spread evenly over the shards: without 5% of room, keys would be evicted before the limit is
	// reached.
	c := &keyCache{load: load, meters: m, staleness: staleness, limit: max(1, limit/shards+limit/shards/20)}
	for i := range c.shard {
		c.shard[i].clear()
	}
	return c
}

// clear removes all entries.
func (s *keyCacheShard) clear() {
	s.index, s.entries, s.texts, s.unknown = index{}, new(slab[entry]), newInternTable(), map[models.Digest]absence{}
}

// get returns the key of the digest; found is false if there is none. If the database does not answer, it returns the
// key in memory even if that is stale, or the database's error if there is none.
func (c *keyCache) get(ctx context.Context, digest models.Digest) (key knownKey, found bool, err error) {
	shard := c.shardOf(digest)
	key, state := c.lookup(shard, digest)
	switch state {
	case hit:
		c.hits.Add(1)
		return key, true, nil
	case hitUnknown:
		c.hits.Add(1)
		return key, false, nil
	}
	if state == stale && !c.staleness.mayQuery() { // the database is away: a stale answer is better than none
		return key, true, nil
	}
	c.misses.Add(1)
	loaded, err := c.read(ctx, shard, digest, state == stale)
	if err != nil && state == stale {
		return key, true, nil
	}
	if err != nil || loaded == nil {
		return knownKey{}, false, err
	}
	return knownKey{GateKey: *loaded}, true, nil
}

// has reports whether a key of the digest is in memory, stale ones included.
func (c *keyCache) has(digest models.Digest) bool {
	shard := c.shardOf(digest)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	i, _ := shard.index.get(prefix(digest))
	return i != 0 && shard.entries.at(i).rest == restOf(digest)
}

// shardOf returns the shard of a digest. Digests are as good as random, so one of their bytes spreads them.
func (c *keyCache) shardOf(digest models.Digest) *keyCacheShard { return &c.shard[digest[8]%shards] }

type lookState int

const (
	miss       lookState = iota
	hit                  // in memory and fresh
	stale                // in memory, but it may have changed
	hitUnknown           // no key has the digest
)

// lookup returns what memory has for a digest. key is set if state is hit or stale.
func (c *keyCache) lookup(shard *keyCacheShard, digest models.Digest) (key knownKey, state lookState) {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if i, place := shard.index.get(prefix(digest)); i != 0 {
		// The meter's key is loaded before it is needed, so that the processor fetches meter and entry at the same
		// time.
		meter := c.meters.at(place)
		meterOf := meter.keyID.Load()
		e := shard.entries.at(i)
		if e.rest == restOf(digest) {
			if e.changes != c.changes.of(e.projectID, e.keyID) {
				return key, miss // it has changed
			}
			if key.GateKey = e.key(&shard.texts); meterOf == e.keyID {
				key.meter = meter
			}
			if c.staleness.fresh(e.readAt) {
				return key, hit
			}
			return key, stale
		}
	}
	absent, unknown := shard.unknown[digest]
	if unknown && absent.changes == c.changes.all.Load() && c.staleness.fresh(absent.readAt) &&
		c.staleness.moment()-absent.readAt < unknownFor.Milliseconds() {
		return key, hitUnknown
	}
	return key, miss
}

// read looks a key up in the database; concurrent calls for one digest share one look-up. A look-up that was under way
// during a change may have read the old state: its result is not kept, and calls after the change do not wait for it.
// known says whether a stale entry is in memory.
func (c *keyCache) read(
	ctx context.Context, shard *keyCacheShard, digest models.Digest, known bool,
) (*models.GateKey, error) {
	changes := c.changes.all.Load()
	loaded, err, _ := c.flights.Do(string(digest[:])+strconv.FormatUint(changes, 36), func() (any, error) {
		// Another look-up may have ended since this caller looked into memory.
		if key, state := c.lookup(shard, digest); state == hit {
			return &key.GateKey, nil
		} else if state == hitUnknown {
			return (*models.GateKey)(nil), nil
		}
		// One caller loads for all, so its cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.staleness.timeout(known))
		defer cancel()
		readAt := c.staleness.moment()
		key, err := c.load(ctx, digest)
		c.staleness.queryDone(err)
		if err == nil {
			c.keep(shard, digest, key, readAt, changes)
		}
		return key, err
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*models.GateKey), nil
}

// keep puts the result of a look-up into memory, unless something has changed since it began: changes is
// generations.all at that time.
func (c *keyCache) keep(shard *keyCacheShard, digest models.Digest, key *models.GateKey, readAt int64, changes uint64) {
	var meter uint32
	if key != nil {
		meter = c.meters.placeOf(key.KeyID)
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// The key's own count is read before that of all changes, which a change raises first. So if count includes a
	// change that came after the look-up began, the comparison below fails.
	var count uint32
	if key != nil {
		count = c.changes.of(key.ProjectID, key.KeyID)
	}
	if c.changes.all.Load() != changes {
		return
	}
	i, _ := shard.index.get(prefix(digest))
	if key == nil {
		if i != 0 {
			shard.drop(prefix(digest), i)
		}
		makeRoom(shard.unknown, c.limit, digest)
		shard.unknown[digest] = absence{readAt, changes}
		return
	}
	delete(shard.unknown, digest)
	if len(shard.texts.texts) > maxInterned {
		shard.clear()
		i = 0
	}
	// An existing entry is that of the same digest. (Two digests with the same first 8 bytes would replace each other,
	// which is correct, and too rare to matter.)
	if i == 0 {
		i = shard.room(c.limit)
	}
	shard.index.put(prefix(digest), i, meter)
	*shard.entries.at(i) = newEntry(digest, key, readAt, count, &shard.texts)
}

// prefix returns the number of a digest in the index: its first 8 bytes.
func prefix(digest models.Digest) uint64 { return binary.LittleEndian.Uint64(digest[:8]) }

// room returns a place for an entry. If the shard is full, another entry is evicted.
func (s *keyCacheShard) room(limit int) uint32 {
	if s.index.used >= limit {
		s.drop(s.index.next())
	}
	return s.entries.alloc()
}

// drop removes the entry with prefix p at place.
func (s *keyCacheShard) drop(p uint64, place uint32) {
	s.index.drop(p)
	s.entries.release(place)
}

// size returns the number of versions in memory.
func (c *keyCache) size() (n int) {
	for i := range c.shard {
		c.shard[i].mu.RLock()
		n += c.shard[i].index.used
		c.shard[i].mu.RUnlock()
	}
	return n
}

// generations counts the changes of keys and projects. An entry is valid while the counts of its key and its project
// are as they were when it was read. Keys share counts, so a change may cause a few more reads than needed.
type generations struct {
	all     atomic.Uint64
	key     [1 << 14]atomic.Uint32
	project [1 << 8]atomic.Uint32
}

// of returns a number that each change of the key or the project increases. It is the sum of two counts that only grow.
func (g *generations) of(projectID, keyID int64) uint32 {
	return g.key[uint64(keyID)%uint64(len(g.key))].Load() + g.project[uint64(projectID)%uint64(len(g.project))].Load()
}

func (g *generations) keyChanged(keyID int64) {
	g.all.Add(1)
	g.key[uint64(keyID)%uint64(len(g.key))].Add(1)
}

func (g *generations) projectChanged(projectID int64) {
	g.all.Add(1)
	g.project[uint64(projectID)%uint64(len(g.project))].Add(1)
}

func (g *generations) everythingChanged() {
	g.all.Add(1)
	for i := range g.project {
		g.project[i].Add(1)
	}
}
