package recorder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

func TestInSyncModeAnAnswerWaitsUntilItsRowIsWritten(t *testing.T) {
	t.Parallel()
	sink := &sink{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, sink, inSync)
	ticket := r.Add(requestlog.Row{ID: 1})
	<-sink.entered
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Wait(short, ticket); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting gave %v before the row was written", err)
	}
	close(sink.hold)
	if err := r.Wait(t.Context(), ticket); err != nil || len(sink.ids()) != 1 {
		t.Errorf("waiting gave %v, written is %v", err, sink.ids())
	}
	closeRecorder(t, r)
}

func TestInSyncModeThoseWhoWaitShareAWrite(t *testing.T) {
	t.Parallel()
	sink := &sink{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, sink, inSync)
	var answered atomic.Int32
	var group sync.WaitGroup
	ask := func(id requestlog.ID) {
		group.Go(func() {
			if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: id})); err != nil {
				t.Error(err)
			}
			answered.Add(1)
		})
	}
	ask(1)
	<-sink.entered
	for id := range requestlog.ID(63) {
		ask(id + 2)
	}
	eventually(t, "all to wait", func() bool { return r.Stats().Waiting == 64 })
	if n := answered.Load(); n != 0 {
		t.Errorf("%d were answered before anything was written", n)
	}
	close(sink.hold)
	group.Wait()
	if want := []int{1, 63}; !slices.Equal(sink.batches, want) {
		t.Errorf("the writes had %v rows, not %v", sink.batches, want)
	}
	closeRecorder(t, r)
}

func TestInSyncModeThoseWhoComeAgainShareAWriteAgain(t *testing.T) {
	t.Parallel()
	sink := &sink{entered: make(chan struct{}, 1000), hold: make(chan struct{})}
	r := newRecorder(t, sink, inSync)
	var last Ticket
	come := func(rows int) {
		for range rows {
			last = r.Add(requestlog.Row{ID: 1})
			runtime.Gosched() // the recorder could write it now
		}
	}
	come(1)
	<-sink.entered
	come(15)
	close(sink.hold)
	const rounds, torn = 50, 10 // this process may be held up in the middle of some
	for range rounds {
		if err := r.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		come(15)
	}
	closeRecorder(t, r)
	if n := len(sink.batches); n > 2+rounds+torn {
		t.Errorf("%d times 15 callers needed %d writes", 1+rounds, n-1)
	}
}

func TestInSyncModeWhoIsAloneDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	const rounds = 100
	r := newRecorder(t, &sink{}, inSync)
	started := time.Now()
	for range rounds {
		if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 1})); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(started); took > rounds*gatherSync {
		t.Errorf("%d answers took %v", rounds, took)
	}
	closeRecorder(t, r)
}

func TestInSyncModeARowInTheSpoolIsKept(t *testing.T) {
	t.Parallel()
	sink, folder := &sink{}, t.TempDir()
	sink.setAway(true)
	r := newRecorder(t, sink, inSync, spoolIn(folder))
	for id := range requestlog.ID(20) {
		if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: id + 1})); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.SpooledRows != int(id)+1 {
			t.Fatalf("answered before row %d was in the spool: %+v", id+1, s)
		}
	}
	eventually(t, "the second failure", func() bool { return r.State().Behind })
	if s := r.State(); s.Refusing {
		t.Errorf("%+v", s)
	}
	sink.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(sink.ids(), numbered(20)) {
		t.Errorf("written: %v", sink.ids())
	}
}

func TestInSyncModeWhoCannotBeRecordedIsTold(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T) func(*Recorder){
		"no spool": func(*testing.T) func(*Recorder) { return spoolIn("") },
		"a spool that cannot be opened": func(t *testing.T) func(*Recorder) {
			path := filepath.Join(t.TempDir(), "file") // where a folder should be
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return spoolIn(path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &sink{}
			sink.setAway(true)
			r := newRecorder(t, sink, inSync, change(t))
			for id := range requestlog.ID(3) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if err := r.Wait(ctx, r.Add(requestlog.Row{ID: id + 1})); !errors.Is(err, ErrNotRecorded) {
					t.Errorf("waiting for row %d gave %v", id+1, err)
				}
				cancel()
			}
			eventually(t, "the state to say so", func() bool { return r.State().Refusing })
			sink.setAway(false)
			eventually(t, "the state to be over", func() bool { return !r.State().Behind })
			if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 4})); err != nil {
				t.Errorf("after the failure waiting gave %v", err)
			}
			if s := r.State(); s.Behind || !slices.Equal(sink.ids(), numbered(4)) {
				t.Errorf("%+v, written %v", s, sink.ids())
			}
			closeRecorder(t, r)
		})
	}
}

// Where a database is slow and there is no spool, its callers wait: none of them is refused.
func TestInSyncModeASlowDatabaseRefusesNobody(t *testing.T) {
	t.Parallel()
	sink := &sink{entered: make(chan struct{}, 1), hold: make(chan struct{})}
	r := newRecorder(t, sink, inSync)
	ticket := r.Add(requestlog.Row{ID: 1})
	eventually(t, "the spool to be tried", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.counts.spoolErr != nil
	})
	if r.Refusing() {
		t.Error("requests are refused")
	}
	close(sink.hold)
	if err := r.Wait(t.Context(), ticket); err != nil {
		t.Error(err)
	}
	closeRecorder(t, r)
}

// A spool that takes rows again is enough, also while the database is away.
func TestInSyncModeASpoolThatCanBeOpenedAgainEndsRefusing(t *testing.T) {
	t.Parallel()
	sink := &sink{away: true}
	path := filepath.Join(t.TempDir(), "file") // where a folder should be
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t, sink, inSync, spoolIn(path))
	if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 1})); !errors.Is(err, ErrNotRecorded) || !r.Refusing() {
		t.Fatalf("waiting gave %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "rows to be taken", func() bool { return !r.Refusing() })
	if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 2})); err != nil {
		t.Error(err)
	}
	sink.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(sink.ids(), numbered(2)) {
		t.Errorf("written: %v", sink.ids())
	}
}

func TestOneFailedAttemptIsNotReported(t *testing.T) {
	t.Parallel()
	sink := &sink{refuse: 1, entered: make(chan struct{}), hold: make(chan struct{})}
	r := newRecorder(t, sink)
	r.Add(requestlog.Row{ID: 1})
	for range 2 {
		<-sink.entered
		if s := r.State(); s.Behind {
			t.Errorf("%+v", s)
		}
		sink.hold <- struct{}{}
	}
	closeRecorder(t, r)
}

func BenchmarkRecorderAdd(b *testing.B) {
	r, err := New(Options{Write: func(context.Context, []requestlog.Row) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	row := requestlog.Row{
		ID: 1, ProjectID: 1, KeyID: 1, Category: "production", Method: "GET", Path: "/v1/things", IP: "192.0.2.1",
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Add(row)
	}
	r.Close(b.Context())
}
