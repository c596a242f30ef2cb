package gate

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// gatherCounts is how long requests with unknown keys are counted in memory before the counts are written.
	gatherCounts = time.Second
	// maxUncounted bounds the addresses whose counts wait in memory; more are counted together.
	maxUncounted = 32_768
)

// unknownKeys counts the requests that have no row because they came with no known key, by project, address and day. What it
// counts is in the database a second later.
type unknownKeys struct {
	store func(ctx context.Context, batch int64, counts []models.UnknownKeyCount) error
	log   *slog.Logger
	seed  maphash.Seed
	shard [shards]unknownShard

	noted chan struct{}        // something waits
	asked chan chan<- struct{} // write at once, and close it
	end   chan struct{}        // closed at close: write what waits, then end
	done  chan struct{}        // closed when the loop has ended
}

type unknownShard struct {
	mu     sync.Mutex
	counts map[stranger]tally
}

// stranger is an address on one day.
type stranger struct {
	caller
	other bool // all addresses that are counted together
	day   int64
}

type tally struct{ requests, last int64 } // last is in milliseconds since 1970

func newUnknownKeys(store func(context.Context, int64, []models.UnknownKeyCount) error, log *slog.Logger) *unknownKeys {
	u := &unknownKeys{
		store: store, log: log, seed: maphash.MakeSeed(),
		noted: make(chan struct{}, 1), asked: make(chan chan<- struct{}), end: make(chan struct{}), done: make(chan struct{}),
	}
	for i := range u.shard {
		u.shard[i].counts = map[stranger]tally{}
	}
	go u.run()
	return u
}

// note counts a request. It waits for nothing but its shard.
func (u *unknownKeys) note(projectID int64, ip string, at time.Time) {
	network, ok := models.NetworkOf(ip)
	who := stranger{caller{projectID, network}, !ok, models.UnknownKeyDay(at)}
	shard := &u.shard[maphash.Comparable(u.seed, who.caller)%shards]
	shard.mu.Lock()
	count, known := shard.counts[who]
	if !known && len(shard.counts) >= maxUncounted/shards {
		who.address, who.other = models.Network{}, true
		count = shard.counts[who]
	}
	first := len(shard.counts) == 0
	shard.counts[who] = tally{count.requests + 1, max(count.last, at.UnixMilli())}
	shard.mu.Unlock()
	if first {
		select {
		case u.noted <- struct{}{}:
		default:
		}
	}
}

func (u *unknownKeys) run() {
	defer close(u.done)
	for {
		var asked chan<- struct{}
		select {
		case <-u.noted:
			select {
			case <-time.After(gatherCounts):
			case asked = <-u.asked:
			case <-u.end:
			}
		case asked = <-u.asked:
		case <-u.end:
		}
		u.write()
		if asked != nil {
			close(asked)
		}
		select {
		case <-u.end:
			u.write()
			return
		default:
		}
	}
}

// write stores what was counted so far. What cannot be written is tried again until the gate is closed.
func (u *unknownKeys) write() {
	counts, requests := u.take(), int64(0)
	if len(counts) == 0 {
		return
	}
	for i := range counts {
		requests += counts[i].Requests
	}
	batch := rand.Int64()
	err := insist(u.end, u.log, func(ctx context.Context) error { return u.store(ctx, batch, counts) }, nil)
	if err != nil {
		u.log.Error("requests with unknown keys could not be counted", "requests", requests, "error", err)
	}
}

// take gives what was counted and begins anew.
func (u *unknownKeys) take() (counts []models.UnknownKeyCount) {
	for i := range u.shard {
		shard := &u.shard[i]
		shard.mu.Lock()
		var taken map[stranger]tally
		if len(shard.counts) > 0 {
			taken, shard.counts = shard.counts, map[stranger]tally{}
		}
		shard.mu.Unlock()
		for who, count := range taken {
			row := models.UnknownKeyCount{ProjectID: who.project, Day: who.day, Requests: count.requests, LastAt: count.last}
			if !who.other {
				row.Address = who.address.String()
			}
			counts = append(counts, row)
		}
	}
	return counts
}

// flush returns when every request that was counted before the call is in the database.
func (u *unknownKeys) flush(ctx context.Context) error {
	return flushed(ctx, u.asked, func(answered chan<- struct{}) chan<- struct{} { return answered })
}

// close writes what waits and ends the loop. Call it once, when nobody notes any more.
func (u *unknownKeys) close(ctx context.Context) error {
	close(u.end)
	return ended(ctx, u.done)
}
