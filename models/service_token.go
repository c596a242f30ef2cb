package models

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
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
	ID        int64
	ProjectID int64
	Name      string
	Digest    []byte
	Prefix    string
	Last4     string
	Scopes    string // separated by spaces
	CreatedBy *int64
	CreatedAt time.Time
	RevokedAt *time.Time
}

// Has tells whether the token was given the scope.
func (t *ServiceToken) Has(scope Scope) bool {
	return slices.Contains(strings.Fields(t.Scopes), string(scope))
}

func (s *Store) createServiceToken(tx *gorm.DB, project *Project, userID int64, name string, scopes []Scope) (Secret, error) {
	secret, err := newSecret(s.random, project.KeyPrefix, SecretService)
	if err != nil {
		return Secret{}, err
	}
	words := make([]string, len(scopes))
	for i, scope := range scopes {
		words[i] = string(scope)
	}
	digest := s.pepper.Digest(secret)
	return secret, tx.Create(&ServiceToken{
		ProjectID: project.ID, Name: name, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		Scopes: strings.Join(words, " "), CreatedBy: &userID, CreatedAt: s.Now(),
	}).Error
}

// FindServiceToken looks a digest up among all tokens, revoked ones too; nil where there is none.
func (s *Store) FindServiceToken(ctx context.Context, digest Digest) (*ServiceToken, error) {
	var token ServiceToken
	err := s.read.WithContext(ctx).Where("digest = ?", digest[:]).Take(&token).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &token, err
}
