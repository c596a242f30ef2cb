package testkit

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/handlers"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// App is the whole service on a local port.
type App struct {
	T           testing.TB
	URL         string
	DatabaseURL string
	Clock       *Clock
	Store       *models.Store
	Gate        *gate.Gate
	Handlers    *handlers.Handlers
	Queries     atomic.Int64 // statements sent to the database so far
	Server      *httptest.Server
	stopped     bool
}

// Option changes what an [App] is made with.
type Option func(*handlers.Options)

// TrustLoopback makes every caller of the test a trusted proxy.
func TrustLoopback(o *handlers.Options) {
	o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// OpenSignup lets everybody make an account.
func OpenSignup(o *handlers.Options) { o.Signup = models.SignupOpen }

// Dev turns the development mode on.
func Dev(o *handlers.Options) { o.Dev = true }

// NewApp starts the service on the database at url.
func NewApp(t testing.TB, url string, options ...Option) *App {
	t.Helper()
	app := &App{T: t, DatabaseURL: url, Clock: NewClock()}
	app.Store = Store(t, url, app.Clock, func() { app.Queries.Add(1) })
	ids, err := app.Store.Log().NewIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	if app.Gate, err = gate.New(app.Store, app.Store.Log(), Pepper(t),
		gate.Options{Now: app.Clock.Now, Log: log}); err != nil {
		t.Fatal(err)
	}

	server := httptest.NewUnstartedServer(nil)
	app.URL = "http://" + server.Listener.Addr().String()
	o := handlers.Options{
		Store: app.Store, Gate: app.Gate, IDs: ids,
		Sessions: web.NewSessions(app.Store, []byte(strings.Repeat("k", 32)), false),
		Log:      log, Now: app.Clock.Now, BaseURL: app.URL, Version: "test",
		Durations: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "test"}),
	}
	for _, option := range options {
		option(&o)
	}
	app.Handlers = handlers.New(o)
	e := echo.New()
	if err := app.Handlers.Register(e); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler, server.Config.ConnContext = e, web.HeaderLinesContext
	server.Listener = web.HeaderLinesListener(server.Listener)
	app.Server = server
	server.Start()
	t.Cleanup(app.Stop)
	return app
}

// Stop ends the service as a signal does: what waits is written. It is called at the end of the test where the test
// did not.
func (a *App) Stop() {
	if a.stopped {
		return
	}
	a.stopped = true
	a.Server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	if err := a.Gate.Close(ctx); err != nil {
		a.T.Error(err)
	}
	a.Store.Close()
}

// testLog shows the service's own log in the output of a failed test.
type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// writeTime is far more than writing the rows of a test takes; only rows that cannot be written reach it.
const writeTime = 20 * time.Second

// Flush waits until every answered request is in the log.
func (a *App) Flush() {
	a.T.Helper()
	ctx, cancel := context.WithTimeout(a.T.Context(), writeTime)
	defer cancel()
	if err := a.Gate.Flush(ctx); err != nil {
		a.T.Fatalf("the request log was not written: %v", err)
	}
}

// Password is the one of every account that [App.SignUp] makes.
const Password = "correct horse battery"

// SignUp makes an account directly in the database and signs a browser in to it.
func (a *App) SignUp(email string) (*models.User, *Browser) {
	a.T.Helper()
	user, err := a.Store.SignUp(a.T.Context(), models.SignupOpen, email, Password, "192.0.2.1")
	if err != nil {
		a.T.Fatal(err)
	}
	b := a.Browser()
	if page := b.Post("/signin", url.Values{"email": {email}, "password": {Password}}); page.Status != http.StatusOK {
		a.T.Fatalf("sign-in gave %d: %s", page.Status, page.Text())
	}
	return user, b
}

// Project makes a project of the user, and gives the default key's secret with it.
func (a *App) Project(user *models.User, slug string) (*models.Project, *models.Key, string) {
	a.T.Helper()
	project, key, secret, err := a.Store.CreateProject(a.T.Context(), user.Actor("192.0.2.1"),
		models.ProjectInput{Name: slug, Slug: slug})
	if err != nil {
		a.T.Fatal(err)
	}
	return project, key, secret.Plain()
}

// Actor is a member as tests name one.
func Actor(userID int64) models.Actor {
	return models.Actor{Kind: models.ActorMember, ID: userID, Name: "tester@example.com", IP: "192.0.2.1"}
}

// Key makes a key in the project.
func (a *App) Key(project *models.Project, in models.KeyInput) (*models.Key, string) {
	a.T.Helper()
	if in.Type == "" {
		in.Type = models.TypeProduction
	}
	if in.Category == "" {
		in.Category = "production"
	}
	key, secret, err := a.Store.CreateKey(a.T.Context(), project.ID, Actor(*project.CreatedBy), in)
	if err != nil {
		a.T.Fatal(err)
	}
	return key, secret.Plain()
}

// KeyPath is the address of a key's page.
func KeyPath(project *models.Project, key *models.Key) string {
	return "/projects/" + project.Slug + "/keys/" + strconv.FormatInt(key.ID, 10)
}
