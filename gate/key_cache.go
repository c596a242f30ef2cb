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

// directory keeps the versions of keys that were read from the database, by the digest of their secret. It does what
// [cache] does, for a million keys: an entry holds no pointer, so that the garbage collector has nothing to walk through,
// and forgetting one costs the same however many there are.
type keyCache struct {
	load      func(context.Context, models.Digest) (*models.GateKey, error)
	meters    *meters
	staleness *stalenessPolicy
	limit     int // entries for each shard, of known and of unknown digests apart

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

// maxWords bounds the texts that a shard remembers, those that keys do not have any more included. Beyond it the shard
// begins anew.
const maxInterned = 50_000

// absence says that no key had the digest.
type absence struct {
	readAt  int64
	changes uint64
}

// knownKey is a key and its meter: nil, or another key's by now, where that was thrown out of memory.
type knownKey struct {
	models.GateKey
	meter *meter
}

func newKeyCache(limit int, t *stalenessPolicy, m *meters, load func(context.Context, models.Digest) (*models.GateKey, error)) *keyCache {
	// Digests do not spread evenly: without some room in each shard, keys would be thrown out before the limit is reached.
	d := &keyCache{load: load, meters: m, staleness: t, limit: max(1, limit/shards+limit/shards/20)}
	for i := range d.shard {
		d.shard[i].clear()
	}
	return d
}

// clear forgets everything.
func (s *keyCacheShard) clear() {
	s.index, s.entries, s.texts, s.unknown = index{}, new(slab[entry]), newInternTable(), map[models.Digest]absence{}
}

// get gives the key of the digest; found is false where there is none.
func (d *keyCache) get(ctx context.Context, digest models.Digest) (key knownKey, found bool, err error) {
	shard := d.shardOf(digest)
	key, state := d.look(shard, digest)
	switch state {
	case hit:
		d.hits.Add(1)
		return key, true, nil
	case hitUnknown:
		d.hits.Add(1)
		return key, false, nil
	}
	if state == stale && !d.staleness.mayAsk() { // the database is away: better what was known than no answer
		return key, true, nil
	}
	d.misses.Add(1)
	loaded, err := d.read(ctx, shard, digest, state == stale)
	if err != nil && state == stale {
		return key, true, nil
	}
	if err != nil || loaded == nil {
		return knownKey{}, false, err
	}
	return knownKey{GateKey: *loaded}, true, nil
}

// has tells whether memory knows a key of the digest, as it is or as it was.
func (d *keyCache) has(digest models.Digest) bool {
	shard := d.shardOf(digest)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	i, _ := shard.index.get(prefix(digest))
	return i != 0 && shard.entries.at(i).rest == restOf(digest)
}

// shardOf is where a digest is. It is as good as random: its bytes spread over shards and within them.
func (d *keyCache) shardOf(digest models.Digest) *keyCacheShard { return &d.shard[digest[8]%shards] }

type lookState int

const (
	miss       lookState = iota
	hit                  // known, and nothing says that it changed
	stale                // known, and may have changed
	hitUnknown           // known to be unknown
)

func (d *keyCache) look(shard *keyCacheShard, digest models.Digest) (key knownKey, state lookState) {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if i, place := shard.index.get(prefix(digest)); i != 0 {
		// The meter's key is looked at before it is needed, so that memory brings the two at the same time.
		meter := d.meters.at(place)
		meterOf := meter.keyID.Load()
		e := shard.entries.at(i)
		if e.rest == restOf(digest) {
			if e.changes != d.changes.of(e.projectID, e.keyID) {
				return key, miss // it did change: what was known is wrong
			}
			if key.GateKey = e.key(&shard.texts); meterOf == e.keyID {
				key.meter = meter
			}
			if d.staleness.fresh(e.readAt) {
				return key, hit
			}
			return key, stale
		}
	}
	absent, unknown := shard.unknown[digest]
	if unknown && absent.changes == d.changes.all.Load() && d.staleness.fresh(absent.readAt) &&
		d.staleness.moment()-absent.readAt < unknownFor.Milliseconds() {
		return key, hitUnknown
	}
	return key, miss
}

// read asks the database, once however many ask at the same moment. A look-up that was under way while something changed may
// have read what was before: its result is not kept, and nobody who asks after the change waits for it.
func (d *keyCache) read(ctx context.Context, shard *keyCacheShard, digest models.Digest, known bool) (*models.GateKey, error) {
	changes := d.changes.all.Load()
	loaded, err, _ := d.flights.Do(string(digest[:])+strconv.FormatUint(changes, 36), func() (any, error) {
		// Another look-up may have ended between the look of this caller and its turn.
		if key, state := d.look(shard, digest); state == hit {
			return &key.GateKey, nil
		} else if state == hitUnknown {
			return (*models.GateKey)(nil), nil
		}
		// One caller loads for all: its own cancellation must not fail the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.staleness.timeout(known))
		defer cancel()
		readAt := d.staleness.moment()
		key, err := d.load(ctx, digest)
		d.staleness.asked(err)
		if err == nil {
			d.keep(shard, digest, key, readAt, changes)
		}
		return key, err
	})
	if err != nil {
		return nil, err
	}
	return loaded.(*models.GateKey), nil
}

func (d *keyCache) keep(shard *keyCacheShard, digest models.Digest, key *models.GateKey, readAt int64, changes uint64) {
	var meter uint32
	if key != nil {
		meter = d.meters.placeOf(key.KeyID)
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// The key's own count goes first: a change raises that of all first, so a count that knows of a change fails the comparison.
	var count uint32
	if key != nil {
		count = d.changes.of(key.ProjectID, key.KeyID)
	}
	if d.changes.all.Load() != changes {
		return
	}
	i, _ := shard.index.get(prefix(digest))
	if key == nil {
		if i != 0 {
			shard.drop(prefix(digest), i)
		}
		makeRoom(shard.unknown, d.limit, digest)
		shard.unknown[digest] = absence{readAt, changes}
		return
	}
	delete(shard.unknown, digest)
	if len(shard.texts.texts) > maxInterned {
		shard.clear()
		i = 0
	}
	if i == 0 { // else the entry of the same digest, or of one with the same first bytes, which happens to nobody
		i = shard.room(d.limit)
	}
	shard.index.put(prefix(digest), i, meter)
	*shard.entries.at(i) = newEntry(digest, key, readAt, count, &shard.texts)
}

func prefix(digest models.Digest) uint64 { return binary.LittleEndian.Uint64(digest[:8]) }

// room finds a place for an entry. Where the shard is full, an arbitrary one goes.
func (s *keyCacheShard) room(limit int) uint32 {
	if s.index.used >= limit {
		s.drop(s.index.any())
	}
	return s.entries.take()
}

func (s *keyCacheShard) drop(p uint64, place uint32) {
	s.index.drop(p)
	s.entries.give(place)
}

// size counts the known versions in memory.
func (d *keyCache) size() (n int) {
	for i := range d.shard {
		d.shard[i].mu.RLock()
		n += d.shard[i].index.used
		d.shard[i].mu.RUnlock()
	}
	return n
}

// generations count the changes of keys and projects. What was read is right as long as the counts of its key and its project
// stand where they stood. Several keys share a count: then one more is read again than needed.
type generations struct {
	all     atomic.Uint64
	key     [1 << 14]atomic.Uint32
	project [1 << 8]atomic.Uint32
}

// of is a number that changes with each change of the key or the project: both only grow, so their sum tells.
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
