package gate

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/claviger/claviger/models"
)

// The rule of product.md, section 3: so many distinct bad keys from one address in so much time.
const (
	badKeysToBlock = 20
	badKeyWindow   = 10 * time.Minute
)

const (
	// maxWatched bounds the addresses whose bad keys are counted: at most about 60 MB. The ones heard of longest ago go first.
	maxWatched = 100_000
	// maxBlocked bounds the blocks in memory. The ones made longest ago go first.
	maxBlocked = 100_000
)

// blocks knows which addresses are blocked in which project, and which are on the way there. While none is blocked, asking
// costs the read of one number; else it takes the read lock of one shard.
type blocks struct {
	now  func() time.Time
	seed maphash.Seed
	// lastEnd is when the last block of all is over, in milliseconds since 1970.
	lastEnd atomic.Int64
	// epoch grows with every change that the store tells of: what was read before it is not believed.
	epoch atomic.Uint64
	shard [shards]blockShard

	sync blockSync
}

// caller is an address in a project.
type caller struct {
	project int64
	address models.Network
}

type blockShard struct {
	mu      sync.RWMutex
	watched *simplelru.LRU[caller, *failureWindow]
	blocked *simplelru.LRU[caller, *block]
}

// block is the newest block of a caller, kept while its strikes count. Times are milliseconds since 1970.
type block struct {
	id      int64 // of its row; 0 while it has none
	strikes int
	ends    int64
	// unwritten is a block of this process whose row is on the way: what the table says is older.
	unwritten bool
}

// newBlocks begins with the blocks that the store has.
func newBlocks(o Options, store blockStore) *blocks {
	b := &blocks{now: o.Now, seed: maphash.MakeSeed()}
	for i := range b.shard {
		b.shard[i].watched = newestOf[*failureWindow](maxWatched / shards)
		b.shard[i].blocked = newestOf[*block](maxBlocked / shards)
	}
	b.sync.start(b, store, o.Log)
	return b
}

// newestOf keeps so many values of callers.
func newestOf[V any](size int) *simplelru.LRU[caller, V] {
	values, err := simplelru.NewLRU[caller, V](size, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return values
}

func (b *blocks) shardOf(who caller) *blockShard {
	return &b.shard[maphash.Comparable(b.seed, who)%shards]
}

// blocked is how long the address stays blocked in the project; 0 where it is not.
func (b *blocks) blocked(projectID int64, ip string) time.Duration {
	lastEnd := b.lastEnd.Load()
	if lastEnd == 0 {
		return 0
	}
	now := b.now().UnixMilli()
	if now >= lastEnd {
		return 0
	}
	group, ok := models.NetworkOf(ip)
	if !ok {
		return 0
	}
	who := caller{projectID, group}
	shard := b.shardOf(who)
	shard.mu.RLock()
	ends := shard.last(who).ends
	shard.mu.RUnlock()
	return max(0, time.Duration(ends-now)*time.Millisecond)
}

// noteBad takes down that the address came with a key that is none, and blocks it where that was one too many.
func (b *blocks) noteBad(projectID int64, ip, key string) {
	group, ok := models.NetworkOf(ip)
	if !ok {
		return
	}
	who, hash := caller{projectID, group}, maphash.String(b.seed, key)
	shard, now := b.shardOf(who), b.now()
	shard.mu.Lock()
	defer shard.mu.Unlock()
	last := shard.last(who)
	if now.UnixMilli() < last.ends {
		return // others of its requests got there first
	}
	seen, _ := shard.watched.Get(who)
	if seen == nil {
		seen = &failureWindow{}
		shard.watched.Add(who, seen)
	}
	if seen.note(hash, now.UnixMilli()) < badKeysToBlock {
		return
	}
	strike := models.Strike(last.strikes, time.UnixMilli(last.ends), now)
	made := block{id: last.id, strikes: strike, ends: now.Add(models.BlockLasts(strike)).UnixMilli(), unwritten: true}
	row := models.AddressBlock{ProjectID: projectID, Address: group.String(), Strikes: strike, BlockedAt: now.UTC().Truncate(time.Millisecond)}
	if !b.sync.write(who, row, made.ends) {
		made.unwritten = false
	}
	b.put(shard, who, made)
}

// last is the newest block of a caller; no block at all where there is none. The shard is locked.
func (s *blockShard) last(who caller) block {
	if found, ok := s.blocked.Peek(who); ok { // without a write: many may read at once
		return *found
	}
	return block{}
}

// put makes a block hold. What led to it does not count again; of one that is over, that was forgotten when it began. The
// shard is locked.
func (b *blocks) put(shard *blockShard, who caller, made block) {
	shard.blocked.Add(who, &made)
	if b.now().UnixMilli() < made.ends {
		shard.watched.Remove(who)
	}
	for {
		last := b.lastEnd.Load()
		if made.ends <= last || b.lastEnd.CompareAndSwap(last, made.ends) {
			return
		}
	}
}

// changed is told that the row was made or lifted. What holds in memory by that row ends at once, and the row
// is read again.
func (b *blocks) changed(projectID, id int64) {
	b.epoch.Add(1)
	now := b.now().UnixMilli()
	for i := range b.shard {
		shard := &b.shard[i]
		shard.mu.Lock()
		for _, known := range shard.blocked.Values() {
			if known.id == id && !known.unwritten {
				known.ends = min(known.ends, now)
			}
		}
		shard.mu.Unlock()
	}
	b.sync.read(projectID, id)
}

// everythingChanged is told that changes may have been missed. What is known holds until all rows have been read again.
func (b *blocks) everythingChanged() {
	b.epoch.Add(1)
	b.sync.readAgain()
}

// learn takes over what a row says, unless something was changed since epoch, when it was read.
func (b *blocks) learn(row *models.AddressBlock, epoch uint64) bool {
	group, ok := models.NetworkOf(rowAddress(row))
	if !ok {
		return true
	}
	who := caller{row.ProjectID, group}
	shard := b.shardOf(who)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if b.epoch.Load() != epoch {
		return false
	}
	if !shard.last(who).unwritten {
		b.put(shard, who, block{id: row.ID, strikes: row.Strikes, ends: row.Over().UnixMilli()})
	}
	return true
}

// written takes over the row that a block of this process became, which ends then; nil where it could not be written.
func (b *blocks) written(who caller, ends int64, row *models.AddressBlock) {
	shard := b.shardOf(who)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	made := shard.last(who)
	if !made.unwritten || made.ends != ends {
		return // writing took so long that the address was blocked again: that block's row is on the way
	}
	made.unwritten = false
	if row != nil {
		made.id, made.strikes, made.ends = row.ID, row.Strikes, row.Over().UnixMilli()
	}
	b.put(shard, who, made)
}

// count is how many addresses are blocked at this moment.
func (b *blocks) count() (n int) {
	now := b.now().UnixMilli()
	if now >= b.lastEnd.Load() {
		return 0
	}
	for i := range b.shard {
		shard := &b.shard[i]
		shard.mu.RLock()
		for _, known := range shard.blocked.Values() {
			if now < known.ends {
				n++
			}
		}
		shard.mu.RUnlock()
	}
	return n
}

// failureWindow has the bad keys that an address came with, and when each came last. Keys are hashed under a seed that this
// process alone has.
type failureWindow struct{ keys []badKey }

type badKey struct {
	hash uint64
	at   int64 // milliseconds since 1970
}

// note takes a key down and gives how many distinct ones came within the window.
func (w *failureWindow) note(hash uint64, at int64) int {
	kept := w.keys[:0]
	for _, k := range w.keys {
		if k.hash != hash && at-k.at < badKeyWindow.Milliseconds() {
			kept = append(kept, k)
		}
	}
	w.keys = append(kept, badKey{hash, at})
	return len(w.keys)
}
