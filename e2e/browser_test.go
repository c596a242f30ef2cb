// Package e2e walks through the dashboard in a real browser: what a person does, sees and hears of it. Without Chromium
// the tests are skipped; with REQUIRE_SERVICES=1, as in CI, they fail then. With E2E_SCREENSHOTS=dir, pictures of every
// page are left in that folder.
package e2e

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/testkit"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		// One more than a small machine has processors, as many tests wait for the page to ask for news.
		_ = f.Value.Set("3")
	}
	status := m.Run()
	closeBrowser()
	os.Exit(status)
}

// closeBrowser ends the one browser process of this package, if any was started.
var closeBrowser = func() {}

// startBrowser starts that process; every test has windows of its own in it.
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
		// One process for all pages of a window, and none in reserve. The two others are the library's own.
		chromedp.Flag("process-per-site", true),
		chromedp.Flag("disable-features", "SpareRendererForSitePerProcess,Translate,BlinkGenPropertyTrees"),
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
const patience = time.Minute

// window is one of the browser's, with cookies, storage and a cache of its own.
type window struct {
	ctx    context.Context
	close  context.CancelFunc
	events events
}

// Tab is a window that shows an app to a test.
type Tab struct {
	*testing.T
	*window
	App *testkit.App
}

// newTab opens a window for this test alone. It shows nothing yet, 1440 pixels wide, in New York's time.
func newTab(t *testing.T, app *testkit.App) *Tab {
	t.Helper()
	tab := openTab(t, app)
	// Before the service is closed, which waits for the requests of open pages.
	t.Cleanup(tab.close)
	return tab
}

func openTab(t *testing.T, app *testkit.App) *Tab {
	t.Helper()
	browser, err := startBrowser()
	needs(t, "Chromium", err)
	w := &window{}
	w.ctx, w.close = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(),
		chromedp.WithListener(w.events.listen))
	if err := chromedp.Do(w.ctx); err != nil {
		w.close()
		t.Fatal(err)
	}
	tab := &Tab{T: t, window: w, App: app}
	// Only a focused page takes keys and the clipboard, and only one window of a browser has the focus.
	command(tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	command(tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
	tab.Resize(1440)
	return tab
}

// spare are windows that usedTab may give to the next test.
var spare struct {
	sync.Mutex
	windows []*window
}

// usedTab is newTab for tests that look at one page. Its window may have shown pages to other tests: their cookies and
// storage are gone, but not what makes it fast, which is a running process, its compiled scripts and its cache. What is
// measured while a page loads needs newTab.
func usedTab(t *testing.T, app *testkit.App) *Tab {
	t.Helper()
	var tab *Tab
	spare.Lock()
	if last := len(spare.windows) - 1; last >= 0 {
		tab = &Tab{T: t, window: spare.windows[last], App: app}
		spare.windows = spare.windows[:last]
	}
	spare.Unlock()
	if tab == nil {
		tab = openTab(t, app)
	} else {
		tab.Resize(1440)
	}
	t.Cleanup(tab.leave)
	return tab
}

// leave empties the window for the next test. After a failure it is closed, whatever may be wrong with it.
func (tab *Tab) leave() {
	if tab.Failed() {
		tab.close()
		return
	}
	_, err := run(tab, chromedp.Navigate("about:blank"))
	if err != nil {
		tab.close()
		tab.Errorf("leaving the page: %v", err)
		return
	}
	command(tab, network.ClearBrowserCookies, cdp.Empty{})
	command(tab, storage.ClearDataForOrigin, storage.ClearDataForOriginParams{Origin: tab.App.URL, StorageTypes: "all"})
	tab.events.forget()
	spare.Lock()
	defer spare.Unlock()
	spare.windows = append(spare.windows, tab.window)
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
