package gate

import (
	"context"
	"fmt"
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

// unknownKeys counts the requests that have no row because they came with no known key, by project, address and day.
// What it counts is in the database a second later.
type unknownKeys struct {
	store func(ctx context.Context, batch int64, counts []models.UnknownKeyCount) error
	seed  maphash.Seed
	shard [shards]unknownShard
	*worker
}

type unknownShard struct {
	mu     sync.Mutex
	counts map[unknownKeySource]tally
}

// unknownKeySource is an address on one day.
type unknownKeySource struct {
	caller
	other bool // all addresses that are counted together
	day   int64
}

type tally struct{ requests, last int64 } // last is in milliseconds since 1970

func newUnknownKeys(store func(context.Context, int64, []models.UnknownKeyCount) error, log *slog.Logger) *unknownKeys {
	u := &unknownKeys{
		store: store, seed: maphash.MakeSeed(),
		worker: newWorker("count requests with unknown keys", gatherCounts, log),
	}
	for i := range u.shard {
		u.shard[i].counts = map[unknownKeySource]tally{}
	}
	u.start(u.write)
	return u
}

// note counts a request. It waits for nothing but its shard.
func (u *unknownKeys) note(projectID int64, ip string, at time.Time) {
	network, ok := models.NetworkOf(ip)
	who := unknownKeySource{caller{projectID, network}, !ok, models.UnknownKeyDay(at)}
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
		u.wake()
	}
}

// write stores what was counted so far. Where that fails, it is tried again until the gate is closed.
func (u *unknownKeys) write() error {
	counts, requests := u.take(), int64(0)
	if len(counts) == 0 {
		return nil
	}
	for i := range counts {
		requests += counts[i].Requests
	}
	batch := rand.Int64()
	if err := u.retry(func(ctx context.Context) error { return u.store(ctx, batch, counts) }, nil); err != nil {
		return fmt.Errorf("count %d requests with unknown keys: %w", requests, err)
	}
	return nil
}

// take gives what was counted and begins anew.
func (u *unknownKeys) take() (counts []models.UnknownKeyCount) {
	for i := range u.shard {
		shard := &u.shard[i]
		shard.mu.Lock()
		var taken map[unknownKeySource]tally
		if len(shard.counts) > 0 {
			taken, shard.counts = shard.counts, map[unknownKeySource]tally{}
		}
		shard.mu.Unlock()
		for who, count := range taken {
			row := models.UnknownKeyCount{
				ProjectID: who.project, Day: who.day, Requests: count.requests, LastAt: count.last,
			}
			if !who.other {
				row.Address = who.address.String()
			}
			counts = append(counts, row)
		}
	}
	return counts
}
