package models

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
)

// Project is the tenant: it owns keys, members, categories, service tokens and logs.
type Project struct {
	ID        int64
	Name      string
	Slug      string // starts with a letter, so that it is never taken for an id
	KeyPrefix string
	PlanID    int64
	// QuotaStatus is the HTTP status of a request over a quota: [QuotaStatusDefault] or [QuotaStatusTooMany].
	QuotaStatus int
	CreatedBy   *int64
	CreatedAt   time.Time
}

// Member is a user's membership in a project.
type Member struct {
	ProjectID int64 `gorm:"primaryKey"`
	UserID    int64 `gorm:"primaryKey"`
	Role      Role
	CreatedAt time.Time
}

// Membership is a project with the role that one user has in it.
type Membership struct {
	Project
	Role Role
}

const (
	maxProjectName = 80
	maxSlug        = 40
)

var (
	slugPattern   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	notInSlug     = regexp.MustCompile(`[^a-z0-9]+`)
	reservedSlugs = map[string]bool{"new": true}
)

// ProjectInput has the fields of a project that people choose. All except Name may be zero.
type ProjectInput struct {
	Name        string
	Slug        string // if empty, made from the name
	KeyPrefix   string // if empty, [DefaultKeyPrefix]
	QuotaStatus int    // as in [Project]; if 0, [QuotaStatusDefault]
}

// normalize fills the defaults and checks each field.
func (in *ProjectInput) normalize() error {
	problems := fieldErrors{}
	in.checkName(problems)
	in.Slug = strings.TrimSpace(in.Slug)
	if in.Slug == "" && problems["name"] == "" {
		in.Slug = Slugify(in.Name)
		if in.Slug == "" {
			problems.add("slug", "Enter a slug: none can be made from this name.")
		}
	} else if in.Slug != "" {
		problems.add("slug", slugProblem(in.Slug))
	}
	in.checkKeyPrefix(problems)
	in.checkQuotaStatus(problems)
	return problems.err()
}

func (in *ProjectInput) checkName(problems fieldErrors) {
	name, printable := oneLine(in.Name)
	in.Name = name
	switch {
	case name == "":
		problems.add("name", "Enter a name.")
	case !printable:
		problems.add("name", "Use printable characters only.")
	case utf8.RuneCountInString(name) > maxProjectName:
		problems.add("name", "Use at most 80 characters.")
	}
}

func (in *ProjectInput) checkKeyPrefix(problems fieldErrors) {
	in.KeyPrefix = strings.TrimSpace(in.KeyPrefix)
	if in.KeyPrefix == "" {
		in.KeyPrefix = DefaultKeyPrefix
	}
	if !isPrefix(in.KeyPrefix) {
		problems.add("key_prefix", "Use 2 to 12 characters of a to z and 0 to 9.")
	}
}

func (in *ProjectInput) checkQuotaStatus(problems fieldErrors) {
	switch in.QuotaStatus {
	case 0:
		in.QuotaStatus = QuotaStatusDefault
	case QuotaStatusDefault, QuotaStatusTooMany:
	default:
		problems.add("quota_status", "Choose 401 or 429.")
	}
}

func slugProblem(slug string) string {
	switch {
	case len(slug) < 2 || len(slug) > maxSlug:
		return "Use 2 to 40 characters."
	case !slugPattern.MatchString(slug):
		return "Start with a letter; use a to z, 0 to 9 and single hyphens between them."
	case reservedSlugs[slug]:
		return "This slug is reserved. Choose another."
	}
	return ""
}

// Slugify makes a slug of a name. It returns "" if the name has too few letters of a slug.
func Slugify(name string) string {
	slug := strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	slug = strings.TrimLeft(slug, "0123456789-")
	slug = strings.TrimRight(cut(slug, maxSlug), "-")
	if slugProblem(slug) != "" {
		return ""
	}
	return slug
}

// CreateProject makes a project with the actor as its owner, the built-in categories and the default key. It returns
// the key's secret, which cannot be read again later. Errors: fields name, slug, key_prefix, quota_status.
func (s *Store) CreateProject(
	ctx context.Context, actor Actor, in ProjectInput,
) (_ *Project, _ *Key, _ Secret, err error) {
	defer doing(&err, "create project")
	if err := in.normalize(); err != nil {
		return nil, nil, Secret{}, err
	}
	var (
		project *Project
		key     *Key
		secret  Secret
	)
	err = s.inAuditedTx(ctx, InstanceChain, actor, func(a *auditedTx) (err error) {
		project, key, secret, err = a.createProject(in)
		return err
	})
	if err != nil {
		return nil, nil, Secret{}, err
	}
	return project, key, secret, nil
}

func (p *Project) auditTarget() AuditTarget { return AuditTarget{"project", p.ID, p.Name} }

// snapshot returns the project's settings as audit rows store them.
func (p *Project) snapshot() AuditSnapshot {
	return AuditSnapshot{"name": p.Name, "slug": p.Slug, "key_prefix": p.KeyPrefix, "quota_status": p.QuotaStatus}
}

// createProject makes a project. Further audit rows of the transaction go to the new project's chain.
func (a *auditedTx) createProject(in ProjectInput) (*Project, *Key, Secret, error) {
	plan, err := a.defaultPlan()
	if err != nil {
		return nil, nil, Secret{}, err
	}
	project := &Project{
		Name:        in.Name,
		Slug:        in.Slug,
		KeyPrefix:   in.KeyPrefix,
		PlanID:      plan.ID,
		QuotaStatus: in.QuotaStatus,
		CreatedBy:   a.actor.userID(),
		CreatedAt:   a.now,
	}
	if err := a.tx.Create(project).Error; err != nil {
		return nil, nil, Secret{}, slugTaken(err)
	}
	owner := &Member{ProjectID: project.ID, UserID: a.actor.ID, Role: RoleOwner, CreatedAt: a.now}
	if err := a.tx.Create(owner).Error; err != nil {
		return nil, nil, Secret{}, err
	}
	if err := createBuiltInCategories(a.tx, project.ID, a.now); err != nil {
		return nil, nil, Secret{}, err
	}
	if err := a.startChain(project.ID); err != nil {
		return nil, nil, Secret{}, err
	}
	after := project.snapshot()
	after["owner"], after["plan"] = a.actor.Name, plan.Name
	if err := a.log("project.create", project.auditTarget(), nil, after); err != nil {
		return nil, nil, Secret{}, err
	}
	key, secret, err := a.createDefaultKey(project)
	return project, key, secret, err
}

func slugTaken(err error) error {
	if isDuplicate(err) {
		return invalidField("slug", "This slug is taken. Choose another.")
	}
	return err
}

// UpdateProject changes the settings of a project except the slug, which it ignores. Existing secrets keep their prefix
// and stay valid. Errors: fields name, key_prefix and quota_status.
func (s *Store) UpdateProject(
	ctx context.Context, projectID int64, actor Actor, in ProjectInput,
) (_ *Project, err error) {
	defer doing(&err, "update project")
	problems := fieldErrors{}
	in.checkName(problems)
	in.checkKeyPrefix(problems)
	in.checkQuotaStatus(problems)
	if err := problems.err(); err != nil {
		return nil, err
	}
	return s.changeProject(ctx, projectID, actor, "project.edit", func(p *Project) {
		p.Name, p.KeyPrefix, p.QuotaStatus = in.Name, in.KeyPrefix, in.QuotaStatus
	})
}

// ChangeSlug gives a project another slug. From then on the project is not found under the old one. Its id stays the
// same. Errors: field slug.
func (s *Store) ChangeSlug(ctx context.Context, projectID int64, actor Actor, slug string) (_ *Project, err error) {
	defer doing(&err, "change slug")
	slug = strings.TrimSpace(slug)
	if problem := slugProblem(slug); problem != "" {
		return nil, invalidField("slug", problem)
	}
	return s.changeProject(ctx, projectID, actor, "project.change_slug", func(p *Project) { p.Slug = slug })
}

func (s *Store) changeProject(
	ctx context.Context, projectID int64, actor Actor, action string, edit func(*Project),
) (*Project, error) {
	var project *Project
	err := s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) (err error) {
		if project, err = a.project(); err != nil {
			return err
		}
		before := project.snapshot()
		edit(project)
		if err := a.tx.Select("name", "slug", "key_prefix", "quota_status").Updates(project).Error; err != nil {
			return slugTaken(err)
		}
		return a.log(action, project.auditTarget(), before, project.snapshot())
	})
	return project, err
}

// Projects lists the projects that the user is a member of, by name.
func (s *Store) Projects(ctx context.Context, userID int64) (_ []Membership, err error) {
	defer doing(&err, "list projects of user")
	var list []Membership
	err = s.memberships(ctx, userID).Order("lower(projects.name), projects.id").Find(&list).Error
	return list, err
}

// Membership finds a project by slug or id, with the role that the user has in it. The error is [CodeNotFound] if
// there is none or the user is not a member.
func (s *Store) Membership(ctx context.Context, userID int64, ref string) (_ *Membership, err error) {
	defer doing(&err, "read membership")
	if !mayBeRef(ref) {
		return nil, NotFound("project")
	}
	var m Membership
	if err := whereRef(s.memberships(ctx, userID), ref).Take(&m).Error; err != nil {
		return nil, notFoundAs(err, "project")
	}
	return &m, nil
}

func (s *Store) memberships(ctx context.Context, userID int64) *gorm.DB {
	return s.read.WithContext(ctx).Table("projects").Select("projects.*, members.role").
		Joins("JOIN members ON members.project_id = projects.id AND members.user_id = ?", userID)
}

// Project finds a project by slug or id, without checking membership, or returns [CodeNotFound].
func (s *Store) Project(ctx context.Context, ref string) (_ *Project, err error) {
	defer doing(&err, "read project")
	if !mayBeRef(ref) {
		return nil, NotFound("project")
	}
	var p Project
	if err := whereRef(s.read.WithContext(ctx), ref).Take(&p).Error; err != nil {
		return nil, notFoundAs(err, "project")
	}
	return &p, nil
}

// mayBeRef reports whether a project could have ref as its id or slug. If not, no query is needed.
func mayBeRef(ref string) bool {
	_, isID := parseProjectID(ref)
	return isID || slugProblem(ref) == ""
}

// parseProjectID parses an id. It rejects other spellings of numbers, such as +1 and 01.
func parseProjectID(ref string) (id int64, ok bool) {
	id, err := strconv.ParseInt(ref, 10, 64)
	return id, err == nil && strconv.FormatInt(id, 10) == ref
}

func whereRef(db *gorm.DB, ref string) *gorm.DB {
	if id, ok := parseProjectID(ref); ok {
		return db.Where("projects.id = ?", id)
	}
	return db.Where("projects.slug = ?", ref)
}
