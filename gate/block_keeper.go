package gate

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/claviger/claviger/models"
)

// maxBlockJobs bounds what waits to be written and read. Further blocks hold in this process alone.
const maxBlockJobs = 1024

// blockStore is where blocks outlive the process, and how other processes learn of them.
type blockStore interface {
	BlockAddress(ctx context.Context, b models.AddressBlock) (*models.AddressBlock, error)
	AddressBlock(ctx context.Context, projectID, id int64) (*models.AddressBlock, error)
	AllAddressBlocks(ctx context.Context, limit int) ([]models.AddressBlock, error)
}

// blockKeeper writes the blocks of this process down and reads those of others, one after the other in the background.
type blockKeeper struct {
	blocks *blocks
	store  blockStore
	log    *slog.Logger
	queue  chan blockJob
	// unread is set where memory may lack what the table has: all of it is read then.
	unread atomic.Bool
	end    chan struct{} // closed at close: do what waits, then end
	done   chan struct{} // closed when the loop has ended
}

// blockJob is a block to write, or the id of a row to read, or where flushed is set a question whether all before it is done.
type blockJob struct {
	who     caller
	write   *models.AddressBlock
	ends    int64 // of the block to write, as memory has it
	read    int64
	flushed chan<- struct{}
}

// start reads what the table has, so that no address gets away by a restart. Where the database does not answer, the loop tries on.
func (k *blockKeeper) start(b *blocks, store blockStore, log *slog.Logger) {
	k.blocks, k.store, k.log = b, store, log
	k.queue, k.end, k.done = make(chan blockJob, maxBlockJobs), make(chan struct{}), make(chan struct{})
	if err := once(k.readAll); err != nil {
		log.Error("the blocked addresses could not be read, trying again", "error", err)
		k.unread.Store(true)
	}
	go k.run()
}

// write has the row of a block written that ends then; false where it will have none, or too many wait already.
func (k *blockKeeper) write(who caller, row models.AddressBlock, ends int64) bool {
	if who.project == withoutProject {
		return false
	}
	select {
	case k.queue <- blockJob{who: who, write: &row, ends: ends}:
		return true
	default:
		k.log.Warn("a blocked address is not written down: too many wait", "project", row.ProjectID)
		return false
	}
}

// read has the row read; all of them where too many wait.
func (k *blockKeeper) read(projectID, id int64) {
	select {
	case k.queue <- blockJob{who: caller{project: projectID}, read: id}:
	default:
		k.unread.Store(true)
	}
}

// readAgain has all rows read.
func (k *blockKeeper) readAgain() {
	k.unread.Store(true)
	select {
	case k.queue <- blockJob{flushed: make(chan struct{})}: // wakes the loop
	default: // which is busy, and looks when it is done
	}
}

func (k *blockKeeper) run() {
	defer close(k.done)
	for {
		if k.unread.CompareAndSwap(true, false) {
			if err := insist(k.end, k.log, k.readAll, nil); err != nil {
				k.log.Error("the blocked addresses could not be read", "error", err)
			}
		}
		select {
		case job := <-k.queue:
			k.do(job)
			continue
		default:
		}
		select {
		case job := <-k.queue:
			k.do(job)
		case <-k.end:
			return
		}
	}
}

func (k *blockKeeper) do(job blockJob) {
	var err error
	switch {
	case job.flushed != nil:
		close(job.flushed)
		return
	case job.write != nil:
		var row *models.AddressBlock
		over := job.write.BlockedAt.Add(models.BlockLasts(job.write.Strikes))
		err = insist(k.end, k.log, func(ctx context.Context) (err error) {
			row, err = k.store.BlockAddress(ctx, *job.write)
			return err
		}, func() bool { return !k.blocks.now().Before(over) })
		k.blocks.written(job.who, job.ends, row)
	default:
		err = insist(k.end, k.log, func(ctx context.Context) error { return k.readOne(ctx, job.who.project, job.read) }, nil)
	}
	if err != nil {
		k.log.Error("a blocked address could not be written or read", "project", job.who.project, "error", err)
	}
}

func (k *blockKeeper) readOne(ctx context.Context, projectID, id int64) error {
	for {
		epoch := k.blocks.epoch.Load()
		row, err := k.store.AddressBlock(ctx, projectID, id)
		if models.IsNotFound(err) { // a newer block has taken its place
			return nil
		}
		if err != nil || k.blocks.learn(row, epoch) {
			return err
		}
	}
}

func (k *blockKeeper) readAll(ctx context.Context) error {
	for {
		epoch, fresh := k.blocks.epoch.Load(), true
		rows, err := k.store.AllAddressBlocks(ctx, maxBlocked)
		for i := len(rows) - 1; i >= 0 && err == nil && fresh; i-- { // the newest last: it is kept longest
			fresh = k.blocks.learn(&rows[i], epoch)
		}
		if err != nil || fresh {
			return err
		}
	}
}

// flush returns when every block that was made before the call is written, and every change that was told of is read.
func (k *blockKeeper) flush(ctx context.Context) error {
	// A block that is written tells of itself, which is one more thing to read: it waits behind the first question.
	for range 2 {
		if err := flushed(ctx, k.queue, func(answered chan<- struct{}) blockJob { return blockJob{flushed: answered} }); err != nil {
			return err
		}
	}
	return nil
}

// close does what waits and ends the loop. Call it once.
func (k *blockKeeper) close(ctx context.Context) error {
	close(k.end)
	return ended(ctx, k.done)
}

// rowAddress is the address of a row without the /64 of a group.
func rowAddress(row *models.AddressBlock) string { return strings.TrimSuffix(row.Address, "/64") }
