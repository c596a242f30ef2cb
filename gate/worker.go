package gate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// writeTimeout ends one attempt to write or read what a worker keeps in the database.
	writeTimeout          = 10 * time.Second
	firstRetry, lastRetry = 20 * time.Millisecond, time.Second
)

// worker calls a function in the background to handle work that others have queued: an interval after wake, at once on
// flush, and a last time on close. One call runs at a time.
type worker struct {
	what     string        // what work does, for the log
	interval time.Duration // from wake to the call
	work     func() error  // handles all that was queued before the call
	log      *slog.Logger
	err      error // of the last call; only run uses it

	woken   chan struct{}
	flushes chan chan<- struct{} // run closes a sent channel after the next call of work
	closing chan struct{}        // closed by close
	done    chan struct{}        // closed when run has returned
}

func newWorker(what string, interval time.Duration, log *slog.Logger) *worker {
	return &worker{
		what: what, interval: interval, log: log,
		woken: make(chan struct{}, 1), flushes: make(chan chan<- struct{}),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
}

// start sets work and starts the goroutine. Call it once.
func (w *worker) start(work func() error) {
	w.work = work
	go w.run()
}

// wake says that something was queued. It never waits.
func (w *worker) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// flush returns when all that was queued before the call has been handled, or with ctx's error.
func (w *worker) flush(ctx context.Context) error {
	handled := make(chan struct{})
	select {
	case w.flushes <- handled:
		return waitDone(ctx, handled)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close handles what is queued and ends the worker. It returns ctx's error if that takes longer. Call it once.
func (w *worker) close(ctx context.Context) error {
	close(w.closing)
	return waitDone(ctx, w.done)
}

func (w *worker) run() {
	defer close(w.done)
	for closing := false; !closing; {
		var flushed chan<- struct{}
		select {
		case <-w.woken:
			flushed, closing = w.gather()
		case flushed = <-w.flushes:
		case <-w.closing:
			closing = true
		}
		w.report(w.work())
		if flushed != nil {
			close(flushed)
		}
	}
}

// gather waits until the interval has passed, or for a flush or close.
func (w *worker) gather() (flushed chan<- struct{}, closing bool) {
	if w.interval == 0 {
		return nil, false
	}
	select {
	case <-time.After(w.interval):
	case flushed = <-w.flushes:
	case <-w.closing:
		closing = true
	}
	return flushed, closing
}

// report logs an error, unless it is that of the call before, and the first success after one.
func (w *worker) report(err error) {
	switch {
	case err != nil && (w.err == nil || w.err.Error() != err.Error()):
		w.log.Error("background work failed", "work", w.what, "error", err)
	case err == nil && w.err != nil:
		w.log.Info("background work succeeds again", "work", w.what)
	}
	w.err = err
}

// retry calls try until it succeeds, returns a [models.Error] (which another attempt would not change), expired reports
// true, or the worker closes. It returns the last error. expired may be nil. An outage of more than about a second is
// logged once.
func (w *worker) retry(try func(context.Context) error, expired func() bool) error {
	logged := false
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := withTimeout(try)
		var final *models.Error
		if err == nil || errors.As(err, &final) || expired != nil && expired() {
			return err
		}
		if pause == lastRetry && !logged {
			logged = true
			w.log.Warn("background work failed, trying again", "work", w.what, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-w.closing:
			return err
		}
	}
}

// withTimeout calls fn with a context that ends after writeTimeout.
func withTimeout(fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return fn(ctx)
}

// drainQueue handles the jobs that are in the queue when it is called, and returns their errors. Only one goroutine may
// receive from the queue.
func drainQueue[J any](queue <-chan J, handle func(J) error) error {
	var errs []error
	for range len(queue) {
		if err := handle(<-queue); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// waitDone returns when done is closed, or with ctx's error.
func waitDone(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
