package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// TestEveryPage looks at each page in each state: with a screen reader's eyes, in both colour schemes, on a screen and on
// a phone; and at what it does behind.
func TestEveryPage(t *testing.T) {
	axe, err := axeSource()
	needs(t, "axe-core (npm ci)", err)
	for _, shown := range newWorld(t, ordinary).pages() {
		t.Run(shown.name, func(t *testing.T) {
			t.Parallel()
			tab := shown.show(t)
			evaluate[any](tab, axe)
			for _, scheme := range []string{"light", "dark"} {
				tab.Prefer(scheme)
				for _, width := range []int64{1440, 390} {
					tab.Resize(width)
					tab.picture(shown.name+" "+scheme, width)
					t.Run(fmt.Sprintf("is accessible at %d in %s", width, scheme), func(t *testing.T) {
						for _, v := range evaluate[[]violation](tab, runAxe) {
							t.Errorf("%s: %s\n%s", v.ID, v.Help, strings.Join(v.Nodes, "\n"))
						}
					})
				}
			}
			t.Run("asks its own server alone and complains about nothing", func(t *testing.T) {
				tab.events.check(t, shown.app.URL)
			})
		})
	}
}

// TestNoPageScrollsSideways fills every page with the longest that is taken.
func TestNoPageScrollsSideways(t *testing.T) {
	for _, shown := range newWorld(t, extreme).pages() {
		t.Run(shown.name, func(t *testing.T) {
			t.Parallel()
			tab := shown.show(t)
			for _, width := range []int64{360, 390, 768, 1440, 1920} {
				tab.Resize(width)
				tab.picture("long "+shown.name, width)
				if wide := evaluate[string](tab, sticksOut); wide != "" {
					t.Errorf("at %d the page is wider than its window:\n%s", width, wide)
				}
			}
		})
	}
}

// show leads a new window to the page.
func (p *shown) show(t *testing.T) *Tab {
	t.Helper()
	tab := newTab(t, p.app)
	tab.Prefer("light")
	if p.as != "" {
		tab.SignIn(p.as)
	}
	p.open(tab)
	tab.Until("the whole page", `document.readyState === "complete" && document.fonts.status === "loaded"`)
	return tab
}

// axeSource is the script that looks for violations. The content security policy does not hold for what the DevTools run.
var axeSource = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile(filepath.Join("..", "node_modules", "axe-core", "axe.min.js"))
	return string(source) + "\n;0", err
})

// violation is a rule that axe found broken, and where.
type violation struct {
	ID, Help string
	Nodes    []string
}

const runAxe = `axe.run({resultTypes: ["violations"]}).then((r) => r.violations.map((v) => ({
	id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html + "\n    " + n.failureSummary),
})))`

// sticksOut tells which elements make the page wider than its window; empty where none does.
const sticksOut = `(() => {
	const room = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth <= room) return "";
	return document.documentElement.scrollWidth + " pixels: " + [...document.querySelectorAll("body *")]
		.filter((e) => e.getBoundingClientRect().right > room + 0.5 && e.checkVisibility())
		.map((e) => e.cloneNode(false).outerHTML.slice(0, 200)).join("\n");
})()`

// picture leaves a picture of the whole page where E2E_SCREENSHOTS names a folder. The window is made as high as the page
// for it: what Chromium takes beyond the window may be drawn with styles of another width.
func (tab *Tab) picture(name string, width int64) {
	tab.Helper()
	folder := os.Getenv("E2E_SCREENSHOTS")
	if folder == "" {
		return
	}
	tab.window(width, evaluate[int64](tab, `document.documentElement.scrollHeight`))
	picture := command(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{}).Data
	tab.Resize(width)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		tab.Fatal(err)
	}
	file := filepath.Join(folder, fmt.Sprintf("%s-%d.png", strings.ReplaceAll(name, " ", "-"), width))
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		tab.Fatal(err)
	}
}
