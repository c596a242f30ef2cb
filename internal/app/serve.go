package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/handlers"
	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

const (
	// drainTimeout limits how long requests may take to end after a signal, and closeTimeout how long writing the last
	// rows may take after that.
	drainTimeout = 20 * time.Second
	closeTimeout = 10 * time.Second
	// spoolTimeout limits how long the start waits until the rows in the spool are written.
	spoolTimeout = 30 * time.Second
)

// serve runs the service until ctx ends. It calls whenReady, if not nil, when the server answers requests.
func serve(ctx context.Context, c config.Config, log *slog.Logger, out io.Writer, whenReady func()) error {
	// Listen first: if another server has the address, this one must not touch anything, least of all the database.
	listener, err := listen(c.Addr, "CLAVIGER_ADDR")
	if err != nil {
		return err
	}
	defer listener.Close()
	var metricsListener net.Listener
	if c.MetricsAddr != "" {
		if metricsListener, err = listen(c.MetricsAddr, "CLAVIGER_METRICS_ADDR"); err != nil {
			return err
		}
		defer metricsListener.Close()
	}

	unlock, err := lockData(c)
	if err != nil {
		return err
	}
	defer unlock()
	go keepHeadroom(ctx)
	var queries atomic.Uint64
	store, secrets, err := openStore(ctx, c, StoreOptions{Options: models.Options{OnQuery: func() { queries.Add(1) }}})
	if err != nil {
		return err
	}
	defer store.Close()

	propagation := newPropagation()
	g, err := gate.New(store, store.Log(), secrets.Pepper, gate.Options{
		Log: log, Shared: store.Dialect() == "postgres", OnPropagated: propagation.observe,
		Durability: recorder.Durability(c.LogDurability), Spool: c.Data, MaxKeys: c.MaxKeys,
	})
	if err != nil {
		return err
	}
	defer followChanges(store, g)()
	writeSpooledRows(ctx, g, log)
	ids, err := store.Log().NewIDs(ctx)
	if err != nil {
		return err
	}
	if ahead := ids.Ahead(); ahead > time.Minute {
		log.Warn("the newest request in the log is later than the clock. "+
			"Until the clock reaches it, new requests get its time, and quotas count them from that time",
			"ahead", ahead)
	}
	h := handlers.New(handlers.Options{
		Store: store, Gate: g, IDs: ids, Sessions: web.NewSessions(store, secrets.CookieKey, c.Secure()),
		Log: log, Now: time.Now,
		BaseURL: c.BaseURL, TrustedProxies: c.TrustedProxies, Signup: c.Signup, Version: version(), Dev: c.Dev,
		Durations: newDurations(),
	})
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	if c.Dev {
		e.Use(logRequests(log))
	}
	if err := h.Register(e); err != nil {
		return err
	}
	server := &http.Server{
		Handler: e, ConnContext: web.HeaderLinesContext, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	stopTidying := keepTidy(store, log)
	defer stopTidying()
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(web.HeaderLinesListener(listener)) }()
	if metricsListener != nil {
		handler := metricsHandler(g, []prometheus.Collector{h.Durations, propagation}, &queries)
		metrics := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		defer metrics.Close()
		go func() { ended <- metrics.Serve(metricsListener) }()
	}
	fmt.Fprintf(out, "Claviger %s is ready: open %s\n", version(), c.BaseURL)
	if whenReady != nil {
		whenReady()
	}

	var serveErr error
	select {
	case <-ctx.Done():
		log.Info("shutting down")
	case serveErr = <-ended:
	}
	return errors.Join(serveErr, drain(h, server, g))
}

// writeSpooledRows waits until the rows that an earlier process left in the spool are in the database, so that new ids
// start after theirs and the keys' usage includes them. It stops waiting when a write fails, or after spoolTimeout.
func writeSpooledRows(ctx context.Context, g *gate.Gate, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, spoolTimeout)
	defer cancel()
	written := make(chan error, 1)
	go func() { written <- g.Flush(ctx) }()
	for {
		select {
		case err := <-written:
			if err != nil {
				log.Warn("the rows that an earlier process left in the spool are not written yet", "error", err)
			}
			return
		case <-time.After(50 * time.Millisecond):
			if g.Recording().Behind {
				cancel()
			}
		}
	}
}

// followChanges makes the gate receive the changes of other processes on the same database until stop is called.
func followChanges(store *models.Store, g *gate.Gate) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() { store.Listen(ctx, g) })
	return func() {
		cancel()
		listening.Wait()
	}
}

// drain waits until all requests are answered and all rows are written, within the timeouts.
func drain(h *handlers.Handlers, server *http.Server, g *gate.Gate) error {
	h.Drain()
	err := withTimeout(drainTimeout, server.Shutdown)
	if err != nil {
		server.Close()
		err = fmt.Errorf("some requests did not end within %s and were cut off", drainTimeout)
	}
	// Close the gate last, because requests add rows until the server has stopped. It has a timeout of its own, so that
	// a slow client does not cause rows to be lost.
	return errors.Join(err, withTimeout(closeTimeout, g.Close))
}

func withTimeout(timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return f(ctx)
}

func listen(addr, variable string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use. "+
			"Stop the program that listens there, or set %s to another address", addr, variable)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (set by %s): %w", addr, variable, err)
	}
	return listener, nil
}

func logRequests(log *slog.Logger) echo.MiddlewareFunc {
	return middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		LogMethod: true, LogURIPath: true, LogStatus: true, LogLatency: true, HandleError: true,
		LogValuesFunc: func(_ echo.Context, v middleware.RequestLoggerValues) error {
			log.Info("request", "method", v.Method, "path", v.URIPath, "status", v.Status, "latency", v.Latency)
			return nil
		},
	})
}
