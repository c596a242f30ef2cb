// Package e2e walks through the dashboard in a real browser: what a person does, sees and hears of it. Without Chromium
// the tests are skipped; with REQUIRE_SERVICES=1, as in CI, they fail then. With E2E_SCREENSHOTS=dir, pictures of every
// page are left in that folder.
package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/testkit"
)

func TestMain(m *testing.M) {
	status := m.Run()
	closeBrowser()
	os.Exit(status)
}

// closeBrowser ends the one browser process of this package, if any was started.
var closeBrowser = func() {}

// startBrowser starts that process; every test gets a window of its own in it.
var startBrowser = sync.OnceValues(func() (context.Context, error) {
	path, err := findBrowser()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium's own does not work for root, as in a container
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-search-engine-choice-screen", true),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ := chromedp.NewContext(allocator)
	closeBrowser = func() {
		_ = chromedp.Cancel(browser) // removes its profile as well
		endAllocator()
	}
	return browser, chromedp.Do(browser)
})

func findBrowser() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return exec.LookPath(path)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no chromium, chromium-browser or google-chrome in PATH; CHROMIUM may name another one")
}

// needs skips the test where something that it works with is not there, or fails it where that is required.
func needs(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_SERVICES") == "1":
		t.Fatalf("%s is required: %v", what, err)
	default:
		t.Skipf("%s is not there, so this was not tested: %v", what, err)
	}
}

// sqliteURL is an empty database.
func sqliteURL(t *testing.T) string { return filepath.Join(t.TempDir(), "claviger.db") }

// patience bounds every wait. It is long because other tests may take the processor meanwhile; nothing waits for it
// unless it fails.
const patience = 15 * time.Second

// Tab is a window of a browser that has no cookies and nothing else of other tests.
type Tab struct {
	*testing.T
	App    *testkit.App
	ctx    context.Context
	events events
}

// newTab opens a window that shows app, 1440 pixels wide, in New York's time.
func newTab(t *testing.T, app *testkit.App) *Tab {
	t.Helper()
	browser, err := startBrowser()
	needs(t, "Chromium", err)
	tab := &Tab{T: t, App: app}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.events.listen))
	tab.ctx = ctx
	// Before the service is closed, which waits for the requests of open pages.
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	// Only a focused page takes keys and the clipboard, and only one window of a browser has the focus.
	command(tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	command(tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
	tab.Resize(1440)
	return tab
}

// run lets the browser act, within the bounds of patience.
func run[T any](tab *Tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// command sends a command of the DevTools protocol.
func command[P, R any](tab *Tab, c cdp.Command[P, R], params P) R {
	tab.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, c, params)
	if err != nil {
		tab.Fatalf("%s: %v", c.Method, err)
	}
	return result
}

// evaluate asks the page for the value of a JavaScript expression.
func evaluate[T any](tab *Tab, expression string) T {
	tab.Helper()
	value, err := run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.Fatalf("%.200s: %v", expression, err)
	}
	return value
}
