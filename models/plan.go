package models

import (
	"fmt"
	"slices"
	"strconv"
)

// Plan says what projects may do and how fast: product.md, section 4.
type Plan struct {
	ID         int64 // plans with higher ids allow more
	Name       string
	PlanLimits `gorm:"embedded"`
}

// PlanLimits are the limits of a plan. Nil is no limit.
type PlanLimits struct {
	ActiveKeys       *int64 // at the same time
	Rotation         bool
	ProjectPerSecond *int64 // admitted requests, as the following
	ProjectPerMinute *int64
	KeyPerMinute     *int64
	IPPerMinute      *int64 `gorm:"column:ip_per_minute"`
	SessionPerMinute *int64
	LogDays          *int64 // how long request logs are kept
}

// PlanLimit is the name of one of [PlanLimits], in tables, forms and audit rows.
type PlanLimit string

const (
	LimitActiveKeys       PlanLimit = "active_keys"
	LimitRotation         PlanLimit = "rotation"
	LimitProjectPerSecond PlanLimit = "project_per_second"
	LimitProjectPerMinute PlanLimit = "project_per_minute"
	LimitKeyPerMinute     PlanLimit = "key_per_minute"
	LimitIPPerMinute      PlanLimit = "ip_per_minute"
	LimitSessionPerMinute PlanLimit = "session_per_minute"
	LimitLogDays          PlanLimit = "log_days"
)

// NumberLimits are all limits except rotation, in the order in which pages show them.
var NumberLimits = []PlanLimit{
	LimitActiveKeys,
	LimitProjectPerSecond,
	LimitProjectPerMinute,
	LimitKeyPerMinute,
	LimitIPPerMinute,
	LimitSessionPerMinute,
	LimitLogDays,
}

// number returns a pointer to the field of the limit; nil for rotation, which is not a number, and for unknown names.
func (l *PlanLimits) number(name PlanLimit) **int64 {
	switch name {
	case LimitActiveKeys:
		return &l.ActiveKeys
	case LimitProjectPerSecond:
		return &l.ProjectPerSecond
	case LimitProjectPerMinute:
		return &l.ProjectPerMinute
	case LimitKeyPerMinute:
		return &l.KeyPerMinute
	case LimitIPPerMinute:
		return &l.IPPerMinute
	case LimitSessionPerMinute:
		return &l.SessionPerMinute
	case LimitLogDays:
		return &l.LogDays
	}
	return nil
}

// Number returns the limit of that name, nil for no limit. It panics for rotation and for unknown names.
func (l PlanLimits) Number(name PlanLimit) *int64 { return *l.number(name) }

// SetNumber sets the limit of that name. It panics for rotation and for unknown names.
func (l *PlanLimits) SetNumber(name PlanLimit, n *int64) { *l.number(name) = n }

const maxPlanLimit = 1_000_000_000

// Check returns an error for limits that are out of range. Errors: fields named as [PlanLimit].
func (l PlanLimits) Check() error {
	problems := fieldErrors{}
	for _, name := range NumberLimits {
		problems.add(string(name), limitProblem(l.Number(name)))
	}
	return problems.err()
}

func limitProblem(n *int64) string {
	if n != nil && (*n < 1 || *n > maxPlanLimit) {
		return "Enter a whole number from 1 to 1,000,000,000."
	}
	return ""
}

func (l PlanLimits) snapshot() AuditSnapshot {
	s := AuditSnapshot{string(LimitRotation): l.Rotation}
	for _, name := range NumberLimits {
		s[string(name)] = l.Number(name)
	}
	return s
}

func (p *Plan) auditTarget() AuditTarget { return AuditTarget{"plan", p.ID, p.Name} }

// Overrides are the limits that replace those of the plan in one project. Nil is no limit. For rotation, 1 is yes and
// 0 is no.
type Overrides map[PlanLimit]*int64

// apply returns the limits with the overrides.
func (o Overrides) apply(l PlanLimits) PlanLimits {
	for name, value := range o {
		if name == LimitRotation {
			l.Rotation = value != nil && *value != 0
		} else {
			l.SetNumber(name, value)
		}
	}
	return l
}

// Check returns an error for overrides that are unknown or out of range. Errors: fields named as [PlanLimit].
func (o Overrides) Check() error {
	problems := fieldErrors{}
	for name, value := range o {
		switch {
		case name == LimitRotation:
			if value == nil || *value != 0 && *value != 1 {
				problems.add(string(name), "Choose one of these.")
			}
		case !slices.Contains(NumberLimits, name):
			problems.add(string(name), "There is no such limit.")
		default:
			problems.add(string(name), limitProblem(value))
		}
	}
	return problems.err()
}

// ProjectPlan is the plan of a project with its overrides.
type ProjectPlan struct {
	Plan      Plan
	Overrides Overrides
	Limits    PlanLimits // the plan's limits with the overrides: those in force
	all       []Plan     // all plans of the instance, to name one that allows more
}

// ActiveKeysBlockedReason returns why a project with that many active keys cannot have one more, and which plan would
// allow it, or "" if it can.
func (p *ProjectPlan) ActiveKeysBlockedReason(active int64) string {
	limit := p.Limits.ActiveKeys
	if limit == nil || active < *limit {
		return ""
	}
	text := "The " + p.Plan.Name + " plan allows " + countOf(*limit, "active key") + "."
	if _, own := p.Overrides[LimitActiveKeys]; own {
		text = "This project may have " + countOf(*limit, "active key") + "."
	}
	return text + p.otherPlan("allows more", func(l PlanLimits) bool {
		return l.ActiveKeys == nil || *l.ActiveKeys > active
	})
}

// RotationBlockedReason returns why the actor cannot rotate the key under this plan, and which plan would allow it,
// or "" if the actor can. The instance admin can always rotate the default key.
func (p *ProjectPlan) RotationBlockedReason(k *Key, a Actor) string {
	if p.Limits.Rotation || k.IsDefault && a.Admin {
		return ""
	}
	text := "Keys cannot be rotated on the " + p.Plan.Name + " plan."
	if _, own := p.Overrides[LimitRotation]; own {
		text = "Keys of this project cannot be rotated."
	}
	return text + p.otherPlan("allows it", func(l PlanLimits) bool { return l.Rotation })
}

// otherPlan returns a sentence that names the first other plan whose limits allow what is blocked.
func (p *ProjectPlan) otherPlan(what string, allows func(PlanLimits) bool) string {
	for _, other := range p.all {
		if other.ID != p.Plan.ID && allows(other.PlanLimits) {
			return fmt.Sprintf(" The %s plan %s: ask the admin of this instance.", other.Name, what)
		}
	}
	return " No plan " + what + "."
}

func countOf(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}
