// Package gate decides whether a request may pass. Every validate call goes through it. It knows nothing of HTTP.
//
// A check of a key in memory does not use the database: see [Gate.Check], and "A validate request" in docs/design.md.
package gate

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Options of a [Gate]. A zero value means the default, which the comment names.
type Options struct {
	Now func() time.Time // default: time.Now
	Log *slog.Logger     // default: slog.Default()
	// MaxKeys bounds the keys in memory, with their meters. Default: 1,000,000.
	MaxKeys int
	// Shared says that other processes change the same database. A read from it is then used without a time limit only
	// while calls of [Gate.SyncedUntil] say that their changes arrive.
	Shared bool
	// OnPropagated is called for each change that has taken effect in this process, with its propagation latency and
	// whether another process made it. May be nil.
	OnPropagated func(took time.Duration, remote bool)
	// Durability says whether an answer waits for its row. Default: [recorder.DurabilityBatch].
	Durability recorder.Durability
	// Spool is the folder of the spool: see Folder of [recorder.Options].
	Spool string
}

// Gate decides whether requests may pass. It is safe for concurrent use.
type Gate struct {
	now             func() time.Time
	log             *slog.Logger
	onPropagated    func(took time.Duration, remote bool)
	staleness       *stalenessPolicy
	wasDisconnected atomic.Bool // only for the log
	// connectedSince is when the present connection of the change feed began, in nanoseconds since 1970.
	connectedSince atomic.Int64
	pepper         models.Pepper
	recorder       *recorder.Recorder
	durability     recorder.Durability

	projects *cache[string, Project]
	keys     *keyCache
	tokens   *cache[models.Digest, gateToken]
	uses     *tokenUses
	meters   *meters
	windows  *windows
	blocks   *blocks
	unknown  *unknownKeys

	verdicts map[requestlog.Code]*atomic.Uint64

	completeRequests func(context.Context, int64, []requestlog.Report) ([]requestlog.ID, error)
}

// Store is the part of [models.Store] that the gate uses.
type Store interface {
	GateProject(ctx context.Context, ref string) (*models.GateProject, error)
	FindKey(ctx context.Context, digest models.Digest) (*models.GateKey, error)
	FindServiceToken(ctx context.Context, digest models.Digest) (*models.ServiceToken, error)
	TouchServiceToken(ctx context.Context, tokenID int64, at time.Time) error
	CountUnknownKeys(ctx context.Context, batch int64, counts []models.UnknownKeyCount) error
	blockStore
	Subscribe(fn func(models.Change))
}

// Log is the part of [requestlog.Log] that the gate uses.
type Log interface {
	Write(ctx context.Context, rows []requestlog.Row) error
	Complete(ctx context.Context, projectID int64, reports []requestlog.Report) (missing []requestlog.ID, err error)
	KeyUsage(ctx context.Context, keyID int64) (requestlog.KeyUsage, error)
}

// New returns a gate for the store and its request log. Close it after the last request. The error is that of
// [recorder.New]: this program cannot read the spool.
func New(store Store, log Log, pepper models.Pepper, o Options) (*Gate, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 1_000_000
	}
	rows, err := recorder.New(recorder.Options{
		Write: log.Write, Durability: o.Durability, Folder: o.Spool, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	digestText := func(d models.Digest) string { return string(d[:]) }
	staleness := newStalenessPolicy(o.Shared, o.Now)
	g := &Gate{
		now: o.Now, log: o.Log, onPropagated: o.OnPropagated, staleness: staleness, pepper: pepper,
		uses:       newTokenUses(store.TouchServiceToken, o.Log),
		durability: o.Durability, recorder: rows,
		projects: newCache(10_000, staleness, func(ref string) string { return ref },
			func(ctx context.Context, ref string) (*Project, error) {
				project, err := store.GateProject(ctx, ref)
				if models.IsNotFound(err) {
					return nil, nil
				}
				if err != nil {
					return nil, err
				}
				return newProject(project), nil
			}),
		windows:  newWindows(maxWindows, o.Now()),
		tokens:   newCache(10_000, staleness, digestText, loadToken(store.FindServiceToken)),
		verdicts: map[requestlog.Code]*atomic.Uint64{},

		completeRequests: log.Complete,
	}
	for _, code := range requestlog.Codes() {
		g.verdicts[code] = new(atomic.Uint64)
	}
	g.meters = newMeters(o.MaxKeys, log.KeyUsage, g.recorder.Stored, g.recorder.WaitStored,
		func() uint32 { return g.windows.slot(keyMinute, g.now()) })
	g.keys = newKeyCache(o.MaxKeys, staleness, g.meters, store.FindKey)
	g.blocks = newBlocks(o, store)
	g.unknown = newUnknownKeys(store.CountUnknownKeys, o.Log)
	store.Subscribe(g.Invalidate)
	return g, nil
}

// Close writes what waits to be written, and ends the gate's goroutines. It returns ctx's error if that takes longer.
func (g *Gate) Close(ctx context.Context) error {
	return errors.Join(
		g.recorder.Close(ctx),
		g.uses.close(ctx),
		g.blocks.sync.worker.close(ctx),
		g.unknown.close(ctx),
	)
}

// Flush returns when every request answered so far is in the request log or counted, and every block that they caused
// is in the database, or with ctx's error.
func (g *Gate) Flush(ctx context.Context) error {
	if err := errors.Join(g.uses.flush(ctx), g.blocks.sync.flush(ctx), g.unknown.flush(ctx)); err != nil {
		return err
	}
	return g.recorder.Flush(ctx)
}

// Project finds a project by its ID or slug. It returns nil if there is none, and otherwise the database's errors.
func (g *Gate) Project(ctx context.Context, ref string) (*Project, error) {
	if len(ref) > maxProjectRef { // no project has such a slug
		return nil, nil
	}
	return g.projects.get(ctx, ref)
}

// maxProjectRef bounds the bytes of a reference, so that long ones do not fill the cache.
const maxProjectRef = 64

// UnknownProject counts a request for a project that does not exist, and returns its verdict.
func (g *Gate) UnknownProject(id requestlog.ID) Verdict {
	const code = requestlog.CodeProjectUnknown
	g.verdicts[code].Add(1)
	return Verdict{Code: code, Status: code.Status(), RequestID: id}
}

// NoVerdict counts a request that was not checked, by the code of its answer: [requestlog.CodeBadRequest],
// [requestlog.CodeTooLarge] or [requestlog.CodeUnavailable]. A code that is not in [requestlog.Codes] is ignored.
func (g *Gate) NoVerdict(code requestlog.Code) {
	if n, known := g.verdicts[code]; known {
		n.Add(1)
	}
}

// Origin is where a request came from and what it asks for.
type Origin struct {
	IP     string
	Method string
	Path   string
	Proxy  bool // IP is that of a trusted proxy
}

// Request is one validate call.
type Request struct {
	ID      requestlog.ID
	IDs     *requestlog.IDs // makes a new ID if the verdict is of a later minute than ID; may be nil
	Started time.Time       // when the request came in, for the duration in its row; if zero, that is 0
	Project *Project

	Key   string // as the caller gave it; may be empty or anything
	Token string // service token; empty if none was given

	Peer      Origin // of the call itself
	Claimed   Origin // what the caller says about its client's request; fields may be empty
	Credits   *int64 // what the request costs, as the caller says; nil means 1
	Session   string // of the client; may be empty
	App       models.ClientApp
	FromProxy bool // the caller is a trusted proxy, so what it claims counts
	DryRun    bool // nothing is counted and nothing is recorded
	NeedToken bool // the request needs a service token
}

// Verdict is the outcome of a check.
type Verdict struct {
	Code      requestlog.Code
	Status    int // of the reply
	RequestID requestlog.ID
	At        time.Time      // the time of checks 1 to 10; zero if there is no key or the token was rejected
	Known     bool           // Key is a key of the project; for a blocked address, only if it is in memory
	Key       models.GateKey // the version that was used
	Credits   int64          // charged: 0 for a rejected request

	// Quotas and the first LimitCount of Limits are as they are after the check, if the request reached check 9.
	Quotas     [models.QuotaCount]QuotaState
	Limits     [axisCount]LimitState
	LimitCount int
	Retry      time.Time     // when a request would pass that a block, limit or quota rejected; zero if never
	Limit      time.Duration // window of the limit that rejected it: a second or a minute
}

// NamesKey reports whether the answer may name the key. A blocked address must not learn which keys exist.
func (v *Verdict) NamesKey() bool { return v.Known && v.Code != requestlog.CodeIPBlocked }

// Check decides about one request, and records it if its key is known. An error means that there is no verdict and only
// RequestID is set: the database did not answer, or with [recorder.DurabilitySync] the request could not be recorded
// ([recorder.ErrNotRecorded]).
func (g *Gate) Check(ctx context.Context, r *Request) (Verdict, error) {
	v := Verdict{RequestID: r.ID}
	ticket, err := g.check(ctx, r, &v)
	if err != nil {
		return Verdict{RequestID: v.RequestID}, err
	}
	if g.durability == recorder.DurabilitySync && v.Known && !r.DryRun {
		if err := g.recorder.Wait(ctx, ticket); err != nil {
			return Verdict{RequestID: v.RequestID}, err
		}
	}
	if !r.DryRun {
		g.verdicts[v.Code].Add(1)
	}
	return v, nil
}

// check runs the checks of product.md, section 3, in their order; the first that fails decides. ticket is that of the
// request's row, zero if it has none.
func (g *Gate) check(ctx context.Context, r *Request, v *Verdict) (ticket recorder.Ticket, err error) {
	trusted, err := g.checkCaller(ctx, r, v)
	if err != nil || v.Code != requestlog.CodeValid {
		v.Status = v.Code.Status()
		return ticket, err
	}
	consumer, origin := r.consumer(r.Token != ""), r.Peer
	if trusted { // otherwise what the caller claims does not count
		origin.IP = cmp.Or(consumer, r.Claimed.IP, origin.IP)
		origin.Method = cmp.Or(r.Claimed.Method, origin.Method)
		origin.Path = cmp.Or(r.Claimed.Path, origin.Path)
	}
	m, err := g.pass(ctx, r, consumer, v)
	if err != nil {
		return ticket, err
	}
	if m != nil {
		g.admit(r, consumer, v, m)
	}
	v.Status = v.Code.Status()
	switch {
	case v.Code == requestlog.CodeValid:
		if v.Credits = 1; trusted && r.Credits != nil {
			v.Credits = *r.Credits
		}
	case v.Code.IsQuota():
		v.Status = r.Project.QuotaStatus
	}
	switch {
	case r.DryRun:
	case v.Known:
		ticket = g.record(r, v, origin)
		if m != nil {
			m.ticket = max(m.ticket, ticket.Number) // the number is 0 if the row was dropped
		}
	case r.Key != "":
		g.unknown.note(r.Project.ID, origin.IP, v.At)
	}
	if m != nil {
		m.mu.Unlock()
	}
	return ticket, nil
}

// checkCaller checks the service token, and reports whether what the caller claims counts. v.Code is valid unless the
// token is missing, invalid or without the scope.
func (g *Gate) checkCaller(ctx context.Context, r *Request, v *Verdict) (trusted bool, err error) {
	v.Code = requestlog.CodeValid
	if r.Token == "" {
		if r.NeedToken {
			v.Code = requestlog.CodeTokenMissing
		}
		return r.FromProxy, nil
	}
	_, v.Code, err = g.Token(ctx, r.Project, r.Token, r.consumer(false), models.ScopeValidate)
	return true, err
}

// checkKey runs checks 1 to 8: whether the consumer's address is blocked, whether the key exists, and the rules of the
// key. It returns the meter that the key cache found with the key, which may serve another key by now, or nil.
func (g *Gate) checkKey(ctx context.Context, r *Request, consumer string, v *Verdict) (*meter, error) {
	if wait := g.blocks.blocked(r.Project.ID, consumer); wait > 0 {
		v.Code, v.At = requestlog.CodeIPBlocked, g.now()
		v.Retry = v.At.Add(wait)
		v.Key, v.Known = g.keyInMemory(ctx, r.Project, r.Key)
		return nil, nil
	}
	if r.Key == "" {
		v.Code = requestlog.CodeKeyMissing
		return nil, nil
	}
	key, found, err := g.key(ctx, r.Project, r.Key)
	if err != nil {
		return nil, err
	}
	v.At = g.now() // after the look-up, which may have waited for the database
	if !found {
		v.Key, v.Known, v.Code = models.GateKey{}, false, requestlog.CodeKeyInvalid
		if !r.DryRun {
			g.blocks.noteBad(r.Project.ID, consumer, r.Key)
		}
		return nil, nil
	}
	v.Key, v.Known = key.GateKey, true
	v.Code = v.Key.DenialCode(v.At, r.App)
	return key.meter, nil
}

// record passes the request's row to the recorder.
func (g *Gate) record(r *Request, v *Verdict, origin Origin) recorder.Ticket {
	// The database counts by the minute of the row's ID. That must not be before the minute in which the meter counted
	// the request, or the request would leave its windows too early after a restart.
	if r.IDs != nil && minuteOf(v.RequestID.Time()) < minuteOf(v.At) {
		v.RequestID = r.IDs.Next()
	}
	var took time.Duration
	if !r.Started.IsZero() {
		took = max(0, v.At.Sub(r.Started))
	}
	return g.recorder.Add(requestlog.Row{
		ID:          v.RequestID,
		ProjectID:   v.Key.ProjectID,
		KeyID:       v.Key.KeyID,
		Version:     v.Key.Version,
		Type:        string(v.Key.Type),
		Category:    v.Key.Category,
		Method:      models.LogText(origin.Method, requestlog.MaxMethod),
		Path:        models.LogText(origin.Path, requestlog.MaxPath),
		IP:          origin.IP,
		Status:      v.Status,
		DurationUs:  took.Microseconds(),
		Credits:     v.Credits,
		Code:        v.Code,
		SessionHash: g.pepper.HashSession(r.Session),
	})
}
