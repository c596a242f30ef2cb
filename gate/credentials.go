package gate

import (
	"context"

	"github.com/claviger/claviger/models"
)

// Key finds a key of the project by its secret, whatever its state; nil where there is none.
func (g *Gate) Key(ctx context.Context, project *Project, plain string) (*models.GateKey, error) {
	key, found, err := g.key(ctx, project, plain)
	if err != nil || !found {
		return nil, err
	}
	return &key, nil
}

// key is [Gate.Key] without an allocation for the key. Without a project, a key of any project is found.
func (g *Gate) key(ctx context.Context, project *Project, plain string) (key models.GateKey, found bool, err error) {
	digest, isKey := g.keyDigest(plain)
	if !isKey {
		return key, false, nil
	}
	key, found, err = g.keys.get(ctx, digest)
	return key, found && (project == nil || key.ProjectID == project.ID), err
}

// keyInMemory is [Gate.key] for a caller that must not cost a statement.
func (g *Gate) keyInMemory(project *Project, plain string) (key models.GateKey, found bool) {
	digest, isKey := g.keyDigest(plain)
	if !isKey {
		return key, false
	}
	key, found = g.keys.known(digest)
	return key, found && key.ProjectID == project.ID
}

// keyDigest is that of a well-formed secret of a key.
func (g *Gate) keyDigest(plain string) (digest models.Digest, isKey bool) {
	secret, wellFormed := models.ParseSecret(plain)
	if !wellFormed || secret.Kind == models.SecretService {
		return digest, false
	}
	return g.pepper.Digest(secret), true
}

// Token checks a service token: [models.Valid] where it is a living one of the project and has the scope, else
// [models.TokenInvalid] or [models.TokenScope]. The token comes with both but an invalid one. Its use is noted where it is valid.
func (g *Gate) Token(ctx context.Context, project *Project, plain string, scope models.Scope) (*models.ServiceToken, models.Code, error) {
	secret, wellFormed := models.ParseSecret(plain)
	if !wellFormed || secret.Kind != models.SecretService {
		return nil, models.TokenInvalid, nil
	}
	token, err := g.tokens.get(ctx, g.pepper.Digest(secret))
	switch {
	case err != nil:
		return nil, "", err
	case token == nil || token.ProjectID != project.ID || token.RevokedAt != nil:
		return nil, models.TokenInvalid, nil
	case !token.Has(scope):
		return &token.ServiceToken, models.TokenScope, nil
	}
	g.uses.note(token, g.now())
	return &token.ServiceToken, models.Valid, nil
}
