// Package api is the service for programs: validate, the management of keys and labels, the log, and the document that
// describes it all. routes.go lists every route; the other files hold one resource each.
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

// Options is what the API works with.
type Options struct {
	Store          *models.Store
	Gate           *gate.Gate
	IDs            *requestlog.IDs
	Log            *slog.Logger
	Now            func() time.Time
	TrustedProxies []netip.Prefix
	Durations      prometheus.Histogram // of validate, in seconds
}

// API answers requests of programs.
type API struct {
	Options
	rates *web.RateLimiter
}

// perMinute is how many requests one service token, or one key that rotates itself, has in a minute.
const perMinute = 600

// New makes the API.
func New(o Options) *API { return &API{Options: o, rates: web.NewRateLimiter(o.Now, perMinute)} }
