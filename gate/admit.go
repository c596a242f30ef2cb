package gate

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// QuotaState is how a quota of a key stands after a check.
type QuotaState struct {
	Limit     int64 // 0: there is no such quota
	Remaining int64
	// Resets is the moment at which the next request would pass: the check's own while something remains. Zero is never.
	Resets time.Time
}

// LimitState is how a limit of the plan stands after a check.
type LimitState struct {
	Policy    string // its name in [Project.LimitPolicies]
	Limit     uint32
	Remaining uint32
	Resets    time.Time // when the oldest request that is counted leaves the window; the check's own moment where there is none
}

// pass is checks 1 to 8. It gives the key's meter, locked, where they let the request pass.
func (g *Gate) pass(ctx context.Context, r *Request, consumer string, v *Verdict) (*meter, error) {
	for {
		named, err := g.checkKey(ctx, r, consumer, v)
		if err != nil {
			return nil, err
		}
		if v.Known && !r.DryRun && g.durability == recorder.DurabilitySync && g.recorder.Refusing() {
			return nil, recorder.ErrNotRecorded // before it uses up anything
		}
		if v.Code != requestlog.CodeValid {
			return nil, nil
		}
		m := g.meters.lockHint(named, v.Key.KeyID)
		if m.loaded || !v.Key.Caps.Any() {
			return m, nil
		}
		m.mu.Unlock()
		// Reading the meter may take seconds: what the key may then is asked anew.
		if m, err = g.meters.lockLoaded(ctx, v.Key.KeyID, g.now); err != nil {
			return nil, err
		}
		m.mu.Unlock()
	}
}

// admit is checks 9 and 10 of product.md, section 3: plan limits and quotas, together. Either the request is counted in all
// of them or, where one of them rejects it, in none. m is the key's meter, locked.
func (g *Gate) admit(r *Request, consumer string, v *Verdict, m *meter) {
	if m.loaded {
		if m.minute > minuteOf(v.At) {
			v.At = g.now() // one that came later was here first: what has left the windows for it is inside those of the earlier moment
		}
		g.meters.advance(m, minuteOf(v.At))
	}
	now := v.At
	// Locks are taken in one order, and no axis has two, so that nobody waits in a circle. Those of the project come last:
	// everybody waits for them.
	var counted [axisCount]*window
	var locked [axisCount]*sharedWindow
	for i, p := range slices.Backward(r.Project.policies) {
		if p.axis == keyMinute {
			m.recent.advance(g.windows.slot(keyMinute, now))
			counted[i] = &m.recent
			continue
		}
		key := windowKey{axis: p.axis, test: v.Key.Type == models.TypeTest, project: r.Project.ID}
		switch p.axis {
		case addressMinute:
			address, known := models.NetworkOf(consumer)
			if !known {
				continue // the caller did not say whom it asks for
			}
			key.id = maphash.Comparable(g.windows.seed, address)
		case sessionMinute:
			if r.Session == "" {
				continue
			}
			key.id = g.windows.hash(r.Session)
		}
		locked[i] = g.windows.lock(key, now)
		counted[i] = &locked[i].window
	}
	v.Code = g.judge(r, m, &counted, v, now)
	counts := v.Code == requestlog.CodeValid && !r.DryRun
	if counts {
		for _, w := range counted {
			if w != nil {
				w.add()
			}
		}
		if m.loaded {
			m.add()
		}
	}
	g.describeLimits(r, &counted, v, now)
	for _, w := range locked {
		if w != nil {
			w.mu.Unlock()
		}
	}
	g.meters.describe(m, &v.Key.Caps, &v.Quotas, now)
}

// judge finds what rejects the request, and when it would pass. Of several limits or quotas it is the one that frees last;
// limits go before quotas, so that a request that is too fast is told so.
func (g *Gate) judge(r *Request, m *meter, counted *[axisCount]*window, v *Verdict, now time.Time) requestlog.Code {
	code := requestlog.CodeValid
	for i, p := range r.Project.policies {
		if w := counted[i]; w != nil && w.sum >= p.limit {
			if frees := g.windows.moment(p.axis, w.frees(p.limit)); code == requestlog.CodeValid || frees.After(v.Retry) {
				code, v.Retry, v.Limit = requestlog.CodeRateLimited, frees, axes[p.axis].length
			}
		}
	}
	if code != requestlog.CodeValid {
		return code
	}
	for q := range models.Quota(models.QuotaCount) {
		limit := v.Key.Caps[q]
		if limit == 0 || m.used(q) < limit {
			continue
		}
		frees := g.meters.frees(m, q, limit)
		if code == requestlog.CodeValid || frees.IsZero() || !v.Retry.IsZero() && frees.After(v.Retry) {
			code, v.Retry = q.Code(), frees
		}
	}
	return code
}

// describeLimits writes down how the limits stand now.
func (g *Gate) describeLimits(r *Request, counted *[axisCount]*window, v *Verdict, now time.Time) {
	v.LimitCount = 0
	for i, p := range r.Project.policies {
		w := counted[i]
		if w == nil {
			continue
		}
		state := LimitState{Policy: axes[p.axis].policy, Limit: p.limit, Resets: now}
		if w.sum < p.limit {
			state.Remaining = p.limit - w.sum
		}
		if w.sum > 0 {
			state.Resets = g.windows.moment(p.axis, w.frees(min(w.sum, p.limit))) // the sum is more where the limit was lowered
		}
		v.Limits[v.LimitCount] = state
		v.LimitCount++
	}
}

// describe writes down how the quotas stand now. The meter is locked, and loaded where there is a quota.
func (m *meters) describe(locked *meter, caps *models.Caps, quotas *[models.QuotaCount]QuotaState, now time.Time) {
	for q, limit := range caps {
		if limit == 0 {
			continue
		}
		state := QuotaState{Limit: limit, Remaining: max(0, limit-locked.used(models.Quota(q))), Resets: now}
		if state.Remaining == 0 {
			state.Resets = m.frees(locked, models.Quota(q), limit)
		}
		quotas[q] = state
	}
}
