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
	sink := &sink{}
	r := newRecorder(t, sink)
	const rows = 3*maxBatch + 17
	for _, id := range numbered(rows) {
		ticket := r.Add(requestlog.Row{ID: id})
		if ticket.Number != uint64(id) || r.Stored() >= ticket.Number && len(sink.ids()) < int(id) {
			t.Fatalf("row %d has the ticket %d, stored is %d", id, ticket.Number, r.Stored())
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.ids(), numbered(rows)) {
		t.Errorf("%d rows written of %d", len(sink.ids()), rows)
	}
}

func TestABatchThatFailsIsKeptAndWrittenLater(t *testing.T) {
	t.Parallel()
	sink := &sink{refuse: 3}
	r := newRecorder(t, sink)
	r.Add(requestlog.Row{ID: 1})
	r.Add(requestlog.Row{ID: 2})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.ids(), numbered(2)) {
		t.Errorf("written: %v", sink.ids())
	}
	if stats := r.Stats(); stats.Retries != 3 || stats.Stored != 2 || stats.Waiting != 0 {
		t.Errorf("%+v", stats)
	}
	r.Close(t.Context())
}

func TestAddNeverWaitsAndMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const pending = 20_000
	sink := &sink{entered: make(chan struct{}, 1000), hold: make(chan struct{})}
	r := newRecorder(t, sink, func(r *Recorder) { r.limits.pending = pending })
	r.Add(requestlog.Row{ID: 1})
	<-sink.entered // the writer is stuck from now on
	for i := range pending + 10 {
		r.Add(requestlog.Row{ID: requestlog.ID(i + 2)})
	}
	if stats := r.Stats(); stats.Dropped != 11 || stats.Waiting != pending {
		t.Errorf("%+v", stats)
	}
	close(sink.hold)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.ids(), numbered(pending)) {
		t.Errorf("%d rows written", len(sink.ids()))
	}
}

func TestFlushWaitsForRowsThatAreBeingWritten(t *testing.T) {
	t.Parallel()
	sink := &sink{entered: make(chan struct{}, 10), hold: make(chan struct{})}
	r := newRecorder(t, sink)
	r.Add(requestlog.Row{ID: 1})
	<-sink.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush returned %v before the row was written", err)
	}
	close(sink.hold)
	if err := r.Flush(t.Context()); err != nil || len(sink.ids()) != 1 {
		t.Errorf("%v %v", err, sink.ids())
	}
	r.Close(t.Context())
}

func TestManyGoroutinesLoseNothing(t *testing.T) {
	t.Parallel()
	sink := &sink{refuse: 2}
	r := newRecorder(t, sink)
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
	got := sink.ids()
	slices.Sort(got)
	if !slices.Equal(got, numbered(8000)) {
		t.Errorf("%d different rows of 8000", len(slices.Compact(got)))
	}
}
