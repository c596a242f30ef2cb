package models

import (
	"context"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// tidyRound is how far the present round of [Store.Tidy] is.
type tidyRound struct {
	kept           *requestlog.Retention
	unknownProject int64 // projects up to this one are done with counts of unknown keys
}

// Tidy does one small step of what keeps the tables of requests small and quick: it removes rows that are older than the
// project's plan says, and sees to the indexes. more is true while there is more to do: call it again soon then, and else in a
// minute. Several processes on one Postgres may call it.
func (s *Store) Tidy(ctx context.Context) (more bool, err error) {
	defer doing(&err, "tidy tables")
	s.tidying.Lock()
	defer s.tidying.Unlock()
	if s.round == nil {
		kept, err := s.readRetention(ctx)
		if err != nil {
			return false, err
		}
		s.round = &tidyRound{kept: kept}
	}
	more, err = s.log.Tidy(ctx, s.round.kept)
	if !more && err == nil {
		more, err = s.removeOldUnknownKeys(ctx, s.round)
	}
	if !more || err != nil {
		s.round = nil
	}
	return more, err
}

func (s *Store) readRetention(ctx context.Context) (*requestlog.Retention, error) {
	var rows []struct {
		ID   int64
		Days *int64
	}
	err := s.read.WithContext(ctx).Raw(`
		SELECT
			projects.id,
			CASE WHEN plan_overrides.limit_name IS NULL THEN plans.log_days ELSE plan_overrides.value END AS days
		FROM projects
		JOIN plans ON plans.id = projects.plan_id
		LEFT JOIN plan_overrides ON plan_overrides.project_id = projects.id AND plan_overrides.limit_name = ?
	`, LimitLogDays).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	r := &requestlog.Retention{Now: s.Now(), KeepFrom: map[int64]requestlog.ID{}}
	for i, row := range rows {
		from := requestlog.ID(0)
		if row.Days != nil && *row.Days < 100*365 {
			from = requestlog.FirstIDAt(r.Now.Add(-time.Duration(*row.Days) * 24 * time.Hour))
		}
		r.KeepFrom[row.ID] = from
		if i == 0 || from < r.Oldest {
			r.Oldest = from
		}
	}
	return r, nil
}
