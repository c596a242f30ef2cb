package recorder

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

func TestEveryRowIsWrittenOnceAndInOrder(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{}
	r := newRecorder(t, database)
	const rows = 3*maxBatch + 17
	for _, id := range numbered(rows) {
		ticket := r.Add(requestlog.Row{ID: id})
		if ticket.Number != uint64(id) || r.Stored() >= ticket.Number && len(database.ids()) < int(id) {
			t.Fatalf("row %d has the ticket %d, stored is %d", id, ticket.Number, r.Stored())
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(database.ids(), numbered(rows)) {
		t.Errorf("%d rows were written, want %d, in order", len(database.ids()), rows)
	}
}

func TestABatchThatFailsIsWrittenAgain(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{failures: 3}
	r := newRecorder(t, database)
	r.Add(requestlog.Row{ID: 1})
	r.Add(requestlog.Row{ID: 2})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(database.ids(), numbered(2)) {
		t.Errorf("written: %v", database.ids())
	}
	if stats := r.Stats(); stats.Retries != 3 || stats.Stored != 2 || stats.Waiting != 0 {
		t.Errorf("the state is %+v", stats)
	}
	r.Close(t.Context())
}

func TestAddNeverWaitsAndMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const pending = 20_000
	database := &fakeDatabase{entered: make(chan struct{}, 1000), hold: make(chan struct{})}
	r := newRecorder(t, database, func(r *Recorder) { r.limits.pending = pending })
	r.Add(requestlog.Row{ID: 1})
	<-database.entered // writing hangs from now on
	for i := range pending + 10 {
		r.Add(requestlog.Row{ID: requestlog.ID(i + 2)})
	}
	if stats := r.Stats(); stats.Dropped != 11 || stats.Waiting != pending {
		t.Errorf("the state is %+v", stats)
	}
	close(database.hold)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(database.ids(), numbered(pending)) {
		t.Errorf("%d rows were written, want %d, in order", len(database.ids()), pending)
	}
}

func TestFlushWaitsForRowsThatAreBeingWritten(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, database)
	r.Add(requestlog.Row{ID: 1})
	<-database.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("before the row was written Flush returned %v, want context canceled", err)
	}
	close(database.hold)
	if err := r.Flush(t.Context()); err != nil || len(database.ids()) != 1 {
		t.Errorf("Flush returned %v, written: %v", err, database.ids())
	}
	r.Close(t.Context())
}

func TestConcurrentAddsLoseNoRow(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{failures: 2}
	r := newRecorder(t, database)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 1000 {
				r.Add(requestlog.Row{ID: requestlog.ID(g*1000 + i + 1)})
			}
		})
	}
	group.Wait()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := database.ids()
	slices.Sort(got)
	if !slices.Equal(got, numbered(8000)) {
		t.Errorf("%d different rows were written, want 8000", len(slices.Compact(got)))
	}
}
