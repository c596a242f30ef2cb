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
	// countInterval is how long requests with unknown keys are counted in memory before the counts are written.
	countInterval = time.Second
	// maxWaitingCounts bounds the addresses whose counts wait in memory; further ones are counted together.
	maxWaitingCounts = 32_768
)

// unknownKeys counts the requests that have no row because their key is unknown, by project, address and day. The
// counts are in the database a second later.
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
	projectAddress
	other bool // all addresses that are counted together
	day   int64
}

type tally struct{ requests, last int64 } // last is in milliseconds since 1970

func newUnknownKeys(store func(context.Context, int64, []models.UnknownKeyCount) error, log *slog.Logger) *unknownKeys {
	u := &unknownKeys{
		store: store, seed: maphash.MakeSeed(),
		worker: newWorker("count requests with unknown keys", countInterval, log),
	}
	for i := range u.shard {
		u.shard[i].counts = map[unknownKeySource]tally{}
	}
	u.start(u.write)
	return u
}

// note counts a request. It takes the lock of one shard.
func (u *unknownKeys) note(projectID int64, ip string, at time.Time) {
	network, ok := models.NetworkOf(ip)
	source := unknownKeySource{projectAddress{projectID, network}, !ok, models.UnknownKeyDay(at)}
	shard := &u.shard[maphash.Comparable(u.seed, source.projectAddress)%shards]
	shard.mu.Lock()
	count, known := shard.counts[source]
	if !known && len(shard.counts) >= maxWaitingCounts/shards {
		source.address, source.other = models.Network{}, true
		count = shard.counts[source]
	}
	first := len(shard.counts) == 0
	shard.counts[source] = tally{count.requests + 1, max(count.last, at.UnixMilli())}
	shard.mu.Unlock()
	if first {
		u.wake()
	}
}

// write stores the counts in memory. If that fails, it tries again until the gate is closed.
func (u *unknownKeys) write() error {
	counts, requests := u.drain(), int64(0)
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

// drain returns the counts in memory and resets them.
func (u *unknownKeys) drain() (counts []models.UnknownKeyCount) {
	for i := range u.shard {
		shard := &u.shard[i]
		shard.mu.Lock()
		var taken map[unknownKeySource]tally
		if len(shard.counts) > 0 {
			taken, shard.counts = shard.counts, map[unknownKeySource]tally{}
		}
		shard.mu.Unlock()
		for source, count := range taken {
			row := models.UnknownKeyCount{
				ProjectID: source.project, Day: source.day, Requests: count.requests, LastAt: count.last,
			}
			if !source.other {
				row.Address = source.address.String()
			}
			counts = append(counts, row)
		}
	}
	return counts
}
