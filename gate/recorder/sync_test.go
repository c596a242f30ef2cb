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
	database := &fakeDatabase{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, database, syncMode)
	ticket := r.Add(requestlog.Row{ID: 1})
	<-database.entered
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Wait(short, ticket); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the row was written Wait returned %v", err)
	}
	close(database.hold)
	if err := r.Wait(t.Context(), ticket); err != nil || len(database.ids()) != 1 {
		t.Errorf("Wait returned %v, written: %v", err, database.ids())
	}
	closeRecorder(t, r)
}

func TestInSyncModeWaitingCallersShareAWrite(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, database, syncMode)
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
	<-database.entered
	for id := range requestlog.ID(63) {
		ask(id + 2)
	}
	eventually(t, "all to wait", func() bool { return r.Stats().Waiting == 64 })
	if n := answered.Load(); n != 0 {
		t.Errorf("%d callers were answered before any row was written", n)
	}
	close(database.hold)
	group.Wait()
	if want := []int{1, 63}; !slices.Equal(database.batches, want) {
		t.Errorf("the writes had %v rows, want %v", database.batches, want)
	}
	closeRecorder(t, r)
}

func TestInSyncModeReturningCallersShareTheNextWrite(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{entered: make(chan struct{}, 1000), hold: make(chan struct{})}
	r := newRecorder(t, database, syncMode)
	var last Ticket
	come := func(rows int) {
		for range rows {
			last = r.Add(requestlog.Row{ID: 1})
			runtime.Gosched() // so that the recorder could write it now
		}
	}
	come(1)
	<-database.entered
	come(15)
	close(database.hold)
	const rounds, split = 50, 10 // the batch may be split in some rounds, if this process is suspended
	for range rounds {
		if err := r.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		come(15)
	}
	closeRecorder(t, r)
	if n := len(database.batches); n > 2+rounds+split {
		t.Errorf("%d times 15 callers needed %d writes, want about one for each time", 1+rounds, n-1)
	}
}

func TestInSyncModeASingleCallerDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	const rounds = 100
	r := newRecorder(t, &fakeDatabase{}, syncMode)
	started := time.Now()
	for range rounds {
		if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 1})); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(started); took > rounds*gatherSync {
		t.Errorf("%d answers took %v, want less than gatherSync each", rounds, took)
	}
	closeRecorder(t, r)
}

func TestInSyncModeARowInTheSpoolIsAnswered(t *testing.T) {
	t.Parallel()
	database, folder := &fakeDatabase{}, t.TempDir()
	database.setAway(true)
	r := newRecorder(t, database, syncMode, withFolder(folder))
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
		t.Errorf("the state is %+v", s)
	}
	database.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(database.ids(), numbered(20)) {
		t.Errorf("written: %v", database.ids())
	}
}

func TestInSyncModeACallerWhoseRowCannotBeWrittenGetsAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T) func(*Recorder){
		"no spool": func(*testing.T) func(*Recorder) { return withFolder("") },
		"a spool that cannot be opened": func(t *testing.T) func(*Recorder) {
			path := filepath.Join(t.TempDir(), "file") // where a folder should be
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return withFolder(path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			database := &fakeDatabase{}
			database.setAway(true)
			r := newRecorder(t, database, syncMode, change(t))
			for id := range requestlog.ID(3) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if err := r.Wait(ctx, r.Add(requestlog.Row{ID: id + 1})); !errors.Is(err, ErrNotRecorded) {
					t.Errorf("Wait for row %d returned %v, want ErrNotRecorded", id+1, err)
				}
				cancel()
			}
			eventually(t, "the state to be refusing", func() bool { return r.State().Refusing })
			database.setAway(false)
			eventually(t, "the state to be over", func() bool { return !r.State().Behind })
			if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 4})); err != nil {
				t.Errorf("after the failure Wait returned %v", err)
			}
			if s := r.State(); s.Behind || !slices.Equal(database.ids(), numbered(4)) {
				t.Errorf("%+v, written %v", s, database.ids())
			}
			closeRecorder(t, r)
		})
	}
}

// If the database is slow and there is no spool, callers wait and get no error.
func TestInSyncModeASlowDatabaseDoesNotCauseErrors(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{entered: make(chan struct{}, 1), hold: make(chan struct{})}
	r := newRecorder(t, database, syncMode)
	ticket := r.Add(requestlog.Row{ID: 1})
	eventually(t, "the spool to be tried", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.counts.spoolErr != nil
	})
	if r.Refusing() {
		t.Error("Refusing is true although the database has not failed")
	}
	close(database.hold)
	if err := r.Wait(t.Context(), ticket); err != nil {
		t.Error(err)
	}
	closeRecorder(t, r)
}

// Requests are answered as soon as the spool takes rows, even while the database is away.
func TestInSyncModeRefusingEndsWhenTheSpoolCanBeOpened(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{away: true}
	path := filepath.Join(t.TempDir(), "file") // where a folder should be
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t, database, syncMode, withFolder(path))
	if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 1})); !errors.Is(err, ErrNotRecorded) || !r.Refusing() {
		t.Fatalf("Wait returned %v, want ErrNotRecorded, and Refusing true", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the spool to take rows", func() bool { return !r.Refusing() })
	if err := r.Wait(t.Context(), r.Add(requestlog.Row{ID: 2})); err != nil {
		t.Error(err)
	}
	database.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(database.ids(), numbered(2)) {
		t.Errorf("written: %v", database.ids())
	}
}

func TestOneFailedAttemptIsNotReported(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{failures: 1, entered: make(chan struct{}), hold: make(chan struct{})}
	r := newRecorder(t, database)
	r.Add(requestlog.Row{ID: 1})
	for range 2 {
		<-database.entered
		if s := r.State(); s.Behind {
			t.Errorf("the state is %+v", s)
		}
		database.hold <- struct{}{}
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
