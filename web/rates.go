package web

import (
	"fmt"
	"math"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// RateLimiter is a token bucket per caller: perMinute requests at once, which refill evenly within a minute. Its memory
// is bounded: the least recently seen callers are evicted.
type RateLimiter struct {
	now       func() time.Time
	perMinute int
	seen      *lru.Cache[string, *rate.Limiter]
}

const maxCallers = 10_000

// NewRateLimiter returns a limiter of perMinute requests for each caller.
func NewRateLimiter(now func() time.Time, perMinute int) *RateLimiter {
	seen, err := lru.New[string, *rate.Limiter](maxCallers)
	if err != nil {
		panic(err) // the size is positive
	}
	return &RateLimiter{now: now, perMinute: perMinute, seen: seen}
}

// Take counts a request of the caller and sets the rate limit headers of its reply. Error:
// [requestlog.CodeRateLimited].
func (r *RateLimiter) Take(header http.Header, caller string) error {
	limiter := rate.NewLimiter(rate.Limit(float64(r.perMinute)/60), r.perMinute)
	if known, found, _ := r.seen.PeekOrAdd(caller, limiter); found {
		limiter = known
		r.seen.Get(caller) // marks it as recently seen
	}
	now := r.now()
	allowed := limiter.AllowN(now, 1)
	left := max(0, limiter.TokensAt(now))
	seconds := func(requests float64) int { return int(math.Ceil(requests / float64(limiter.Limit()))) }
	// As in the IETF draft: t is the number of seconds until the bucket is full again.
	header.Set("RateLimit-Policy", fmt.Sprintf(`"api";q=%d;w=60`, r.perMinute))
	header.Set("RateLimit", fmt.Sprintf(`"api";r=%d;t=%d`, int(left), seconds(float64(r.perMinute)-left)))
	if allowed {
		return nil
	}
	return &models.Error{Code: requestlog.CodeRateLimited, Retry: time.Duration(seconds(1-left)) * time.Second,
		Message: fmt.Sprintf("More than %d requests in a minute. Wait for the seconds in Retry-After.", r.perMinute)}
}
