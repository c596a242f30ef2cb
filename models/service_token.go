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

// Scope is a kind of call that a service token may make.
type Scope string

const (
	ScopeValidate  Scope = "validate"
	ScopeReport    Scope = "report"
	ScopeKeysRead  Scope = "keys:read"
	ScopeKeysWrite Scope = "keys:write"
	ScopeLogsRead  Scope = "logs:read"
)

// AllScopes there are.
var AllScopes = []Scope{ScopeValidate, ScopeReport, ScopeKeysRead, ScopeKeysWrite, ScopeLogsRead}

// ServiceToken is a project's server-side credential.
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

// ServiceTokenDetails is a token with who made it.
type ServiceTokenDetails struct {
	ServiceToken
	CreatorEmail string
}

// Has tells whether the token was given the scope.
func (t *ServiceToken) Has(scope Scope) bool {
	return slices.Contains(strings.Fields(t.Scopes), string(scope))
}

const (
	maxTokenName = 64
	// maxTokens bounds the living tokens of one project: the page lists all of them.
	maxTokens = 100
)

// CreateServiceToken makes a token. The secret is returned this once. Errors: fields name and scopes.
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
	scopes = slices.DeleteFunc(slices.Clone(AllScopes), func(known Scope) bool { return !slices.Contains(scopes, known) })
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
		var living int64
		if err := a.tx.Model(&ServiceToken{}).Where("project_id = ? AND revoked_at IS NULL", projectID).Count(&living).Error; err != nil {
			return err
		}
		if living >= maxTokens {
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
	words := make([]string, len(scopes))
	for i, scope := range scopes {
		words[i] = string(scope)
	}
	digest := a.store.pepper.Digest(secret)
	token := &ServiceToken{
		ProjectID: project.ID, Name: name, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		Scopes: strings.Join(words, " "), CreatedBy: a.actor.userID(), CreatedAt: a.now,
	}
	if err := a.tx.Create(token).Error; err != nil {
		return nil, Secret{}, err
	}
	return token, secret, a.log("service_token.create", token.auditTarget(), nil, AuditSnapshot{"name": name, "scopes": words, "last4": token.Last4})
}

func (t *ServiceToken) auditTarget() AuditTarget { return AuditTarget{"service_token", t.ID, t.Name} }

// RevokeServiceToken ends a token for good.
func (s *Store) RevokeServiceToken(
	ctx context.Context, projectID, tokenID int64, actor Actor,
) (_ *ServiceToken, err error) {
	defer doing(&err, "revoke service token")
	var token ServiceToken
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		err := a.tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("project_id = ? AND id = ?", projectID, tokenID).Take(&token).Error
		if err != nil {
			return notFoundAs(err, "service token")
		}
		if token.RevokedAt != nil {
			return Conflict("The token is revoked already.")
		}
		token.RevokedAt = &a.now
		if err := a.tx.Model(&token).Select("revoked_at").Updates(&token).Error; err != nil {
			return err
		}
		return a.log("service_token.revoke", token.auditTarget(), AuditSnapshot{"revoked": false}, AuditSnapshot{"revoked": true})
	})
	return &token, err
}

// ServiceTokens lists the tokens of a project, the living ones first, then the newest.
func (s *Store) ServiceTokens(ctx context.Context, projectID int64) (_ []ServiceTokenDetails, err error) {
	defer doing(&err, "list service tokens")
	var list []ServiceTokenDetails
	err = s.read.WithContext(ctx).Table("service_tokens").
		Select("service_tokens.*, COALESCE(users.email, '') AS creator_email").
		Joins("LEFT JOIN users ON users.id = service_tokens.created_by").
		Where("service_tokens.project_id = ?", projectID).
		Order("service_tokens.revoked_at IS NOT NULL, service_tokens.id DESC").Limit(2 * maxTokens).Find(&list).Error
	return list, err
}

// TouchServiceToken notes that a token was used at a moment, at most once a minute.
func (s *Store) TouchServiceToken(ctx context.Context, tokenID int64, at time.Time) (err error) {
	defer doing(&err, "update use of service token")
	return s.write.WithContext(ctx).Model(&ServiceToken{}).
		Where("id = ? AND (last_used_at IS NULL OR last_used_at <= ?)", tokenID, at.Add(-time.Minute)).
		UpdateColumn("last_used_at", at).Error
}

// FindServiceToken looks a digest up among all tokens, revoked ones too; nil where there is none.
func (s *Store) FindServiceToken(ctx context.Context, digest Digest) (_ *ServiceToken, err error) {
	defer doing(&err, "find service token")
	var token ServiceToken
	err = s.read.WithContext(ctx).Where("digest = ?", digest[:]).Take(&token).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &token, err
}
