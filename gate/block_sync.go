package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/claviger/claviger/models"
)

// maxBlockJobs bounds what waits to be written and read. Further blocks hold in this process alone.
const maxBlockJobs = 1024

// blockStore is the database's side of blocks.
type blockStore interface {
	BlockAddress(ctx context.Context, b models.AddressBlock) (*models.AddressBlock, error)
	AddressBlock(ctx context.Context, projectID, id int64) (*models.AddressBlock, error)
	AllAddressBlocks(ctx context.Context, limit int) ([]models.AddressBlock, error)
}

// blockSync writes the blocks of this process to the database and reads those of others, one after the other in the
// background.
type blockSync struct {
	blocks *blocks
	store  blockStore
	log    *slog.Logger
	queue  chan blockJob
	// unread is set where memory may lack what the table has: all of it is read then.
	unread atomic.Bool
	worker *worker
}

// blockJob is a block to write, or the id of a row to read.
type blockJob struct {
	who   caller
	write *models.AddressBlock
	ends  int64 // of the block to write, as memory has it
	read  int64
}

// start reads what the table has, so that a restart ends no block. Where the database does not answer, the worker tries
// again.
func (k *blockSync) start(b *blocks, store blockStore, log *slog.Logger) {
	k.blocks, k.store, k.log, k.queue = b, store, log, make(chan blockJob, maxBlockJobs)
	k.worker = newWorker("write and read blocked addresses", 0, log)
	if err := withTimeout(k.readAll); err != nil {
		log.Error("the blocked addresses could not be read, trying again", "error", err)
		k.unread.Store(true)
		k.worker.wake()
	}
	k.worker.start(k.work)
}

// write has the row of a block written that ends then; false where it will have none, or too many wait already.
func (k *blockSync) write(who caller, row models.AddressBlock, ends int64) bool {
	if who.project == withoutProject {
		return false
	}
	select {
	case k.queue <- blockJob{who: who, write: &row, ends: ends}:
		k.worker.wake()
		return true
	default:
		k.log.Warn("a blocked address is not written to the database: too many wait", "project", row.ProjectID)
		return false
	}
}

// read has the row read; all of them where too many wait.
func (k *blockSync) read(projectID, id int64) {
	select {
	case k.queue <- blockJob{who: caller{project: projectID}, read: id}:
	default:
		k.unread.Store(true)
	}
	k.worker.wake()
}

// readAgain has all rows read.
func (k *blockSync) readAgain() {
	k.unread.Store(true)
	k.worker.wake()
}

// work reads all rows where that is due, and does what is in the queue.
func (k *blockSync) work() error {
	var err error
	if k.unread.CompareAndSwap(true, false) {
		if err = k.worker.retry(k.readAll, nil); err != nil {
			err = fmt.Errorf("read all blocked addresses: %w", err)
		}
	}
	return errors.Join(err, drainQueue(k.queue, k.do))
}

func (k *blockSync) do(job blockJob) error {
	if job.write == nil {
		err := k.worker.retry(func(ctx context.Context) error { return k.readOne(ctx, job.who.project, job.read) }, nil)
		if err != nil {
			return fmt.Errorf("read a blocked address of project %d: %w", job.who.project, err)
		}
		return nil
	}
	var row *models.AddressBlock
	over := job.write.BlockedAt.Add(models.BlockLasts(job.write.Strikes))
	err := k.worker.retry(func(ctx context.Context) (err error) {
		row, err = k.store.BlockAddress(ctx, *job.write)
		return err
	}, func() bool { return !k.blocks.now().Before(over) })
	k.blocks.written(job.who, job.ends, row)
	if err != nil {
		return fmt.Errorf("write a blocked address of project %d: %w", job.who.project, err)
	}
	return nil
}

func (k *blockSync) readOne(ctx context.Context, projectID, id int64) error {
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

func (k *blockSync) readAll(ctx context.Context) error {
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
func (k *blockSync) flush(ctx context.Context) error {
	// A block that is written tells of itself, which is one more row to read: the second call waits for that.
	for range 2 {
		if err := k.worker.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rowAddress is the address of a row without the /64 of a group.
func rowAddress(row *models.AddressBlock) string { return strings.TrimSuffix(row.Address, "/64") }
