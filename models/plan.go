package models

import (
	"fmt"
	"slices"
	"strconv"
)

// Plan is what projects may do and how fast: product.md, section 4.
type Plan struct {
	ID         int64 // in the order of what they allow
	Name       string
	PlanLimits `gorm:"embedded"`
}

// PlanFigures are what a plan allows. Nil is no limit.
type PlanLimits struct {
	ActiveKeys       *int64 // at the same time
	Rotation         bool
	ProjectPerSecond *int64 // admitted requests
	ProjectPerMinute *int64
	KeyPerMinute     *int64
	IPPerMinute      *int64 `gorm:"column:ip_per_minute"`
	SessionPerMinute *int64
	LogDays          *int64 // how long request logs are kept
}

// Figure is the name of one of [PlanFigures], in tables, forms and the audit log.
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

// NumberFigures are all but rotation, in the order in which pages show them.
var NumberLimits = []PlanLimit{
	LimitActiveKeys, LimitProjectPerSecond, LimitProjectPerMinute, LimitKeyPerMinute, LimitIPPerMinute, LimitSessionPerMinute, LimitLogDays,
}

// number is where the figure is kept; nil for rotation, which is no number.
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

// Number is the figure of that name, nil for no limit. It panics for rotation and for names that are none.
func (l PlanLimits) Number(name PlanLimit) *int64 { return *l.number(name) }

// SetNumber is the other way round of [PlanFigures.Number].
func (l *PlanLimits) SetNumber(name PlanLimit, n *int64) { *l.number(name) = n }

const maxPlanLimit = 1_000_000_000

// Check holds the figures against their rules. Errors: the fields named by [Figure].
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
	facts := AuditSnapshot{string(LimitRotation): l.Rotation}
	for _, name := range NumberLimits {
		facts[string(name)] = l.Number(name)
	}
	return facts
}

func (p *Plan) auditTarget() AuditTarget { return AuditTarget{"plan", p.ID, p.Name} }

// Overrides are the figures that one project has in place of its plan's: nil is no limit, and of rotation 1 is yes and 0 no.
type Overrides map[PlanLimit]*int64

// over gives the figures with the overrides in place.
func (o Overrides) over(l PlanLimits) PlanLimits {
	for name, value := range o {
		if name == LimitRotation {
			l.Rotation = value != nil && *value != 0
		} else {
			l.SetNumber(name, value)
		}
	}
	return l
}

// Check holds the overrides against their rules. Errors: the fields named by [Figure].
func (o Overrides) Check() error {
	problems := fieldErrors{}
	for name, value := range o {
		switch {
		case name == LimitRotation:
			if value == nil || *value != 0 && *value != 1 {
				problems.add(string(name), "Choose one of these.")
			}
		case !slices.Contains(NumberLimits, name):
			problems.add(string(name), "There is no such figure.")
		default:
			problems.add(string(name), limitProblem(value))
		}
	}
	return problems.err()
}

// ProjectPlan is what one project may do at a moment.
type ProjectPlan struct {
	Plan      Plan
	Overrides Overrides
	Limits    PlanLimits // of the plan with the overrides: what counts
	all       []Plan     // of the instance, to name one that allows more
}

// ActiveKeysBlockedReason says why a project with so many active keys cannot have one more, and which plan would allow it;
// "" where it can.
func (p *ProjectPlan) ActiveKeysBlockedReason(active int64) string {
	most := p.Limits.ActiveKeys
	if most == nil || active < *most {
		return ""
	}
	text := "The " + p.Plan.Name + " plan allows " + countOf(*most, "active key") + "."
	if _, own := p.Overrides[LimitActiveKeys]; own {
		text = "This project may have " + countOf(*most, "active key") + "."
	}
	return text + p.whichWould("allows more", func(l PlanLimits) bool { return l.ActiveKeys == nil || *l.ActiveKeys > active })
}

// RotationBlockedReason says why the key cannot be rotated by the actor under this plan, and which plan would allow it; ""
// where it can. The default key can always be rotated by the instance admin.
func (p *ProjectPlan) RotationBlockedReason(k *Key, a Actor) string {
	if p.Limits.Rotation || k.IsDefault && a.Admin {
		return ""
	}
	text := "Keys cannot be rotated on the " + p.Plan.Name + " plan."
	if _, own := p.Overrides[LimitRotation]; own {
		text = "Keys of this project cannot be rotated."
	}
	return text + p.whichWould("allows it", func(l PlanLimits) bool { return l.Rotation })
}

// whichWould names the first plan that allows more than the present one.
func (p *ProjectPlan) whichWould(what string, allows func(PlanLimits) bool) string {
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
