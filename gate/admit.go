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

// QuotaState is the state of one of a key's quotas after a check.
type QuotaState struct {
	Limit     int64 // requests; 0 means that the key has no such quota
	Remaining int64 // requests
	// Resets is when the next request would pass: the time of the check if some remain, zero if it never will.
	Resets time.Time
}

// LimitState is the state of one of the plan's limits after a check.
type LimitState struct {
	Policy    string // its name in [Project.LimitPolicies]
	Limit     uint32 // requests
	Remaining uint32 // requests
	// Resets is when the oldest counted request leaves the window, or the time of the check if none is counted.
	Resets time.Time
}

// pass runs checks 1 to 8 of product.md, section 3. If all pass, it returns the key's meter, locked. If one fails,
// v.Code says which, and the meter is nil.
func (g *Gate) pass(ctx context.Context, r *Request, consumer string, v *Verdict) (*meter, error) {
	for {
		hint, err := g.checkKey(ctx, r, consumer, v)
		if err != nil {
			return nil, err
		}
		if v.Known && !r.DryRun && g.durability == recorder.DurabilitySync && g.recorder.Refusing() {
			return nil, recorder.ErrNotRecorded // before it counts against any limit or quota
		}
		if v.Code != requestlog.CodeValid {
			return nil, nil
		}
		m := g.meters.lockHint(hint, v.Key.KeyID)
		if m.loaded || !v.Key.Caps.Any() {
			return m, nil
		}
		m.mu.Unlock()
		// Loading the meter may take seconds, in which the key may change: the checks run again.
		if m, err = g.meters.lockLoaded(ctx, v.Key.KeyID, g.now); err != nil {
			return nil, err
		}
		m.mu.Unlock()
	}
}

// admit runs checks 9 and 10 of product.md, section 3: plan limits and quotas, together. The request is counted in
// all of them, or in none if one of them rejects it. m is the key's meter, locked.
func (g *Gate) admit(r *Request, consumer string, v *Verdict, m *meter) {
	if m.loaded {
		if m.minute > minuteOf(v.At) {
			// A request of a later minute has already advanced the meter. What has left its windows would still be
			// inside those of this request's time, so this one is judged as of now.
			v.At = g.now()
		}
		g.meters.advance(m, minuteOf(v.At))
	}
	now := v.At
	// Locks are taken in one order, at most one for each axis, so there is no deadlock. The project's are taken last,
	// because all of its requests share them.
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
				continue // the consumer's address is not known
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

// judge returns the code of the limit or quota that rejects the request, and sets v.Retry to when it would pass. Of
// several limits, or of several quotas, it is the one that becomes free last. Limits are named before quotas.
func (g *Gate) judge(r *Request, m *meter, counted *[axisCount]*window, v *Verdict, now time.Time) requestlog.Code {
	code := requestlog.CodeValid
	for i, p := range r.Project.policies {
		if w := counted[i]; w != nil && w.sum >= p.limit {
			frees := g.windows.moment(p.axis, w.frees(p.limit))
			if code == requestlog.CodeValid || frees.After(v.Retry) {
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

// describeLimits sets v.Limits to the state of the limits at now. The windows are locked.
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
			// The sum exceeds the limit if the limit was lowered.
			state.Resets = g.windows.moment(p.axis, w.frees(min(w.sum, p.limit)))
		}
		v.Limits[v.LimitCount] = state
		v.LimitCount++
	}
}

// describe sets quotas to the state of the quotas at now. The meter is locked, and it is loaded if there is a quota.
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
