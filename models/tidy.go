package models

import (
	"context"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// tidyRound is the progress of a round of [Store.Tidy].
type tidyRound struct {
	retention      *requestlog.Retention
	unknownProject int64 // old counts of unknown keys are removed for projects up to this id
}

// Tidy does one small step of the maintenance of the request tables: it removes rows that are older than the
// project's plan keeps them, and maintains indexes. more reports whether there is more to do: if so, call Tidy again
// soon, otherwise in a minute. Several processes on one Postgres may call it.
func (s *Store) Tidy(ctx context.Context) (more bool, err error) {
	defer doing(&err, "tidy tables")
	s.tidyMu.Lock()
	defer s.tidyMu.Unlock()
	if s.round == nil {
		retention, err := s.readRetention(ctx)
		if err != nil {
			return false, err
		}
		s.round = &tidyRound{retention: retention}
	}
	more, err = s.log.Tidy(ctx, s.round.retention)
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
		if row.Days != nil && *row.Days < 100*365 { // otherwise for ever: much longer would overflow a time.Duration
			from = requestlog.FirstIDAt(r.Now.Add(-time.Duration(*row.Days) * 24 * time.Hour))
		}
		r.KeepFrom[row.ID] = from
		if i == 0 || from < r.Oldest {
			r.Oldest = from
		}
	}
	return r, nil
}
