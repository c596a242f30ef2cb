package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// countTable adds up the counts that are written. Tests can make it fail.
type countTable struct {
	mu      sync.Mutex
	away    bool
	batches map[int64]bool
	sums    map[string]int64 // by address
	tried   chan struct{}
}

func (c *countTable) write(_ context.Context, batch int64, counts []models.UnknownKeyCount) error {
	select {
	case c.tried <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.batches[batch] { // if away, the batch is stored and the answer gets lost
		c.batches[batch] = true
		for _, count := range counts {
			c.sums[count.Address] += count.Requests
		}
	}
	if c.away {
		return errors.New("away")
	}
	return nil
}

func (c *countTable) setAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func (c *countTable) sum() (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.sums {
		sum += n
	}
	return sum
}

func newCounted(t *testing.T) (*unknownKeys, *countTable) {
	table := &countTable{batches: map[int64]bool{}, sums: map[string]int64{}, tried: make(chan struct{}, 1)}
	return newUnknownKeys(table.write, slog.New(slog.DiscardHandler)), table
}

func TestEveryRequestWithAnUnknownKeyIsCounted(t *testing.T) {
	u, table := newCounted(t)
	const each = 2_000
	var group sync.WaitGroup
	for caller := range 8 {
		group.Go(func() {
			for i := range each {
				u.note(1, fmt.Sprintf("203.0.113.%d", (caller+i)%4), time.Unix(1_000_000, 0))
				if i%500 == 0 {
					if err := u.flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := u.close(t.Context()); err != nil { // writes what waits
		t.Fatal(err)
	}
	for i := range 4 {
		if got := table.sums[fmt.Sprintf("203.0.113.%d", i)]; got != 2*each {
			t.Errorf("address %d was counted %d times, want %d", i, got, 2*each)
		}
	}
}

func TestCountsAreRetriedWithTheSameBatchNumber(t *testing.T) {
	u, table := newCounted(t)
	table.setAway(true)
	u.note(1, "203.0.113.7", time.Unix(1_000_000, 0))
	flushed := make(chan error)
	go func() { flushed <- u.flush(t.Context()) }()
	<-table.tried
	u.note(1, "203.0.113.7", time.Unix(1_000_000, 0)) // while the first one is tried again
	<-table.tried
	table.setAway(false)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if err := u.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if table.sum() != 2 {
		t.Errorf("%d requests were counted, want 2", table.sum())
	}
	table.setAway(true)
	u.note(1, "203.0.113.7", time.Unix(1_000_000, 0))
	if err := u.close(t.Context()); err != nil { // close does not wait for a database that is away
		t.Error(err)
	}
}

func TestAddressesBeyondTheBoundAreCountedTogether(t *testing.T) {
	t.Parallel()
	u, table := newCounted(t)
	table.setAway(true)
	u.note(1, "203.0.113.7", time.Unix(1_000_000, 0))
	<-table.tried // the worker is busy from now on: further counts stay in memory
	const requests = 3 * maxWaitingCounts
	for i := range requests {
		u.note(1, fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), time.Unix(1_000_000, 0))
	}
	u.note(1, "nonsense", time.Unix(1_000_000, 0))
	waiting := 0
	for i := range u.shard {
		waiting += len(u.shard[i].counts)
	}
	if waiting > maxWaitingCounts+shards {
		t.Errorf("%d counts wait, want about %d at most", waiting, maxWaitingCounts)
	}
	table.setAway(false)
	if err := u.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if table.sum() != requests+2 || table.sums[""] < requests/2 {
		t.Errorf("of %d requests %d were counted, %d of them together", requests+2, table.sum(), table.sums[""])
	}
}
