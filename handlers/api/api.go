// Package api is the HTTP API: validate, the management of keys and categories, the request log, and the OpenAPI
// document. routes.go lists every route; each other file has one resource.
package api

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// Options are the dependencies and settings of the API.
type Options struct {
	Store          *models.Store
	Gate           *gate.Gate
	IDs            *requestlog.IDs
	Log            *slog.Logger
	Now            func() time.Time
	TrustedProxies []netip.Prefix
	Durations      prometheus.Histogram // of validate, in seconds
}

// API has the handlers of the API.
type API struct {
	Options
	rates *web.RateLimiter
}

// perMinute is the rate limit of a service token, and of a key that rotates itself.
const perMinute = 600

// New returns the API.
func New(o Options) *API { return &API{Options: o, rates: web.NewRateLimiter(o.Now, perMinute)} }
