package models

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// planOverride is the row of one override.
type planOverride struct {
	ProjectID int64     `gorm:"primaryKey;autoIncrement:false"`
	Limit     PlanLimit `gorm:"primaryKey;column:limit_name"`
	Value     *int64
}

// instanceSettings is the one row with the settings of the whole instance.
type instanceSettings struct {
	ID            int64
	DefaultPlanID int64
}

func (instanceSettings) TableName() string { return "instance" }

func readPlans(tx *gorm.DB) (all []Plan, err error) { return all, tx.Order("id").Find(&all).Error }

// Plans lists all plans, the smallest first, and returns the id of the plan that new projects get.
func (s *Store) Plans(ctx context.Context) (all []Plan, defaultID int64, err error) {
	defer doing(&err, "list plans")
	tx := s.read.WithContext(ctx)
	var settings instanceSettings
	if err := tx.Take(&settings).Error; err != nil {
		return nil, 0, err
	}
	all, err = readPlans(tx)
	return all, settings.DefaultPlanID, err
}

// Plan reads one plan, or [CodeNotFound].
func (s *Store) Plan(ctx context.Context, id int64) (_ *Plan, err error) {
	defer doing(&err, "read plan")
	var plan Plan
	return &plan, notFoundAs(s.read.WithContext(ctx).Take(&plan, id).Error, "plan")
}

// UpdatePlan changes the limits of a plan, for every project that has it. Errors: fields named as [PlanLimit].
func (s *Store) UpdatePlan(ctx context.Context, actor Actor, id int64, limits PlanLimits) (_ *Plan, err error) {
	defer doing(&err, "update plan")
	if err := limits.Check(); err != nil {
		return nil, err
	}
	var plan Plan
	err = s.inAuditedTx(ctx, InstanceChain, actor, func(a *auditedTx) error {
		if err := a.tx.Take(&plan, id).Error; err != nil {
			return notFoundAs(err, "plan")
		}
		before := plan.snapshot()
		plan.PlanLimits = limits
		if err := a.tx.Select("*").Updates(&plan).Error; err != nil {
			return err
		}
		return a.log("plan.edit", plan.auditTarget(), before, plan.snapshot())
	})
	return &plan, err
}

// SetDefaultPlan chooses the plan that new projects get.
func (s *Store) SetDefaultPlan(ctx context.Context, actor Actor, id int64) (_ *Plan, err error) {
	defer doing(&err, "set default plan")
	var plan Plan
	err = s.inAuditedTx(ctx, InstanceChain, actor, func(a *auditedTx) error {
		if err := a.tx.Take(&plan, id).Error; err != nil {
			return notFoundAs(err, "plan")
		}
		previous, err := a.defaultPlan()
		if err != nil {
			return err
		}
		if err := a.tx.Model(&instanceSettings{ID: 1}).Update("default_plan_id", plan.ID).Error; err != nil {
			return err
		}
		before, after := AuditSnapshot{"default_plan": previous.Name}, AuditSnapshot{"default_plan": plan.Name}
		return a.log("plan.set_default", plan.auditTarget(), before, after)
	})
	return &plan, err
}

func (a *auditedTx) defaultPlan() (*Plan, error) {
	var plan Plan
	return &plan, a.tx.Joins("JOIN instance ON instance.default_plan_id = plans.id").Take(&plan).Error
}

// ProjectPlan reads the plan of a project with its overrides.
func (s *Store) ProjectPlan(ctx context.Context, project *Project) (_ *ProjectPlan, err error) {
	defer doing(&err, "read plan of project")
	return projectPlan(s.read.WithContext(ctx), project)
}

func projectPlan(tx *gorm.DB, project *Project) (*ProjectPlan, error) {
	p := &ProjectPlan{Overrides: Overrides{}}
	var err error
	if p.all, err = readPlans(tx); err != nil {
		return nil, err
	}
	for _, plan := range p.all {
		if plan.ID == project.PlanID {
			p.Plan = plan
		}
	}
	var own []planOverride
	if err := tx.Where("project_id = ?", project.ID).Find(&own).Error; err != nil {
		return nil, err
	}
	for _, o := range own {
		p.Overrides[o.Limit] = o.Value
	}
	p.Limits = p.Overrides.apply(p.Plan.PlanLimits)
	return p, nil
}

// ChangeProjectPlan sets the plan and the overrides of a project. If the project then has more active keys than
// allowed, it keeps them and cannot make further ones. Errors: field plan, and fields named as [PlanLimit].
func (s *Store) ChangeProjectPlan(
	ctx context.Context, actor Actor, projectID, planID int64, overrides Overrides,
) (_ *Project, err error) {
	defer doing(&err, "change plan of project")
	if err := overrides.Check(); err != nil {
		return nil, err
	}
	var project Project
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		if err := a.tx.Take(&project, projectID).Error; err != nil {
			return notFoundAs(err, "project")
		}
		before, err := projectPlan(a.tx, &project)
		if err != nil {
			return err
		}
		project.PlanID = planID
		after := ProjectPlan{Overrides: overrides}
		for _, plan := range before.all {
			if plan.ID == planID {
				after.Plan = plan
			}
		}
		if after.Plan.ID == 0 {
			return invalidField("plan", "Choose one of these.")
		}
		if err := a.tx.Model(&project).Update("plan_id", planID).Error; err != nil {
			return err
		}
		if err := a.tx.Where("project_id = ?", projectID).Delete(&planOverride{}).Error; err != nil {
			return err
		}
		for limit, value := range overrides {
			override := &planOverride{ProjectID: projectID, Limit: limit, Value: value}
			if err := a.tx.Create(override).Error; err != nil {
				return err
			}
		}
		return a.log("project.change_plan", project.auditTarget(), before.snapshot(), after.snapshot())
	})
	return &project, err
}

// snapshot returns the plan's name and the value of each override; limits without an override are "as the plan".
func (p *ProjectPlan) snapshot() AuditSnapshot {
	s := AuditSnapshot{"plan": p.Plan.Name}
	for _, limit := range append([]PlanLimit{LimitRotation}, NumberLimits...) {
		s[string(limit)] = "as the plan"
	}
	for limit, value := range p.Overrides {
		switch {
		case value == nil:
			s[string(limit)] = "no limit"
		case limit == LimitRotation:
			s[string(limit)] = *value != 0
		default:
			s[string(limit)] = *value
		}
	}
	return s
}

// ProjectUse is a project with what the instance admin's list shows beside it.
type ProjectUse struct {
	Project
	PlanName       string
	OverrideCount  int64
	ActiveKeyCount int64
}

// ProjectFilter narrows the list of all projects. Zero fields do not filter.
type ProjectFilter struct {
	Search string // part of the name or the slug
	Before int64  // only projects with a smaller id: the cursor
	Limit  int
}

// ProjectUses lists all projects of the instance, newest first, and returns the cursor of the next page, 0 on the last.
func (s *Store) ProjectUses(ctx context.Context, f ProjectFilter) (list []ProjectUse, next int64, err error) {
	defer doing(&err, "list projects")
	q := s.read.WithContext(ctx).Table("projects").
		Select(`
			projects.*,
			plans.name AS plan_name,
			(
				SELECT COUNT(*)
				FROM plan_overrides
				WHERE plan_overrides.project_id = projects.id
			) AS override_count,
			(
				SELECT COUNT(*)
				FROM keys
				WHERE
					keys.project_id = projects.id
					AND state = 'active'
					AND (expires_at IS NULL OR expires_at > ?)
			) AS active_key_count
		`, s.Now()).
		Joins("JOIN plans ON plans.id = projects.plan_id")
	if f.Search != "" {
		q = q.Where(`(
			lower(projects.name) LIKE ? ESCAPE '\'
			OR projects.slug LIKE ? ESCAPE '\'
		)`, like(f.Search), like(f.Search))
	}
	if f.Before > 0 {
		q = q.Where("projects.id < ?", f.Before)
	}
	if err := q.Order("projects.id DESC").Limit(f.Limit + 1).Find(&list).Error; err != nil {
		return nil, 0, err
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		next = list[f.Limit-1].ID
	}
	return list, next, nil
}

// activeKeys selects the keys of a project that count against its plan: not inactive, not revoked, not expired.
func activeKeys(tx *gorm.DB, projectID int64, now time.Time) *gorm.DB {
	return tx.Model(&Key{}).
		Where("project_id = ? AND state = 'active' AND (expires_at IS NULL OR expires_at > ?)", projectID, now)
}

// roomForKey returns an error with [CodePlanLimit] if the project cannot have one more active key. The chain's lock is
// held, so concurrent requests cannot exceed the limit together.
func (a *auditedTx) roomForKey(project *Project) error {
	plan, err := projectPlan(a.tx, project)
	if err != nil || plan.Limits.ActiveKeys == nil {
		return err
	}
	var active int64
	if err := activeKeys(a.tx, project.ID, a.now).Count(&active).Error; err != nil {
		return err
	}
	return planLimitError(plan.ActiveKeysBlockedReason(active))
}

// roomIfActive is roomForKey if a change made the key active. before is the key's status before the change.
func (a *auditedTx) roomIfActive(key *Key, before KeyStatus) error {
	if before == StatusActive || key.Status(a.now) != StatusActive {
		return nil
	}
	project, err := a.project()
	if err != nil {
		return err
	}
	return a.roomForKey(project)
}

// project reads the project that the chain belongs to.
func (a *auditedTx) project() (*Project, error) {
	var project Project
	return &project, notFoundAs(a.tx.Take(&project, a.head.Chain).Error, "project")
}
