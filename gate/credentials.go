package gate

import (
	"context"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// withoutProject is the project ID under which bad keys count if the request names no project. Blocks under it are in
// force in this process only, and no page shows them.
const withoutProject = 0

// Key finds a key by its secret, whatever its state, for a caller that acts as that key. If project is nil, it finds a
// key of any project. A bad key counts against the caller's address ip, which is empty if it is not known. Errors:
// [models.Denied] with [requestlog.CodeIPBlocked], whose Retry is how long the block lasts, [requestlog.CodeKeyMissing]
// or [requestlog.CodeKeyInvalid]; those of the database.
func (g *Gate) Key(ctx context.Context, project *Project, plain, ip string) (models.GateKey, error) {
	projectID := int64(withoutProject)
	if project != nil {
		projectID = project.ID
	}
	if err := g.blockedErr(projectID, ip); err != nil {
		return models.GateKey{}, err
	}
	if plain == "" {
		return models.GateKey{}, models.Denied(requestlog.CodeKeyMissing)
	}
	key, found, err := g.key(ctx, project, plain)
	if err != nil {
		return models.GateKey{}, err
	}
	if !found {
		g.blocks.noteBad(projectID, ip, plain)
		if project != nil {
			g.unknown.note(projectID, ip, g.now())
		}
		return models.GateKey{}, models.Denied(requestlog.CodeKeyInvalid)
	}
	if project == nil {
		if err := g.blockedErr(key.ProjectID, ip); err != nil {
			return models.GateKey{}, err
		}
	}
	return key.GateKey, nil
}

// blockedErr returns the error for a blocked address, nil if it is not blocked.
func (g *Gate) blockedErr(projectID int64, ip string) error {
	wait := g.blocks.blocked(projectID, ip)
	if wait <= 0 {
		return nil
	}
	err := models.Denied(requestlog.CodeIPBlocked)
	err.Retry = wait
	return err
}

// key finds a key of the project by its secret. If project is nil, it finds a key of any project.
func (g *Gate) key(ctx context.Context, project *Project, plain string) (key knownKey, found bool, err error) {
	digest, isKey := g.keyDigest(plain)
	if !isKey {
		return key, false, nil
	}
	key, found, err = g.keys.get(ctx, digest)
	return key, found && (project == nil || key.ProjectID == project.ID), err
}

// keyInMemory is [Gate.key] for a blocked address: it does not look up a key that is not in memory. It reads a key in
// memory again if that changed, which only a client with a real key can cause.
func (g *Gate) keyInMemory(ctx context.Context, project *Project, plain string) (key models.GateKey, found bool) {
	digest, isKey := g.keyDigest(plain)
	if !isKey || !g.keys.has(digest) {
		return key, false
	}
	known, found, err := g.keys.get(ctx, digest)
	return known.GateKey, err == nil && found && known.ProjectID == project.ID
}

// keyDigest returns the digest of a key's secret. isKey is false if plain is not well-formed or not a key's.
func (g *Gate) keyDigest(plain string) (digest models.Digest, isKey bool) {
	secret, wellFormed := models.ParseSecret(plain)
	if !wellFormed || secret.Kind == models.SecretService {
		return digest, false
	}
	return g.pepper.Digest(secret), true
}

// Token checks a service token. The code is [requestlog.CodeValid] if the token is one of the project, is not revoked
// and has the scope; otherwise [requestlog.CodeTokenInvalid] or [requestlog.CodeTokenScope]. The token is nil if it
// is invalid. The use of a valid token is noted. A token that the project does not have counts as a bad key of the
// caller's address ip, which is empty if it is not known. An error is the database's.
func (g *Gate) Token(
	ctx context.Context, project *Project, plain, ip string, scope models.Scope,
) (*models.ServiceToken, requestlog.Code, error) {
	var token *gateToken
	if secret, wellFormed := models.ParseSecret(plain); wellFormed && secret.Kind == models.SecretService {
		var err error
		if token, err = g.tokens.get(ctx, g.pepper.Digest(secret)); err != nil {
			return nil, "", err
		}
	}
	switch {
	case token == nil || token.ProjectID != project.ID:
		g.blocks.noteBad(project.ID, ip, plain)
		return nil, requestlog.CodeTokenInvalid, nil
	case token.RevokedAt != nil:
		return nil, requestlog.CodeTokenInvalid, nil
	case !token.Has(scope):
		return &token.ServiceToken, requestlog.CodeTokenScope, nil
	}
	g.uses.note(token, g.now())
	return &token.ServiceToken, requestlog.CodeValid, nil
}
