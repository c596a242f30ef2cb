package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAWorkerHandlesQueuedWorkOnFlushAndOnClose(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorker("test", time.Hour, slog.New(slog.DiscardHandler))
	w.start(func() error { calls.Add(1); return nil })
	w.wake()
	w.wake()
	if err := w.flush(t.Context()); err != nil || calls.Load() == 0 {
		t.Errorf("flush returned %v after %d calls", err, calls.Load())
	}
	before := calls.Load()
	w.wake()
	if err := w.close(t.Context()); err != nil || calls.Load() == before {
		t.Errorf("close returned %v after %d calls, %d of them before it", err, calls.Load(), before)
	}
}

func TestAWorkerThatIsClosedAtOnceHandlesQueuedWork(t *testing.T) {
	t.Parallel()
	for range 100 { // the worker may notice close before wake
		var handled, queued atomic.Bool
		w := newWorker("test", 0, slog.New(slog.DiscardHandler))
		w.start(func() error { handled.Store(queued.Load()); return nil })
		queued.Store(true)
		w.wake()
		if err := w.close(t.Context()); err != nil || !handled.Load() {
			t.Fatalf("close returned %v, and handled the queued work: %v", err, handled.Load())
		}
	}
}

func TestAWorkerWaitsForItsIntervalAndHandlesQueuedWorkTogether(t *testing.T) {
	t.Parallel()
	const interval = 20 * time.Millisecond
	started, took := time.Now(), make(chan time.Duration, 100)
	w := newWorker("test", interval, slog.New(slog.DiscardHandler))
	w.start(func() error { took <- time.Since(started); return nil })
	for range 10 {
		w.wake()
	}
	if first := <-took; first < interval {
		t.Errorf("work was called after %v, want at least the interval", first)
	}
	if err := w.close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(took); n > 2 { // one more if wake was called after the first began, and one at close
		t.Errorf("work was called %d times more for 10 calls of wake, want at most 2", n)
	}
}

func TestAWorkersFlushAndCloseEndWithTheirContext(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	w := newWorker("test", 0, slog.New(slog.DiscardHandler))
	w.start(func() error { <-hold; return nil })
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	w.wake()
	if err := w.flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush returned %v, want the context's error", err)
	}
	if err := w.close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close returned %v, want the context's error", err)
	}
	close(hold)
}

func TestRetryEndsWhenTheWorkerIsClosed(t *testing.T) {
	t.Parallel()
	tried := make(chan struct{}, 100)
	w := newWorker("test", 0, slog.New(slog.DiscardHandler))
	w.start(func() error {
		return w.retry(func(context.Context) error {
			select {
			case tried <- struct{}{}:
			default:
			}
			return errors.New("away")
		}, nil)
	})
	w.wake()
	<-tried
	<-tried
	if err := w.close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAWorkerLogsAnErrorOnceUntilItSucceeds(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	err := errors.New("away")
	w := newWorker("test", 0, slog.New(slog.NewTextHandler(&log, nil)))
	w.start(func() error { return err })
	work := func(next error) {
		t.Helper()
		err = next
		if err := w.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, next := range []error{errors.New("away"), errors.New("away"), errors.New("full"), nil, nil} {
		work(next)
	}
	if err := w.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{"error=away": 1, "error=full": 1, "succeeds again": 1} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
}
