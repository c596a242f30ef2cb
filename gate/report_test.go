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

// reportStore has rows of some requests; others come with a later question.
type reportStore struct {
	*stock
	asked [][]requestlog.Report
	rows  func(question int, id requestlog.ID) bool
	err   error
}

func (s *reportStore) Complete(_ context.Context, _ int64, reports []requestlog.Report) (missing []requestlog.ID, err error) {
	s.asked = append(s.asked, reports)
	for _, r := range reports {
		if !s.rows(len(s.asked), r.ID) {
			missing = append(missing, r.ID)
		}
	}
	return missing, s.err
}

// A row that another process is about to write is waited for, and no other one.
func TestAReportWaitsForRowsThatMayStillCome(t *testing.T) {
	now := time.Now()
	id := func(age time.Duration) requestlog.ID { return requestlog.FirstIDAt(now.Add(-age)) }
	there, coming, old := id(10*time.Second), id(100*time.Millisecond), id(10*time.Second)+1
	for name, test := range map[string]struct {
		shared bool
		ids    []requestlog.ID
		asked  []int // reports in each question
		want   []requestlog.ID
	}{
		"all there":                    {true, []requestlog.ID{there}, []int{1}, nil},
		"an old one is not there":      {true, []requestlog.ID{there, old}, []int{2}, []requestlog.ID{old}},
		"one of another process":       {true, []requestlog.ID{there, old, coming}, []int{3, 2, 2}, []requestlog.ID{old}},
		"there are no other processes": {false, []requestlog.ID{there, coming}, []int{2, 1}, []requestlog.ID{coming}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &reportStore{stock: &stock{}, rows: func(question int, id requestlog.ID) bool {
				return id == there || id == coming && question == 3
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
			var asked []int
			for _, question := range s.asked {
				asked = append(asked, len(question))
			}
			if !slices.Equal(asked, test.asked) {
				t.Errorf("the database was asked for %v reports, want %v", asked, test.asked)
			}
		})
	}
}

// Where rows cannot be written now, it is not said that they are none.
func TestAReportOfRowsThatCannotBeWrittenFails(t *testing.T) {
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	p := project(t, g)
	w.full.Store(true)
	id := requestlog.FirstIDAt(time.Now().Add(-5 * time.Second)) // older than what another process may be about to write
	if _, err := g.Check(t.Context(), &Request{ID: id, Project: p, Key: secrets[0]}); err != nil {
		t.Fatal(err)
	}
	reports := []requestlog.Report{{ID: id, Status: 200}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Report(ctx, p, reports); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a report of a row that waits gives %v", err)
	}
	w.full.Store(false)
	if missing, err := g.Report(t.Context(), p, reports); err != nil || len(missing) > 0 {
		t.Errorf("once it can be written, %v are missing (%v)", missing, err)
	}
}
