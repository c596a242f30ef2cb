package gate

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// reportStore has the rows of some requests; those of others come between two calls of Complete.
type reportStore struct {
	*stubStore
	calls  [][]requestlog.Report
	exists func(call int, id requestlog.ID) bool
	err    error
}

func (s *reportStore) Complete(
	_ context.Context, _ int64, reports []requestlog.Report,
) (missing []requestlog.ID, err error) {
	s.calls = append(s.calls, reports)
	for _, r := range reports {
		if !s.exists(len(s.calls), r.ID) {
			missing = append(missing, r.ID)
		}
	}
	return missing, s.err
}

// It waits for a row that another process is about to write, and for no other.
func TestAReportWaitsForRowsThatMayStillBeWritten(t *testing.T) {
	now := time.Now()
	id := func(age time.Duration) requestlog.ID { return requestlog.FirstIDAt(now.Add(-age)) }
	there, coming, old := id(10*time.Second), id(100*time.Millisecond), id(10*time.Second)+1
	for name, test := range map[string]struct {
		shared bool
		ids    []requestlog.ID
		calls  []int // reports in each call of Complete
		want   []requestlog.ID
	}{
		"all rows exist":        {true, []requestlog.ID{there}, []int{1}, nil},
		"an old row is missing": {true, []requestlog.ID{there, old}, []int{2}, []requestlog.ID{old}},
		"a row of another process": {
			true, []requestlog.ID{there, old, coming}, []int{3, 2, 2}, []requestlog.ID{old},
		},
		"there are no other processes": {false, []requestlog.ID{there, coming}, []int{2, 1}, []requestlog.ID{coming}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &reportStore{stubStore: &stubStore{}, exists: func(call int, id requestlog.ID) bool {
				return id == there || id == coming && call == 3
			}}
			g, err := New(s, s, models.Pepper{}, Options{Now: func() time.Time { return now }, Shared: test.shared})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { g.Close(context.Background()) })
			var reports []requestlog.Report
			for _, id := range test.ids {
				reports = append(reports, requestlog.Report{ID: id, Credits: sql.NullInt64{Int64: 1, Valid: true}})
			}
			missing, err := g.Report(t.Context(), &Project{}, reports)
			if err != nil || !slices.Equal(missing, test.want) {
				t.Errorf("%v are missing, want %v (%v)", missing, test.want, err)
			}
			var calls []int
			for _, reports := range s.calls {
				calls = append(calls, len(reports))
			}
			if !slices.Equal(calls, test.calls) {
				t.Errorf("Complete was called with %v reports, want %v", calls, test.calls)
			}
		})
	}
}

// If rows cannot be written now, their requests are not reported as missing.
func TestAReportOfRowsThatCannotBeWrittenFails(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.full.Store(true)
	id := requestlog.FirstIDAt(time.Now().Add(-5 * time.Second)) // too old for another process to be about to write it
	if _, err := g.Check(t.Context(), &Request{ID: id, Project: p, Key: secrets[0]}); err != nil {
		t.Fatal(err)
	}
	reports := []requestlog.Report{{ID: id, Status: 200}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Report(ctx, p, reports); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reporting about a row that waits returned %v, want %v", err, context.DeadlineExceeded)
	}
	w.full.Store(false)
	if missing, err := g.Report(t.Context(), p, reports); err != nil || len(missing) > 0 {
		t.Errorf("after the row could be written, %v are missing (%v), want none", missing, err)
	}
}
