package models

// Role determines what a member may do in a project.
type Role string

const (
	RoleViewer    Role = "viewer"
	RoleDeveloper Role = "developer"
	RoleAdmin     Role = "admin"
	RoleOwner     Role = "owner"
)

// Permission covers a group of actions in a project. Every project route names the one that it needs.
type Permission string

const (
	// PermitRead covers viewing keys, logs and the overview.
	PermitRead Permission = "read"
	// PermitWriteKeys covers creating, editing, rotating, (de)activating, revoking and deleting keys, and changing
	// categories.
	PermitWriteKeys Permission = "write_keys"
	// PermitAdminister covers making and revoking service tokens, lifting address blocks, changing settings, and
	// reading the audit log.
	PermitAdminister Permission = "administer"
	// PermitOwn covers changing the slug, which API callers use to name the project.
	PermitOwn Permission = "own"
)

// weakestRole is the matrix of product.md, section 7. Roles are ordered: each may do what the weaker ones may.
var weakestRole = map[Permission]Role{
	PermitRead:       RoleViewer,
	PermitWriteKeys:  RoleDeveloper,
	PermitAdminister: RoleAdmin,
	PermitOwn:        RoleOwner,
}

var roleRank = map[Role]int{RoleViewer: 1, RoleDeveloper: 2, RoleAdmin: 3, RoleOwner: 4}

// May reports whether the role has the permission. It is false for unknown roles and permissions.
func (r Role) May(p Permission) bool {
	needed, known := weakestRole[p]
	return known && roleRank[r] >= roleRank[needed]
}
