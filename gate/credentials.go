package gate

import (
	"context"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// withoutProject is where the addresses are blocked that show bad keys without saying of which project. Such blocks hold in this
// process alone, and no page shows them.
const withoutProject = 0

// Key finds a key, in any state, by its secret, for a caller that acts as that key. Bad keys count against the caller's address
// ip, which is empty where it is not known. Without a project, a key of any project is found. Errors: [requestlog.CodeIPBlocked], with
// how long, [requestlog.CodeKeyMissing] and [requestlog.CodeKeyInvalid], as [requestlog.Code.Err] makes them.
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

func (g *Gate) blockedErr(projectID int64, ip string) error {
	wait := g.blocks.blocked(projectID, ip)
	if wait <= 0 {
		return nil
	}
	err := models.Denied(requestlog.CodeIPBlocked)
	err.Retry = wait
	return err
}

// key finds a key of the project by its secret. Without a project, a key of any project is found.
func (g *Gate) key(ctx context.Context, project *Project, plain string) (key knownKey, found bool, err error) {
	digest, isKey := g.keyDigest(plain)
	if !isKey {
		return key, false, nil
	}
	key, found, err = g.keys.get(ctx, digest)
	return key, found && (project == nil || key.ProjectID == project.ID), err
}

// keyInMemory is [Gate.key] for a blocked address: of a key that memory does not know it asks no database. One that changed since
// it was read is read again, which only somebody who has good keys can make happen.
func (g *Gate) keyInMemory(ctx context.Context, project *Project, plain string) (key models.GateKey, found bool) {
	digest, isKey := g.keyDigest(plain)
	if !isKey || !g.keys.has(digest) {
		return key, false
	}
	known, found, err := g.keys.get(ctx, digest)
	return known.GateKey, err == nil && found && known.ProjectID == project.ID
}

// keyDigest is that of a well-formed secret of a key.
func (g *Gate) keyDigest(plain string) (digest models.Digest, isKey bool) {
	secret, wellFormed := models.ParseSecret(plain)
	if !wellFormed || secret.Kind == models.SecretService {
		return digest, false
	}
	return g.pepper.Digest(secret), true
}

// Token checks a service token: [requestlog.CodeValid] where it is a living one of the project and has the scope, else
// [requestlog.CodeTokenInvalid] or [requestlog.CodeTokenScope]. The token comes with both but an invalid one. Its use is noted where it is valid;
// one that is none is a bad key of the caller's address ip, which is empty where it is not known.
func (g *Gate) Token(ctx context.Context, project *Project, plain, ip string, scope models.Scope) (*models.ServiceToken, requestlog.Code, error) {
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
