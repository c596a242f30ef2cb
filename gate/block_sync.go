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

// maxBlockJobs bounds the jobs that wait. Further blocks are in force in this process only.
const maxBlockJobs = 1024

// blockStore reads and writes blocks in the database.
type blockStore interface {
	BlockAddress(ctx context.Context, b models.AddressBlock) (*models.AddressBlock, error)
	AddressBlock(ctx context.Context, projectID, id int64) (*models.AddressBlock, error)
	AllAddressBlocks(ctx context.Context, limit int) ([]models.AddressBlock, error)
}

// blockSync writes the blocks of this process to the database and reads those of other processes. It does so in the
// background, one job at a time.
type blockSync struct {
	blocks *blocks
	store  blockStore
	log    *slog.Logger
	queue  chan blockJob
	// unread is set if the table may have blocks that memory has not. Then all rows are read.
	unread atomic.Bool
	worker *worker
}

// blockJob is a block to write, or the id of a row to read.
type blockJob struct {
	addr  projectAddress
	write *models.AddressBlock // nil: read the row
	ends  int64                // end of the block to write, as it is in memory
	read  int64
}

// start reads the blocks in the table, so that they stay in force after a restart. If that fails, the worker tries
// again in the background.
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

// write queues the row of a block to be written; ends is the block's end in memory. It reports false if the block will
// have no row, because it is of no project or too many jobs wait.
func (k *blockSync) write(addr projectAddress, row models.AddressBlock, ends int64) bool {
	if addr.project == withoutProject {
		return false
	}
	select {
	case k.queue <- blockJob{addr: addr, write: &row, ends: ends}:
		k.worker.wake()
		return true
	default:
		k.log.Warn("a blocked address is not written to the database: too many are waiting", "project", row.ProjectID)
		return false
	}
}

// read queues a row to be read. If too many jobs wait, all rows are read instead.
func (k *blockSync) read(projectID, id int64) {
	select {
	case k.queue <- blockJob{addr: projectAddress{project: projectID}, read: id}:
	default:
		k.unread.Store(true)
	}
	k.worker.wake()
}

// readAgain makes the worker read all rows.
func (k *blockSync) readAgain() {
	k.unread.Store(true)
	k.worker.wake()
}

// work reads all rows if unread is set, and then does the jobs in the queue.
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
		err := k.worker.retry(func(ctx context.Context) error {
			return k.readOne(ctx, job.addr.project, job.read)
		}, nil)
		if err != nil {
			return fmt.Errorf("read a blocked address of project %d: %w", job.addr.project, err)
		}
		return nil
	}
	var row *models.AddressBlock
	end := job.write.BlockedAt.Add(models.BlockLasts(job.write.Strikes))
	err := k.worker.retry(func(ctx context.Context) (err error) {
		row, err = k.store.BlockAddress(ctx, *job.write)
		return err
	}, func() bool { return !k.blocks.now().Before(end) })
	k.blocks.onWritten(job.addr, job.ends, row)
	if err != nil {
		return fmt.Errorf("write a blocked address of project %d: %w", job.addr.project, err)
	}
	return nil
}

// readOne reads a row and applies it. If anything changed meanwhile, it reads the row again.
func (k *blockSync) readOne(ctx context.Context, projectID, id int64) error {
	for {
		epoch := k.blocks.epoch.Load()
		row, err := k.store.AddressBlock(ctx, projectID, id)
		if models.IsNotFound(err) { // it was replaced by a newer block, whose row is read for its own change
			return nil
		}
		if err != nil || k.blocks.apply(row, epoch) {
			return err
		}
	}
}

// readAll reads all rows and applies them. If anything changed meanwhile, it reads them again.
func (k *blockSync) readAll(ctx context.Context) error {
	for {
		epoch, fresh := k.blocks.epoch.Load(), true
		rows, err := k.store.AllAddressBlocks(ctx, maxBlocked)
		for i := len(rows) - 1; i >= 0 && err == nil && fresh; i-- { // newest last, so that it is evicted last
			fresh = k.blocks.apply(&rows[i], epoch)
		}
		if err != nil || fresh {
			return err
		}
	}
}

// flush returns when every block that was made before the call is written, and every row that changed before the call
// is read, or with ctx's error.
func (k *blockSync) flush(ctx context.Context) error {
	// Writing a block is a change, which queues its row to be read. The second call waits for that.
	for range 2 {
		if err := k.worker.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rowAddress returns the address of a row without the /64 of an IPv6 network.
func rowAddress(row *models.AddressBlock) string { return strings.TrimSuffix(row.Address, "/64") }
