package gate

import (
	"strconv"
	"strings"

	"github.com/claviger/claviger/models"
)

// Project is a project as the gate knows it.
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

func newProject(p *models.GateProject) *Project {
	project := &Project{GateProject: *p}
	var parts []string
	for a := range axis(axisCount) {
		limit := p.Limits.Number(axes[a].figure)
		if limit == nil {
			continue
		}
		project.policies = append(project.policies, policy{a, uint32(*limit)})
		parts = append(parts, `"`+axes[a].policy+`";q=`+strconv.FormatInt(*limit, 10)+";w="+strconv.Itoa(int(axes[a].length.Seconds())))
	}
	project.limitPolicies = strings.Join(parts, ", ")
	return project
}

// LimitPolicies are the limits of the project's plan as the value of the RateLimit-Policy header (IETF draft
// ratelimit-headers): limit and window in seconds of each.
func (p *Project) LimitPolicies() string { return p.limitPolicies }
