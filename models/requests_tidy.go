package models

import (
	"context"
	"time"
)

// retention is how long rows of requests are kept, as the plans say at the beginning of a round of tidying.
type retention struct {
	now      time.Time
	keepFrom map[int64]RequestID // by project: the oldest row that is kept; 0 where all are
	oldest   RequestID           // no project keeps a row from before
	project  int64               // where the round is with rows: projects up to this one are done
	counted  int64               // and with counts of unknown keys
}

// Tidy does one small step of what keeps the tables of requests small and quick: it removes rows that are older than the
// project's plan says, and sees to the indexes. more is true while there is more to do: call it again soon then, and else in a
// minute. Several processes on one Postgres may call it.
func (s *Store) Tidy(ctx context.Context) (more bool, err error) {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	if s.round == nil {
		if s.round, err = s.readRetention(ctx); err != nil {
			return false, err
		}
	}
	more, err = s.requests.tidy(ctx, s.round)
	if !more && err == nil {
		more, err = s.removeOldUnknownKeys(ctx, s.round)
	}
	if !more || err != nil {
		s.round = nil
	}
	return more, err
}

func (s *Store) readRetention(ctx context.Context) (*retention, error) {
	var rows []struct {
		ID   int64
		Days *int64
	}
	err := s.read.WithContext(ctx).Raw("SELECT projects.id, CASE WHEN plan_overrides.figure IS NULL THEN plans.log_days ELSE plan_overrides.value END AS days "+
		"FROM projects JOIN plans ON plans.id = projects.plan_id "+
		"LEFT JOIN plan_overrides ON plan_overrides.project_id = projects.id AND plan_overrides.figure = ?", FigureLogDays).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	r := &retention{now: s.Now(), keepFrom: map[int64]RequestID{}}
	for i, row := range rows {
		from := RequestID(0)
		if row.Days != nil && *row.Days < 100*365 {
			from = FirstRequestIDAt(r.now.Add(-time.Duration(*row.Days) * 24 * time.Hour))
		}
		r.keepFrom[row.ID] = from
		if i == 0 || from < r.oldest {
			r.oldest = from
		}
	}
	return r, nil
}

// of is the oldest row that a project keeps. One that the round does not know is new, and keeps all, or gone, and keeps none:
// there tells which.
func (r *retention) of(projectID int64, there func() (bool, error)) (RequestID, error) {
	if from, known := r.keepFrom[projectID]; known {
		return from, nil
	}
	if exists, err := there(); exists || err != nil {
		return 0, err
	}
	return endOfIDs, nil
}
