package gate

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/claviger/claviger/models"
)

// The rule of product.md, section 3: an address with badKeysToBlock distinct bad keys within badKeyWindow is blocked.
const (
	badKeysToBlock = 20
	badKeyWindow   = 10 * time.Minute
)

const (
	// maxFailureWindows bounds the addresses whose bad keys are counted, to about 60 MB. Those whose last bad key is
	// oldest are evicted first.
	maxFailureWindows = 100_000
	// maxBlocked bounds the blocks in memory. The oldest are evicted first.
	maxBlocked = 100_000
)

// blocks holds which addresses are blocked in which project, and the bad keys of addresses that are not blocked yet.
// While no block is in force, blocked only reads one number; otherwise it takes the read lock of one shard.
type blocks struct {
	now  func() time.Time
	seed maphash.Seed
	// lastEnd is when the last of all blocks ends, in milliseconds since 1970.
	lastEnd atomic.Int64
	// epoch grows with every change of a block. A row that was read in an earlier epoch is not applied.
	epoch atomic.Uint64
	shard [shards]blockShard

	sync blockSync
}

// projectAddress is an address in a project, for IPv6 the /64 network.
type projectAddress struct {
	project int64
	address models.Network
}

type blockShard struct {
	mu       sync.RWMutex
	failures *simplelru.LRU[projectAddress, *failureWindow]
	blocked  *simplelru.LRU[projectAddress, *block]
}

// block is the newest block of an address in a project. Times are milliseconds since 1970.
type block struct {
	id      int64 // of its row; 0 if it has none
	strikes int
	ends    int64
	// unwritten is set while the row of a block of this process is being written. The table's row is older then.
	unwritten bool
}

// newBlocks returns the blocks in the store, and starts the worker that keeps them in sync.
func newBlocks(o Options, store blockStore) *blocks {
	b := &blocks{now: o.Now, seed: maphash.MakeSeed()}
	for i := range b.shard {
		b.shard[i].failures = newestOf[*failureWindow](maxFailureWindows / shards)
		b.shard[i].blocked = newestOf[*block](maxBlocked / shards)
	}
	b.sync.start(b, store, o.Log)
	return b
}

// newestOf returns a cache of size values, which evicts the least recently used one.
func newestOf[V any](size int) *simplelru.LRU[projectAddress, V] {
	values, err := simplelru.NewLRU[projectAddress, V](size, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return values
}

func (b *blocks) shardOf(addr projectAddress) *blockShard {
	return &b.shard[maphash.Comparable(b.seed, addr)%shards]
}

// blocked returns how long the address stays blocked in the project, 0 if it is not blocked.
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
	addr := projectAddress{projectID, group}
	shard := b.shardOf(addr)
	shard.mu.RLock()
	ends := shard.last(addr).ends
	shard.mu.RUnlock()
	return max(0, time.Duration(ends-now)*time.Millisecond)
}

// noteBad counts a bad key of the address, and blocks the address if that makes badKeysToBlock.
func (b *blocks) noteBad(projectID int64, ip, key string) {
	group, ok := models.NetworkOf(ip)
	if !ok {
		return
	}
	addr, hash := projectAddress{projectID, group}, maphash.String(b.seed, key)
	shard, now := b.shardOf(addr), b.now()
	shard.mu.Lock()
	defer shard.mu.Unlock()
	last := shard.last(addr)
	if now.UnixMilli() < last.ends {
		return // another of its requests has already caused the block
	}
	window, _ := shard.failures.Get(addr)
	if window == nil {
		window = &failureWindow{}
		shard.failures.Add(addr, window)
	}
	if window.note(hash, now.UnixMilli()) < badKeysToBlock {
		return
	}
	strike := models.Strike(last.strikes, time.UnixMilli(last.ends), now)
	made := block{id: last.id, strikes: strike, ends: now.Add(models.BlockLasts(strike)).UnixMilli(), unwritten: true}
	row := models.AddressBlock{
		ProjectID: projectID,
		Address:   group.String(),
		Strikes:   strike,
		BlockedAt: now.UTC().Truncate(time.Millisecond),
	}
	if !b.sync.write(addr, row, made.ends) {
		made.unwritten = false
	}
	b.put(shard, addr, made)
}

// last returns the newest block of an address, or the zero block. The shard is locked.
func (s *blockShard) last(addr projectAddress) block {
	if found, ok := s.blocked.Peek(addr); ok { // Peek, unlike Get, changes nothing, so a read lock is enough
		return *found
	}
	return block{}
}

// put puts a block in force. The bad keys that led to it do not count again, so they are removed; if the block is over,
// they were removed when it began, and those in memory are newer. The shard is locked.
func (b *blocks) put(shard *blockShard, addr projectAddress, made block) {
	shard.blocked.Add(addr, &made)
	if b.now().UnixMilli() < made.ends {
		shard.failures.Remove(addr)
	}
	for {
		last := b.lastEnd.Load()
		if made.ends <= last || b.lastEnd.CompareAndSwap(last, made.ends) {
			return
		}
	}
}

// changed is called after a row was made or lifted. The block in memory with that row ends at once, and the row is read
// again.
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

// everythingChanged is called if changes may have been missed. The blocks in memory stay in force until all rows have
// been read again.
func (b *blocks) everythingChanged() {
	b.epoch.Add(1)
	b.sync.readAgain()
}

// apply puts the block of a row in force. It returns false, and does nothing, if something changed since the row was
// read, which was in epoch.
func (b *blocks) apply(row *models.AddressBlock, epoch uint64) bool {
	group, ok := models.NetworkOf(rowAddress(row))
	if !ok {
		return true
	}
	addr := projectAddress{row.ProjectID, group}
	shard := b.shardOf(addr)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if b.epoch.Load() != epoch {
		return false
	}
	if !shard.last(addr).unwritten {
		b.put(shard, addr, block{id: row.ID, strikes: row.Strikes, ends: row.Over().UnixMilli()})
	}
	return true
}

// onWritten applies the row that was written for a block of this process which ends at ends; nil if it could not be
// written.
func (b *blocks) onWritten(addr projectAddress, ends int64, row *models.AddressBlock) {
	shard := b.shardOf(addr)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	made := shard.last(addr)
	if !made.unwritten || made.ends != ends {
		return // writing took so long that the address was blocked again; that block's row is being written
	}
	made.unwritten = false
	if row != nil {
		made.id, made.strikes, made.ends = row.ID, row.Strikes, row.Over().UnixMilli()
	}
	b.put(shard, addr, made)
}

// count returns how many blocks are in force now.
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

// failureWindow holds the bad keys of an address, each with the time of its last use. Keys are hashed with a seed that
// only this process has.
type failureWindow struct{ keys []badKey }

type badKey struct {
	hash uint64
	at   int64 // milliseconds since 1970
}

// note adds a key and returns how many distinct keys were used within badKeyWindow.
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
