package gate

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// flushEvery is how long a row waits for others at most before a batch is written.
	flushEvery = 25 * time.Millisecond
	// writeTimeout ends an attempt to write a batch; it is then tried again.
	writeTimeout = 10 * time.Second
	// maxPending bounds the memory of rows that wait: about 100 MB. Beyond it rows are dropped and counted.
	maxPending = 250_000
	// maxBatch bounds one transaction, so that other writers get their turn.
	maxBatch              = 5_000
	firstRetry, lastRetry = 20 * time.Millisecond, time.Second
)

// Recorder writes rows in batches, in the background. A batch is kept until it is written.
type Recorder struct {
	write func(context.Context, []models.RequestLog) error
	log   *slog.Logger

	mu      sync.Mutex
	pending []models.RequestLog
	written chan struct{} // closed and renewed after each batch

	wake  chan struct{} // rows are waiting
	hurry chan struct{} // closed at Close: write without waiting for more
	done  chan struct{} // closed when the loop has ended

	added, stored, retries, dropped atomic.Uint64
}

// NewRecorder starts a recorder that stores through write, which must be repeatable: see [models.Store.WriteRequestLogs].
func NewRecorder(write func(context.Context, []models.RequestLog) error, log *slog.Logger) *Recorder {
	r := &Recorder{
		write: write, log: log, written: make(chan struct{}),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}), done: make(chan struct{}),
	}
	go r.run()
	return r
}

// Add takes a row. It never waits: where too many rows wait already, the row is dropped and counted.
func (r *Recorder) Add(row models.RequestLog) (ticket uint64) {
	r.mu.Lock()
	full := len(r.pending) >= maxPending
	if !full {
		r.pending = append(r.pending, row)
		ticket = r.added.Add(1)
	}
	r.mu.Unlock()
	if full {
		r.dropped.Add(1)
		return 0
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return ticket
}

// Stored is the newest ticket whose row is stored, with all before it.
func (r *Recorder) Stored() uint64 { return r.stored.Load() }

// Flush returns when every row that was added before the call is stored, or with ctx's error.
func (r *Recorder) Flush(ctx context.Context) error {
	goal := r.added.Load()
	for {
		r.mu.Lock()
		written := r.written
		r.mu.Unlock()
		if r.stored.Load() >= goal {
			return nil
		}
		select {
		case <-written:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stores what waits and ends the recorder. Call it once, when nobody adds any more. Where ctx ends first, the
// rows that are left are lost and their number is logged.
func (r *Recorder) Close(ctx context.Context) error {
	close(r.hurry)
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		r.log.Error("rows were not written before the end", "rows", r.added.Load()-r.stored.Load())
		return ctx.Err()
	}
}

func (r *Recorder) run() {
	defer close(r.done)
	closing := false
	for !closing {
		select {
		case <-r.wake:
			select { // others may come: one transaction for all of them
			case <-time.After(flushEvery):
			case <-r.hurry:
			}
		case <-r.hurry:
			closing = true
		}
		for batch := r.take(); len(batch) > 0; batch = r.take() {
			r.store(batch)
		}
	}
}

// take cuts the next batch off the rows that wait.
func (r *Recorder) take() []models.RequestLog {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.pending), maxBatch)
	batch := r.pending[:n:n]
	if r.pending = r.pending[n:]; len(r.pending) == 0 {
		r.pending = nil
	}
	return batch
}

// store tries until the batch is written.
func (r *Recorder) store(batch []models.RequestLog) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		err := r.write(ctx, batch)
		cancel()
		if err == nil {
			break
		}
		r.retries.Add(1)
		r.log.Error("request rows could not be written, trying again", "rows", len(batch), "error", err)
		time.Sleep(pause)
	}
	r.mu.Lock()
	r.stored.Add(uint64(len(batch)))
	close(r.written)
	r.written = make(chan struct{})
	r.mu.Unlock()
}

// RecorderStats are counts since the start, and what waits now.
type RecorderStats struct {
	Waiting                  int
	Stored, Retries, Dropped uint64
}

// Stats of the recorder at this moment.
func (r *Recorder) Stats() RecorderStats {
	stored := r.stored.Load()
	return RecorderStats{
		Waiting: int(r.added.Load() - stored), Stored: stored, Retries: r.retries.Load(), Dropped: r.dropped.Load(),
	}
}
