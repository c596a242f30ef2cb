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

// Rates bounds how often each of many may ask: so many requests at once, which come back evenly within a minute. Its
// memory is bounded: the ones heard of longest ago are forgotten first.
type RateLimiter struct {
	now       func() time.Time
	perMinute int
	seen      *lru.Cache[string, *rate.Limiter]
}

const ratesSize = 10_000

// NewRates makes a limit of so many requests in a minute for each.
func NewRateLimiter(now func() time.Time, perMinute int) *RateLimiter {
	seen, err := lru.New[string, *rate.Limiter](ratesSize)
	if err != nil {
		panic(err) // the size is positive
	}
	return &RateLimiter{now: now, perMinute: perMinute, seen: seen}
}

// Take counts a request of who and says in the headers of its answer what is left. Error: [requestlog.CodeRateLimited].
func (r *RateLimiter) Take(header http.Header, who string) error {
	limiter := rate.NewLimiter(rate.Limit(float64(r.perMinute)/60), r.perMinute)
	if known, found, _ := r.seen.PeekOrAdd(who, limiter); found {
		limiter = known
		r.seen.Get(who) // heard of just now
	}
	now := r.now()
	allowed := limiter.AllowN(now, 1)
	left := max(0, limiter.TokensAt(now))
	seconds := func(requests float64) int { return int(math.Ceil(requests / float64(limiter.Limit()))) }
	// As the IETF draft has them: t is when all of it is back.
	header.Set("RateLimit-Policy", fmt.Sprintf(`"api";q=%d;w=60`, r.perMinute))
	header.Set("RateLimit", fmt.Sprintf(`"api";r=%d;t=%d`, int(left), seconds(float64(r.perMinute)-left)))
	if allowed {
		return nil
	}
	return &models.Error{Code: requestlog.CodeRateLimited, Retry: time.Duration(seconds(1-left)) * time.Second,
		Message: fmt.Sprintf("More than %d requests in a minute. Wait as long as Retry-After says.", r.perMinute)}
}
