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

// worker calls a function in the background for what gathers: some time after wake, at once on flush, and a last time
// at close. One call at a time runs.
type worker struct {
	what     string        // it does, for the log
	interval time.Duration // from wake to the call
	work     func() error  // handles all that has gathered before the call
	log      *slog.Logger
	err      error // of the last call; only run uses it

	woken   chan struct{}
	flushes chan chan<- struct{} // run closes what is sent after the next call
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

// start begins to call work. Call it once.
func (w *worker) start(work func() error) {
	w.work = work
	go w.run()
}

// wake says that something has gathered. It never waits.
func (w *worker) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// flush returns when all that gathered before the call is handled, or with ctx's error.
func (w *worker) flush(ctx context.Context) error {
	handled := make(chan struct{})
	select {
	case w.flushes <- handled:
		return waitDone(ctx, handled)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close handles what has gathered and ends the worker. It returns ctx's error where that takes longer. Call it once.
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

// gather waits for the interval to pass, or for flush or close.
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

// retry tries until it succeeds, or fails for good, or the worker closes: then the last error is returned. expired says
// that trying has become pointless; it may be nil. An outage of more than a moment is logged once.
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
			w.log.Warn("background work fails, trying again", "work", w.what, "error", err)
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

// drainQueue handles what is in the queue at the call, and returns the errors. Only one goroutine may receive from the
// queue.
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
