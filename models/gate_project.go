package models

import (
	"context"
	"net/http"
)

// GateProject has the fields that the gate needs of a project.
type GateProject struct {
	ID          int64
	Slug        string
	Limits      PlanLimits // the plan's, with the project's overrides
	QuotaStatus int        // HTTP status of a request over a quota: 401, or 429 if the project chose it
}

// The statuses that a project can choose for requests over a quota.
const (
	QuotaStatusDefault = http.StatusUnauthorized
	QuotaStatusTooMany = http.StatusTooManyRequests
)

// GateProject finds a project by slug or id, or [CodeNotFound].
func (s *Store) GateProject(ctx context.Context, ref string) (_ *GateProject, err error) {
	defer doing(&err, "read project for the gate")
	project, err := s.Project(ctx, ref)
	if err != nil {
		return nil, err
	}
	plan, err := s.ProjectPlan(ctx, project)
	if err != nil {
		return nil, err
	}
	return &GateProject{ID: project.ID, Slug: project.Slug, Limits: plan.Limits, QuotaStatus: project.QuotaStatus}, nil
}
