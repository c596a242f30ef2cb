package gate

import (
	"fmt"
	"strings"

	"github.com/claviger/claviger/models"
)

// Project is what the gate needs of a project.
type Project struct {
	models.GateProject
	policies      []policy // the limits that its plan has
	limitPolicies string
}

// policy is one limit of a plan.
type policy struct {
	axis  axis
	limit uint32
}

// newProject prepares the limits of the project's plan.
func newProject(p *models.GateProject) *Project {
	project := &Project{GateProject: *p}
	var parts []string
	for a := range axis(axisCount) {
		limit := p.Limits.Number(axes[a].planLimit)
		if limit == nil {
			continue
		}
		project.policies = append(project.policies, policy{a, uint32(*limit)})
		parts = append(parts, fmt.Sprintf(`%q;q=%d;w=%d`, axes[a].policy, *limit, int(axes[a].length.Seconds())))
	}
	project.limitPolicies = strings.Join(parts, ", ")
	return project
}

// LimitPolicies returns the limits of the project's plan as the value of the RateLimit-Policy header (IETF draft
// ratelimit-headers): of each its name, its requests (q) and its window in seconds (w).
func (p *Project) LimitPolicies() string { return p.limitPolicies }
