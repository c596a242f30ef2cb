// Package gate decides about requests: what every validate call passes. It knows no HTTP.
//
// A check on a known key touches no database: see [Gate.Check] and the two paths in docs/design.md.
package gate

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
)

// Options of a [Gate]. Zero values are the defaults given.
type Options struct {
	Now func() time.Time // time.Now
	Log *slog.Logger     // slog.Default
	// MaxKeys bounds how many keys are kept in memory; 1,000,000.
	MaxKeys int
	// MaxAge is after how long a key is read again although nothing said that it changed. It is how changes that other
	// processes made arrive; 0 (never) is right where there is one process.
	MaxAge time.Duration
}

// Gate answers whether requests may pass. It is safe for use by many goroutines.
type Gate struct {
	now      func() time.Time
	pepper   models.Pepper
	recorder *Recorder

	projects *cache[string, models.Project]
	keys     *cache[models.Digest, models.GateKey]
	tokens   *cache[models.Digest, gateToken]
	uses     *tokenUses
	blocks   *blocks

	verdicts map[models.Code]*atomic.Uint64
}

// Store is what the gate asks of the database.
type Store interface {
	Project(ctx context.Context, ref string) (*models.Project, error)
	FindKey(ctx context.Context, digest models.Digest) (*models.GateKey, error)
	FindServiceToken(ctx context.Context, digest models.Digest) (*models.ServiceToken, error)
	WriteRequestLogs(ctx context.Context, rows []models.RequestLog) error
	TouchServiceToken(ctx context.Context, tokenID int64, at time.Time) error
	blockStore
	Subscribe(fn func(models.Change))
}

// New makes a gate over the store. Close it when no more requests come.
func New(store Store, pepper models.Pepper, o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 1_000_000
	}
	digestText := func(d models.Digest) string { return string(d[:]) }
	g := &Gate{
		now: o.Now, pepper: pepper, recorder: NewRecorder(store.WriteRequestLogs, o.Log), uses: newTokenUses(store.TouchServiceToken, o.Log),
		projects: newCache(10_000, o.MaxAge, o.Now, func(ref string) string { return ref },
			func(ctx context.Context, ref string) (*models.Project, error) {
				project, err := store.Project(ctx, ref)
				if models.IsNotFound(err) {
					return nil, nil
				}
				return project, err
			}),
		keys:     newCache(o.MaxKeys, o.MaxAge, o.Now, digestText, store.FindKey),
		tokens:   newCache(10_000, o.MaxAge, o.Now, digestText, loadToken(store.FindServiceToken)),
		verdicts: map[models.Code]*atomic.Uint64{},
	}
	for _, code := range models.Codes() {
		g.verdicts[code] = new(atomic.Uint64)
	}
	g.blocks = newBlocks(o, store)
	store.Subscribe(g.Forget)
	return g
}

// Close writes what waits to be written.
func (g *Gate) Close(ctx context.Context) error {
	return errors.Join(g.recorder.Close(ctx), g.uses.close(ctx), g.blocks.keeper.close(ctx))
}

// Flush returns when every request answered so far is in the log, and every block that they led to is in the database.
func (g *Gate) Flush(ctx context.Context) error {
	if err := errors.Join(g.uses.flush(ctx), g.blocks.keeper.flush(ctx)); err != nil {
		return err
	}
	return g.recorder.Flush(ctx)
}

// Project finds a project by id or slug; nil where there is none.
func (g *Gate) Project(ctx context.Context, ref string) (*models.Project, error) {
	if len(ref) > maxProjectRef {
		return nil, nil
	}
	return g.projects.get(ctx, ref)
}

const maxProjectRef = 64

// Origin is where a request came from and what it asks for.
type Origin struct {
	IP     string
	Method string
	Path   string
	Proxy  bool // IP is a trusted proxy's own
}

// Request is one validate call.
type Request struct {
	ID      models.RequestID
	Started time.Time
	Project *models.Project

	Key   string // as the caller gave it; may be empty or anything
	Token string // service token; empty where none was given

	Peer      Origin // of the call itself
	Claimed   Origin // what the caller says of the request behind it; empty fields are not said
	Credits   *int64 // what the caller says the request costs; nil is 1
	Session   string // of the consumer; may be empty
	Use       models.Use
	FromProxy bool // the caller is a trusted proxy: what it claims is believed
}

// Verdict is the outcome of a check.
type Verdict struct {
	Code      models.Code
	RequestID models.RequestID
	Key       *models.GateKey // nil where no key of the project is known
	Credits   int64           // charged: 0 for a rejected request
	// RetryAfter is when it makes sense to ask again; 0 where that is not known.
	RetryAfter time.Duration
}

// Check answers one request and records it where its key is known. An error means that there is no verdict, because
// the database could not be asked.
func (g *Gate) Check(ctx context.Context, r Request) (Verdict, error) {
	verdict, trusted, err := g.check(ctx, &r)
	if err != nil {
		return Verdict{}, err
	}
	verdict.RequestID = r.ID
	if verdict.Code == models.Valid {
		verdict.Credits = 1
		if trusted && r.Credits != nil {
			verdict.Credits = *r.Credits
		}
	}
	g.verdicts[verdict.Code].Add(1)
	if verdict.Key != nil {
		g.record(&r, &verdict, trusted)
	}
	return verdict, nil
}

// check goes through the checks of product.md, section 3, in their order; the first that fails answers.
func (g *Gate) check(ctx context.Context, r *Request) (v Verdict, trusted bool, err error) {
	trusted = r.FromProxy
	if r.Token != "" {
		code, err := g.checkToken(ctx, r)
		if err != nil || code != models.Valid {
			return Verdict{Code: code}, false, err
		}
		trusted = true
	}
	ip := r.consumer(r.Token != "")
	if wait := g.blocks.blocked(r.Project.ID, ip); wait > 0 {
		return Verdict{Code: models.IPBlocked, RetryAfter: wait}, trusted, nil
	}
	if r.Key == "" {
		return Verdict{Code: models.KeyMissing}, trusted, nil
	}
	secret, wellFormed := models.ParseSecret(r.Key)
	if !wellFormed || secret.Kind == models.SecretService {
		g.blocks.noteBad(r.Project.ID, ip, r.Key)
		return Verdict{Code: models.KeyInvalid}, trusted, nil
	}
	key, err := g.keys.get(ctx, g.pepper.Digest(secret))
	if err != nil {
		return Verdict{}, false, err
	}
	if key == nil || key.ProjectID != r.Project.ID {
		g.blocks.noteBad(r.Project.ID, ip, r.Key)
		return Verdict{Code: models.KeyInvalid}, trusted, nil
	}
	return Verdict{Code: key.Refusal(g.now(), r.Use), Key: key}, trusted, nil
}

func (g *Gate) checkToken(ctx context.Context, r *Request) (models.Code, error) {
	secret, wellFormed := models.ParseSecret(r.Token)
	if !wellFormed || secret.Kind != models.SecretService {
		return models.TokenInvalid, nil
	}
	token, err := g.tokens.get(ctx, g.pepper.Digest(secret))
	switch {
	case err != nil:
		return "", err
	case token == nil || token.ProjectID != r.Project.ID || token.RevokedAt != nil:
		return models.TokenInvalid, nil
	case !token.Has(models.ScopeValidate):
		return models.TokenScope, nil
	}
	g.uses.note(token, g.now())
	return models.Valid, nil
}

// record hands the request's row to the recorder. What the caller claims goes in only where it is believed.
func (g *Gate) record(r *Request, v *Verdict, trusted bool) {
	origin := r.Peer
	if trusted {
		origin.IP = cmp.Or(r.consumer(r.Token != ""), r.Claimed.IP, origin.IP)
		origin.Method = cmp.Or(r.Claimed.Method, origin.Method)
		origin.Path = cmp.Or(r.Claimed.Path, origin.Path)
	}
	g.recorder.Add(models.RequestLog{
		ID: r.ID, ProjectID: v.Key.ProjectID, KeyID: v.Key.KeyID, Version: v.Key.Version, Category: v.Key.Category,
		Method: models.LogText(origin.Method, models.MaxLoggedMethod), Path: models.LogText(origin.Path, models.MaxLoggedPath), IP: origin.IP,
		Status: v.Code.Status(), DurationUs: max(0, g.now().Sub(r.Started).Microseconds()),
		Credits: v.Credits, Code: v.Code, SessionHash: g.pepper.HashSession(r.Session),
	})
}

// Forget makes the next request that has to do with what was changed ask the database. The store calls it after each
// commit.
func (g *Gate) Forget(c models.Change) {
	switch c.Kind {
	case "key":
		g.keys.forget(func(k *models.GateKey) bool { return k.KeyID == c.ID })
	case "category": // replies name the label of a key
		g.keys.forget(func(k *models.GateKey) bool { return k.ProjectID == c.ProjectID })
	case "service_token":
		g.tokens.forget(func(t *gateToken) bool { return t.ID == c.ID })
	case "address_block":
		g.blocks.changed(c.ProjectID, c.ID)
	case "project": // one that is new included: its slug may be remembered as unknown
		g.projects.forget(func(p *models.Project) bool { return p.ID == c.ID })
	case "plan":
		g.projects.forget(func(*models.Project) bool { return true })
	}
}

// Stats are counts since the start.
type Stats struct {
	Verdicts                       map[models.Code]uint64
	DirectoryHits, DirectoryMisses uint64
	Recorder                       RecorderStats
	BlockedAddresses               int // at this moment
}

// Stats of the gate at this moment.
func (g *Gate) Stats() Stats {
	stats := Stats{
		Verdicts: make(map[models.Code]uint64, len(g.verdicts)), Recorder: g.recorder.Stats(),
		DirectoryHits: g.keys.hits.Load(), DirectoryMisses: g.keys.misses.Load(),
		BlockedAddresses: g.blocks.count(),
	}
	for code, n := range g.verdicts {
		stats.Verdicts[code] = n.Load()
	}
	return stats
}
