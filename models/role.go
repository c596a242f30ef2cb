package models

// Role is what a member may do in a project.
type Role string

const (
	RoleViewer    Role = "viewer"
	RoleDeveloper Role = "developer"
	RoleAdmin     Role = "admin"
	RoleOwner     Role = "owner"
)

// Permission is a kind of act in a project. Every project route names the one that it needs.
type Permission string

const (
	// PermitRead is to see keys, logs and the overview.
	PermitRead Permission = "read"
	// PermitWriteKeys is to create, edit, rotate, (de)activate, revoke and delete keys, and to change categories.
	PermitWriteKeys Permission = "write_keys"
	// PermitAdminister is to make and revoke service tokens, to lift blocks of addresses, to change settings, and to read the
	// audit log.
	PermitAdminister Permission = "administer"
	// PermitOwn is to change the slug, by which others call the project.
	PermitOwn Permission = "own"
)

// weakestRole is the matrix of product.md, section 7: roles are ordered, so that the weakest one that may says it all.
var weakestRole = map[Permission]Role{
	PermitRead:       RoleViewer,
	PermitWriteKeys:  RoleDeveloper,
	PermitAdminister: RoleAdmin,
	PermitOwn:        RoleOwner,
}

var roleRank = map[Role]int{RoleViewer: 1, RoleDeveloper: 2, RoleAdmin: 3, RoleOwner: 4}

// May tells whether the role allows p. An unknown role or permission allows nothing.
func (r Role) May(p Permission) bool {
	needed, known := weakestRole[p]
	return known && roleRank[r] >= roleRank[needed]
}
