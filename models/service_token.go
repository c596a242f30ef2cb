package models

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Scope covers a group of calls that a service token may make.
type Scope string

const (
	ScopeValidate  Scope = "validate"
	ScopeReport    Scope = "report"
	ScopeKeysRead  Scope = "keys:read"
	ScopeKeysWrite Scope = "keys:write"
	ScopeLogsRead  Scope = "logs:read"
)

// AllScopes lists all scopes.
var AllScopes = []Scope{ScopeValidate, ScopeReport, ScopeKeysRead, ScopeKeysWrite, ScopeLogsRead}

// ServiceToken is a credential of a project's own servers.
type ServiceToken struct {
	ID         int64
	ProjectID  int64
	Name       string
	Digest     []byte
	Prefix     string
	Last4      string
	Scopes     string // separated by spaces
	CreatedBy  *int64
	CreatedAt  time.Time
	LastUsedAt *time.Time // to the minute; nil: never
	RevokedAt  *time.Time
}

// ServiceTokenDetails is a token with the e-mail address of its creator, empty if unknown.
type ServiceTokenDetails struct {
	ServiceToken
	CreatorEmail string
}

// Has reports whether the token has the scope.
func (t *ServiceToken) Has(scope Scope) bool {
	return slices.Contains(strings.Fields(t.Scopes), string(scope))
}

const (
	maxTokenName = 64
	// maxTokens is the most tokens of one project that are not revoked, because the page lists all of them.
	maxTokens = 100
)

// CreateServiceToken makes a token. It returns the secret, which cannot be read again later. Errors: fields name and
// scopes; [CodeConflict] if the project has as many tokens as it may have.
func (s *Store) CreateServiceToken(
	ctx context.Context, projectID int64, actor Actor, name string, scopes []Scope,
) (_ *ServiceToken, _ Secret, err error) {
	defer doing(&err, "create service token")
	problems := fieldErrors{}
	name, printable := oneLine(name)
	switch {
	case name == "":
		problems.add("name", "Enter a name.")
	case !printable:
		problems.add("name", "Use printable characters only.")
	case utf8.RuneCountInString(name) > maxTokenName:
		problems.add("name", "Use at most 64 characters.")
	}
	scopes = slices.DeleteFunc(slices.Clone(AllScopes), func(s Scope) bool { return !slices.Contains(scopes, s) })
	if len(scopes) == 0 {
		problems.add("scopes", "Choose at least one scope.")
	}
	if err := problems.err(); err != nil {
		return nil, Secret{}, err
	}
	var (
		token  *ServiceToken
		secret Secret
	)
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		var count int64
		err := a.tx.Model(&ServiceToken{}).
			Where("project_id = ? AND revoked_at IS NULL", projectID).
			Count(&count).Error
		if err != nil {
			return err
		}
		if count >= maxTokens {
			return Conflict("This project has 100 service tokens. Revoke one that is no longer used.")
		}
		project, err := a.project()
		if err != nil {
			return err
		}
		token, secret, err = a.createServiceToken(project, name, scopes)
		return err
	})
	if err != nil {
		return nil, Secret{}, err
	}
	return token, secret, nil
}

func (a *auditedTx) createServiceToken(project *Project, name string, scopes []Scope) (*ServiceToken, Secret, error) {
	secret, err := NewSecret(a.store.random, project.KeyPrefix, SecretService)
	if err != nil {
		return nil, Secret{}, err
	}
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	digest := a.store.pepper.Digest(secret)
	token := &ServiceToken{
		ProjectID: project.ID, Name: name, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		Scopes: strings.Join(names, " "), CreatedBy: a.actor.userID(), CreatedAt: a.now,
	}
	if err := a.tx.Create(token).Error; err != nil {
		return nil, Secret{}, err
	}
	after := AuditSnapshot{"name": name, "scopes": names, "last4": token.Last4}
	return token, secret, a.log("service_token.create", token.auditTarget(), nil, after)
}

func (t *ServiceToken) auditTarget() AuditTarget { return AuditTarget{"service_token", t.ID, t.Name} }

// RevokeServiceToken revokes a token for good. The error is [CodeConflict] if it is already revoked.
func (s *Store) RevokeServiceToken(
	ctx context.Context, projectID, tokenID int64, actor Actor,
) (_ *ServiceToken, err error) {
	defer doing(&err, "revoke service token")
	var token ServiceToken
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		err := a.tx.Clauses(clause.Locking{Strength: "UPDATE"}).
			Where("project_id = ? AND id = ?", projectID, tokenID).
			Take(&token).Error
		if err != nil {
			return notFoundAs(err, "service token")
		}
		if token.RevokedAt != nil {
			return Conflict("The token is already revoked.")
		}
		token.RevokedAt = &a.now
		if err := a.tx.Model(&token).Select("revoked_at").Updates(&token).Error; err != nil {
			return err
		}
		before, after := AuditSnapshot{"revoked": false}, AuditSnapshot{"revoked": true}
		return a.log("service_token.revoke", token.auditTarget(), before, after)
	})
	return &token, err
}

// ServiceTokens lists the tokens of a project, newest first, revoked ones after the others: 200 at most.
func (s *Store) ServiceTokens(ctx context.Context, projectID int64) (_ []ServiceTokenDetails, err error) {
	defer doing(&err, "list service tokens")
	var list []ServiceTokenDetails
	err = s.read.WithContext(ctx).Table("service_tokens").
		Select("service_tokens.*, COALESCE(users.email, '') AS creator_email").
		Joins("LEFT JOIN users ON users.id = service_tokens.created_by").
		Where("service_tokens.project_id = ?", projectID).
		Order("service_tokens.revoked_at IS NOT NULL, service_tokens.id DESC").
		Limit(2 * maxTokens).
		Find(&list).Error
	return list, err
}

// TouchServiceToken stores at as the time of the token's last use, unless the stored time is less than a minute before.
func (s *Store) TouchServiceToken(ctx context.Context, tokenID int64, at time.Time) (err error) {
	defer doing(&err, "update use of service token")
	return s.write.WithContext(ctx).Model(&ServiceToken{}).
		Where("id = ? AND (last_used_at IS NULL OR last_used_at <= ?)", tokenID, at.Add(-time.Minute)).
		UpdateColumn("last_used_at", at).Error
}

// FindServiceToken finds the token with that digest, also a revoked one. It returns nil if there is none.
func (s *Store) FindServiceToken(ctx context.Context, digest Digest) (_ *ServiceToken, err error) {
	defer doing(&err, "find service token")
	var token ServiceToken
	err = s.read.WithContext(ctx).Where("digest = ?", digest[:]).Take(&token).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &token, err
}
