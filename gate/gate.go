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

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Options of a [Gate]. Zero values are the defaults given.
type Options struct {
	Now func() time.Time // time.Now
	Log *slog.Logger     // slog.Default
	// MaxKeys bounds how many keys are kept in memory, with their meters; 1,000,000.
	MaxKeys int
	// Shared says that other processes change the same database. What was read is then believed for good only while
	// [Gate.Heard] says that their changes are told.
	Shared bool
	// Effects is told of each change that has taken effect here: how long that took from the change on, and whether
	// another process made it. May be nil.
	OnPropagated func(took time.Duration, remote bool)
	// Durability is when a request is answered; [recorder.DurabilityBatch].
	Durability recorder.Durability
	// Spool is the folder that has the spool: see [recorder.Options].
	Spool string
}

// Gate answers whether requests may pass. It is safe for use by many goroutines.
type Gate struct {
	now             func() time.Time
	log             *slog.Logger
	onPropagated    func(took time.Duration, remote bool)
	staleness       *stalenessPolicy
	wasDisconnected atomic.Bool // for the log alone
	// heardSince is since when the present connection tells of changes, in nanoseconds since 1970.
	connectedSince atomic.Int64
	pepper         models.Pepper
	recorder       *recorder.Recorder
	// durability says whether an answer waits for the recorder.
	durability recorder.Durability

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

// Store is what the gate asks of the database.
type Store interface {
	GateProject(ctx context.Context, ref string) (*models.GateProject, error)
	FindKey(ctx context.Context, digest models.Digest) (*models.GateKey, error)
	FindServiceToken(ctx context.Context, digest models.Digest) (*models.ServiceToken, error)
	TouchServiceToken(ctx context.Context, tokenID int64, at time.Time) error
	CountUnknownKeys(ctx context.Context, batch int64, counts []models.UnknownKeyCount) error
	blockStore
	Subscribe(fn func(models.Change))
}

// Log is what the gate asks of the log of requests: see [requestlog.Log].
type Log interface {
	Write(ctx context.Context, rows []requestlog.Row) error
	Complete(ctx context.Context, projectID int64, reports []requestlog.Report) (missing []requestlog.ID, err error)
	KeyUsage(ctx context.Context, keyID int64) (requestlog.KeyUsage, error)
}

// New makes a gate over the store and its log of requests. Close it when no more requests come. An error is that of
// [recorder.New]: the spool is not one that this program can read.
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
	trust := newStalenessPolicy(o.Shared, o.Now)
	g := &Gate{
		now: o.Now, log: o.Log, onPropagated: o.OnPropagated, staleness: trust, pepper: pepper,
		uses:       newTokenUses(store.TouchServiceToken, o.Log),
		durability: o.Durability, recorder: rows,
		projects: newCache(10_000, trust, func(ref string) string { return ref },
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
		tokens:   newCache(10_000, trust, digestText, loadToken(store.FindServiceToken)),
		verdicts: map[requestlog.Code]*atomic.Uint64{},

		completeRequests: log.Complete,
	}
	for _, code := range requestlog.Codes() {
		g.verdicts[code] = new(atomic.Uint64)
	}
	g.meters = newMeters(o.MaxKeys, log.KeyUsage, g.recorder.Stored, g.recorder.WaitStored,
		func() uint32 { return g.windows.slot(keyMinute, g.now()) })
	g.keys = newKeyCache(o.MaxKeys, trust, g.meters, store.FindKey)
	g.blocks = newBlocks(o, store)
	g.unknown = newUnknownKeys(store.CountUnknownKeys, o.Log)
	store.Subscribe(g.Invalidate)
	return g, nil
}

// Close writes what waits to be written, within ctx.
func (g *Gate) Close(ctx context.Context) error {
	return errors.Join(g.recorder.Close(ctx), g.uses.close(ctx), g.blocks.sync.worker.close(ctx), g.unknown.close(ctx))
}

// Flush returns when every request answered so far is in the log or counted, and every block that they led to is in the database.
func (g *Gate) Flush(ctx context.Context) error {
	if err := errors.Join(g.uses.flush(ctx), g.blocks.sync.flush(ctx), g.unknown.flush(ctx)); err != nil {
		return err
	}
	return g.recorder.Flush(ctx)
}

// Project finds a project by id or slug; nil where there is none.
func (g *Gate) Project(ctx context.Context, ref string) (*Project, error) {
	if len(ref) > maxProjectRef {
		return nil, nil
	}
	return g.projects.get(ctx, ref)
}

const maxProjectRef = 64

// UnknownProject is the verdict on a request for a project that is not there.
func (g *Gate) UnknownProject(id requestlog.ID) Verdict {
	g.verdicts[requestlog.CodeProjectUnknown].Add(1)
	return Verdict{Code: requestlog.CodeProjectUnknown, Status: requestlog.CodeProjectUnknown.Status(), RequestID: id}
}

// NoVerdict counts a request that was not judged: as [requestlog.CodeBadRequest], [requestlog.CodeTooLarge] or [requestlog.CodeUnavailable]. Other codes
// are not counted.
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
	Proxy  bool // IP is a trusted proxy's own
}

// Request is one validate call.
type Request struct {
	ID      requestlog.ID
	IDs     *requestlog.IDs // for another id, where the verdict comes in a later minute than ID says; may be nil
	Started time.Time       // when the request came in: its row says how long it took; the moment of the verdict if zero
	Project *Project

	Key   string // as the caller gave it; may be empty or anything
	Token string // service token; empty where none was given

	Peer      Origin // of the call itself
	Claimed   Origin // what the caller says of the request behind it; empty fields are not said
	Credits   *int64 // what the caller says the request costs; nil is 1
	Session   string // of the consumer; may be empty
	App       models.ClientApp
	FromProxy bool // the caller is a trusted proxy: what it claims is believed
	DryRun    bool // nothing is counted and nothing is recorded
	NeedToken bool // the caller asks for what only a service token may
}

// Verdict is the outcome of a check.
type Verdict struct {
	Code      requestlog.Code
	Status    int // of the reply
	RequestID requestlog.ID
	At        time.Time      // the moment that checks 1 to 10 went by; zero where the request did not come to them
	Known     bool           // Key is a key of the project; for a blocked address, as far as memory knows
	Key       models.GateKey // the version that was used
	Credits   int64          // charged: 0 for a rejected request

	// Quotas and Limits stand as they do after the check, for requests that came as far as check 9.
	Quotas     [models.QuotaCount]QuotaState
	Limits     [axisCount]LimitState
	LimitCount int
	Retry      time.Time     // when a request would pass that a limit or a quota rejected; zero where that is never
	Limit      time.Duration // window of the limit that rejected it: a second or a minute
}

// NamesKey tells whether the caller may be told whose key it is. A blocked address must not learn which keys there are.
func (v *Verdict) NamesKey() bool { return v.Known && v.Code != requestlog.CodeIPBlocked }

// Check answers one request and records it where its key is known. An error means that there is no verdict, because
// the database could not be asked, or with [recorder.DurabilitySync] that the request could not be recorded; then RequestID alone is set.
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

// check goes through the checks of product.md, section 3, in their order; the first that fails answers. ticket is that of
// the request's row, where it has one.
func (g *Gate) check(ctx context.Context, r *Request, v *Verdict) (ticket recorder.Ticket, err error) {
	trusted, err := g.checkCaller(ctx, r, v)
	if err != nil || v.Code != requestlog.CodeValid {
		v.Status = v.Code.Status()
		return ticket, err
	}
	consumer, origin := r.consumer(r.Token != ""), r.Peer
	if trusted { // what the caller claims counts only where it is believed
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
			m.ticket = max(m.ticket, ticket.Number) // that of a row that was dropped is 0
		}
	case r.Key != "":
		g.unknown.note(r.Project.ID, origin.IP, v.At)
	}
	if m != nil {
		m.mu.Unlock()
	}
	return ticket, nil
}

// checkCaller tells whether what the caller claims is believed. v.Code stays valid unless its service token is no good.
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

// checkKey is checks 1 to 8: whether the consumer's address is blocked, whether there is a key, and what the key itself says.
// It gives the meter that the directory named with the key.
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
	v.At = g.now() // once the look-up is done, which may have waited for the database
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

// record hands the request's row to the recorder.
func (g *Gate) record(r *Request, v *Verdict, origin Origin) recorder.Ticket {
	// What is counted in the database goes by the minute of the row's id. It must not be one before the minute in which the
	// meter counted the request, or it would leave a window too early after a restart.
	if r.IDs != nil && minuteOf(v.RequestID.Time()) < minuteOf(v.At) {
		v.RequestID = r.IDs.Next()
	}
	var took time.Duration
	if !r.Started.IsZero() {
		took = max(0, v.At.Sub(r.Started))
	}
	return g.recorder.Add(requestlog.Row{
		ID: v.RequestID, ProjectID: v.Key.ProjectID, KeyID: v.Key.KeyID, Version: v.Key.Version, Type: string(v.Key.Type), Category: v.Key.Category,
		Method: models.LogText(origin.Method, requestlog.MaxMethod), Path: models.LogText(origin.Path, requestlog.MaxPath), IP: origin.IP,
		Status: v.Status, DurationUs: took.Microseconds(),
		Credits: v.Credits, Code: v.Code, SessionHash: g.pepper.HashSession(r.Session),
	})
}
