package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// blockTable is the table of blocks. Tests can delay its writes and make it fail.
type blockTable struct {
	mu     sync.Mutex
	rows   []models.AddressBlock
	writes int
	tried  chan struct{} // receives a value when a write is tried
	held   chan struct{} // nil, or each write waits for a value
	away   bool
	notify func(projectID, id int64) // called after a row was made or lifted
	read   func()                    // runs after a row was read
}

func (t *blockTable) BlockAddress(_ context.Context, b models.AddressBlock) (*models.AddressBlock, error) {
	t.mu.Lock()
	t.writes++
	select {
	case t.tried <- struct{}{}:
	default:
	}
	if t.held != nil {
		t.mu.Unlock()
		<-t.held
		t.mu.Lock()
	}
	if t.away {
		t.mu.Unlock()
		return nil, errors.New("the database is away")
	}
	b.ID, b.EndsAt = int64(len(t.rows)+1), b.BlockedAt.Add(models.BlockLasts(b.Strikes))
	t.rows = append(t.rows, b)
	t.mu.Unlock()
	if t.notify != nil {
		t.notify(b.ProjectID, b.ID)
	}
	return &b, nil
}

func (t *blockTable) AddressBlock(_ context.Context, _, id int64) (*models.AddressBlock, error) {
	t.mu.Lock()
	row := t.rows[id-1]
	replaced := slices.ContainsFunc(t.rows[id:], func(newer models.AddressBlock) bool {
		return newer.ProjectID == row.ProjectID && newer.Address == row.Address
	})
	t.mu.Unlock()
	if replaced { // the real table has only the newest block of an address
		return nil, models.NotFound("block")
	}
	if t.read != nil {
		t.read()
	}
	return &row, nil
}

func (t *blockTable) AllAddressBlocks(context.Context, int) ([]models.AddressBlock, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away {
		return nil, errors.New("the database is away")
	}
	return append([]models.AddressBlock{}, t.rows...), nil
}

func (t *blockTable) lift(id int64, at time.Time) {
	t.mu.Lock()
	t.rows[id-1].LiftedAt = &at
	t.mu.Unlock()
	t.notify(t.rows[id-1].ProjectID, id)
}

func (t *blockTable) isAway(away bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = away
}

// lockedClock is a clock for concurrent use.
type lockedClock struct {
	mu sync.Mutex
	at time.Time
}

func (m *lockedClock) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *lockedClock) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

type blockTest struct {
	*testing.T
	*blocks
	table *blockTable
	clock *lockedClock
	keys  int
}

func newBlockTest(t *testing.T) *blockTest {
	w := &blockTest{
		T:     t,
		table: &blockTable{tried: make(chan struct{}, 1)},
		clock: &lockedClock{at: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)},
	}
	w.blocks = newBlocks(Options{Now: w.clock.now, Log: slog.New(slog.DiscardHandler)}, w.table)
	w.table.notify = w.changed
	t.Cleanup(func() {
		if err := w.sync.worker.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// bad notes n bad keys that were not used before.
func (w *blockTest) bad(n int, project int64, ip string) {
	for range n {
		w.keys++
		w.noteBad(project, ip, "bad key "+strconv.Itoa(w.keys))
	}
}

// settle waits until all blocks are written and all changed rows are read.
func (w *blockTest) settle() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	if err := w.sync.flush(ctx); err != nil {
		w.Fatal(err)
	}
}

func (w *blockTest) expect(project int64, ip string, want time.Duration) {
	w.Helper()
	if got := w.blocks.blocked(project, ip); got != want {
		w.Errorf("%s is blocked in project %d for %s, want %s", ip, project, got, want)
	}
}

const attacker = "203.0.113.7"

func TestTheTwentiethBadKeyBlocksTheAddressInThatProjectOnly(t *testing.T) {
	w := newBlockTest(t)
	w.bad(19, 1, attacker)
	w.expect(1, attacker, 0)
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
	w.expect(2, attacker, 0)
	w.expect(1, "203.0.113.8", 0)
	w.clock.advance(15*time.Minute - time.Millisecond)
	w.expect(1, attacker, time.Millisecond)
	w.clock.advance(time.Millisecond)
	w.expect(1, attacker, 0)
	w.bad(19, 1, attacker) // what led to the first block does not count again
	w.expect(1, attacker, 0)
}

func TestARepeatedBadKeyCountsOnce(t *testing.T) {
	w := newBlockTest(t)
	for range 1000 {
		w.noteBad(1, attacker, "the same")
	}
	w.bad(18, 1, attacker)
	w.expect(1, attacker, 0)
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
}

func TestBadKeysCountInARollingWindowOfTenMinutes(t *testing.T) {
	w := newBlockTest(t)
	for range 200 { // one each 32 seconds: 19 in any ten minutes
		w.bad(1, 1, attacker)
		w.clock.advance(32 * time.Second)
	}
	w.expect(1, attacker, 0)
	w.clock.advance(-2 * time.Second) // now the last 19 and this one are within less than ten minutes
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 0)
	w.clock.advance(23 * time.Second)
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
}

func TestARepeatedBadKeyCountsFromItsLastUse(t *testing.T) {
	w := newBlockTest(t)
	w.noteBad(1, attacker, "again")
	w.clock.advance(9 * time.Minute)
	w.noteBad(1, attacker, "again")
	w.clock.advance(9 * time.Minute)
	w.bad(19, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
}

func TestEachBlockLastsTwiceAsLongUntilADayWithoutBlocks(t *testing.T) {
	w := newBlockTest(t)
	for _, minutes := range []int{15, 30, 60, 120, 240, 480, 960, 1440, 1440} {
		w.bad(20, 1, attacker)
		w.expect(1, attacker, time.Duration(minutes)*time.Minute)
		w.settle()
		w.expect(1, attacker, time.Duration(minutes)*time.Minute)
		w.clock.advance(time.Duration(minutes)*time.Minute + time.Minute)
	}
	w.clock.advance(24*time.Hour - 2*time.Minute)
	w.bad(20, 1, attacker)
	w.expect(1, attacker, 24*time.Hour)
	w.clock.advance(48 * time.Hour)
	w.bad(20, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
}

func TestABlockThatIsWrittenAfterItsEndDoesNotEndTheNextBlock(t *testing.T) {
	w := newBlockTest(t)
	w.table.held = make(chan struct{}, 2)
	w.bad(20, 1, attacker)
	<-w.table.tried
	w.clock.advance(time.Hour)
	w.bad(20, 1, attacker)
	w.expect(1, attacker, 30*time.Minute)
	w.table.held <- struct{}{}
	<-w.table.tried // the second block is being written: the row of the first was applied
	w.expect(1, attacker, 30*time.Minute)
	w.table.held <- struct{}{}
	w.settle()
	w.expect(1, attacker, 30*time.Minute)
}

func TestReadingABlockThatIsOverKeepsTheCountOfBadKeys(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, attacker)
	w.settle()
	w.clock.advance(time.Hour)
	w.bad(19, 1, attacker)
	w.changed(1, 1)
	w.settle()
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 30*time.Minute)
}

func TestAnIPv6NetworkOf64BitsIsOneAddress(t *testing.T) {
	w := newBlockTest(t)
	for i := range 20 {
		w.bad(1, 1, fmt.Sprintf("2001:db8::%d", i+1))
		w.bad(1, 1, fmt.Sprintf("2001:db9:0:%d::1", i+1)) // twenty networks
	}
	w.expect(1, "2001:db8::ffff:1", 15*time.Minute)
	w.expect(1, "2001:db8:0:1::1", 0)
	w.expect(1, "2001:db9:0:1::1", 0)
	w.bad(10, 1, "::ffff:203.0.113.7")
	w.bad(10, 1, attacker)
	w.expect(1, attacker, 15*time.Minute)
	w.expect(1, "::ffff:203.0.113.7", 15*time.Minute)
}

func TestConcurrentBadKeysMakeOneBlock(t *testing.T) {
	w := newBlockTest(t)
	for round := range 20 {
		ip := fmt.Sprintf("203.0.113.%d", round)
		var group sync.WaitGroup
		for i := range 60 { // those after the twentieth were already under way
			group.Go(func() { w.noteBad(1, ip, strconv.Itoa(i)); w.blocked(1, ip) })
		}
		group.Wait()
		w.expect(1, ip, 15*time.Minute)
	}
	w.settle()
	if w.table.writes != 20 {
		t.Errorf("%d blocks were written, want 20", w.table.writes)
	}
	if n := w.count(); n != 20 {
		t.Errorf("count returned %d, want 20", n)
	}
}

func TestMemoryOfAddressesIsBounded(t *testing.T) {
	w := newBlockTest(t)
	const many = 150_000
	for i := range many {
		w.noteBad(1, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "bad")
	}
	counted := 0
	for i := range w.shard {
		counted += w.shard[i].failures.Len()
	}
	if counted > maxFailureWindows || counted < maxFailureWindows/2 {
		t.Errorf("bad keys of %d addresses are counted, want at most %d and at least half", counted, maxFailureWindows)
	}
	blocked := 0
	row := models.AddressBlock{ProjectID: 2, Strikes: 1, EndsAt: w.clock.now().Add(time.Minute)}
	for i := range many {
		row.ID, row.Address = int64(i+1), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		w.apply(&row, w.epoch.Load())
	}
	for i := range w.shard {
		blocked += w.shard[i].blocked.Len()
	}
	if blocked > maxBlocked || blocked < maxBlocked/2 {
		t.Errorf("%d blocks are kept, want at most %d and at least half", blocked, maxBlocked)
	}
}

func TestABlockIsInForceWhileTheDatabaseIsAwayAndIsWrittenLater(t *testing.T) {
	w := newBlockTest(t)
	w.table.isAway(true)
	w.bad(20, 1, attacker)
	<-w.table.tried
	w.expect(1, attacker, 15*time.Minute)
	w.table.isAway(false)
	w.settle()
	if len(w.table.rows) != 1 || w.table.rows[0].Address != attacker {
		t.Errorf("written: %+v, want one block of %s", w.table.rows, attacker)
	}
}

func TestBlocksInTheTableAreInForceAfterARestart(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, attacker)
	w.bad(20, 1, "2001:db8::1")
	w.settle()
	later := newBlocks(Options{Now: w.clock.now, Log: slog.New(slog.DiscardHandler)}, w.table)
	w.Cleanup(func() { later.sync.worker.close(context.Background()) })
	w.clock.advance(time.Minute)
	for _, ip := range []string{attacker, "2001:db8::2"} {
		if got := later.blocked(1, ip); got != 14*time.Minute {
			t.Errorf("after a restart %s is blocked for %s, want 14m", ip, got)
		}
	}
}

func TestAStartWithoutTheDatabaseReadsTheBlocksLater(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, attacker)
	w.settle()
	w.table.isAway(true)
	later := newBlocks(Options{Now: w.clock.now, Log: slog.New(slog.DiscardHandler)}, w.table)
	w.Cleanup(func() { later.sync.worker.close(context.Background()) })
	w.table.isAway(false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := later.sync.flush(ctx); err != nil {
		t.Fatal(err)
	}
	if later.blocked(1, attacker) == 0 {
		t.Error("the block is not in force")
	}
}

func TestALiftTakesEffectAtOnceWhileTheBlockIsBeingRead(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, attacker)
	w.settle()
	w.expect(1, attacker, 15*time.Minute)

	// Another change causes the row to be read. The block is lifted after the row was read and before it is applied.
	reading, goOn := make(chan struct{}), make(chan struct{})
	w.table.read = func() { reading <- struct{}{}; <-goOn }
	w.sync.read(1, 1)
	<-reading
	w.table.lift(1, w.clock.now())
	w.expect(1, attacker, 0)
	goOn <- struct{}{}
	<-reading // the row is read again: the one from before the lift was discarded
	w.expect(1, attacker, 0)
	w.table.read = nil
	goOn <- struct{}{}
	w.settle()
	w.expect(1, attacker, 0)
	w.bad(20, 1, attacker)
	w.expect(1, attacker, 30*time.Minute)
}

func TestABlockThatIsNotWrittenYetIsNotReplacedByTheTablesRow(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, attacker)
	w.settle()
	w.clock.advance(time.Hour)
	reading, goOn := make(chan struct{}), make(chan struct{})
	w.table.read = func() { reading <- struct{}{}; <-goOn }
	w.sync.read(1, 1)
	<-reading
	<-w.table.tried // of the first block
	w.table.isAway(true)
	w.bad(20, 1, attacker)
	w.table.read = nil
	goOn <- struct{}{}
	<-w.table.tried // the second is being written: the row of the first was read
	w.expect(1, attacker, 30*time.Minute)
	w.table.isAway(false)
	w.settle()
	w.expect(1, attacker, 30*time.Minute)
}

func TestABlockOfAnotherProcessIsInForceAndItsStrikesCount(t *testing.T) {
	w := newBlockTest(t)
	w.bad(19, 1, attacker)
	row, err := w.table.BlockAddress(t.Context(), models.AddressBlock{
		ProjectID: 1, Address: attacker, Strikes: 3, BlockedAt: w.clock.now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.expect(1, attacker, time.Hour)
	w.table.lift(row.ID, w.clock.now())
	w.expect(1, attacker, 0)
	w.settle()
	w.bad(1, 1, attacker)
	w.expect(1, attacker, 0) // bad keys from before the block do not count after it
	w.bad(19, 1, attacker)
	w.expect(1, attacker, 2*time.Hour)
}

func TestAfterMissedChangesAllRowsAreReadAgain(t *testing.T) {
	w := newBlockTest(t)
	w.bad(20, 1, "198.51.100.1")
	w.settle()
	notify := w.table.notify
	w.table.notify = func(int64, int64) {} // changes of the other process are missed
	w.table.lift(1, w.clock.now())
	row := models.AddressBlock{ProjectID: 1, Address: attacker, Strikes: 1, BlockedAt: w.clock.now()}
	if _, err := w.table.BlockAddress(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	w.table.notify = notify
	w.expect(1, "198.51.100.1", 15*time.Minute)
	w.everythingChanged()
	w.settle()
	w.expect(1, "198.51.100.1", 0)
	w.expect(1, attacker, 15*time.Minute)
}

func TestChangesThatDoNotFitTheQueueAreRead(t *testing.T) {
	w := newBlockTest(t)
	entered, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.table.read = func() { once.Do(func() { close(entered); <-hold }) }
	const others = 2 * maxBlockJobs
	for i := range others {
		ip := fmt.Sprintf("10.0.%d.%d", i>>8, i&255)
		row := models.AddressBlock{ProjectID: 1, Address: ip, Strikes: 1, BlockedAt: w.clock.now()}
		if _, err := w.table.BlockAddress(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-entered
		}
	}
	w.bad(20, 1, attacker) // the queue is full: the block is in force without a row
	w.expect(1, attacker, 15*time.Minute)
	close(hold)
	w.settle()
	if n := w.count(); n != others+1 {
		t.Errorf("%d blocks are in force, want %d", n, others+1)
	}
}
