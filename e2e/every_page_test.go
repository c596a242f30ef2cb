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

// TestEveryPage looks at each page in each state: with a screen reader's eyes, in both colour schemes, on a screen
// and on a phone; and at what it does behind.
func TestEveryPage(t *testing.T) {
	axe, err := axeSource()
	needs(t, "axe-core (npm ci)", err)
	for _, shown := range newWorld(t, ordinary).pages() {
		t.Run(shown.name, func(t *testing.T) {
			t.Parallel()
			tab := shown.show(t)
			evaluate[any](tab, axe)
			look := func(scheme string, width int64) {
				tab.Prefer(scheme)
				tab.Resize(width)
				tab.picture(shown.name+" "+scheme, width)
				t.Run(fmt.Sprintf("is accessible at %d in %s", width, scheme), func(t *testing.T) {
					for _, v := range evaluate[[]violation](tab, fmt.Sprintf("(%s)(%d)", runAxe, width)) {
						t.Errorf("%s: %s\n%s", v.ID, v.Help, strings.Join(v.Nodes, "\n"))
					}
				})
			}
			look("light", 1440)
			look("dark", 1440)
			look("dark", 390)
			look("light", 390)
			t.Run("asks its own server alone and complains about nothing", func(t *testing.T) {
				tab.events.check(t, shown.app.URL)
			})
		})
	}
}

// TestTheLongestValuesFitOnEveryPage fills the pages with the longest that is taken: none scrolls sideways, and
// nothing lies on something else.
func TestTheLongestValuesFitOnEveryPage(t *testing.T) {
	for _, shown := range newWorld(t, extreme).pages() {
		t.Run(shown.name, func(t *testing.T) {
			t.Parallel()
			tab := shown.show(t)
			for _, width := range []int64{1440, 1920, 768, 390, 360} {
				tab.Resize(width)
				tab.picture("long "+shown.name, width)
				for _, defect := range evaluate[[]string](tab, crowded) {
					t.Errorf("at %d %s", width, defect)
				}
			}
		})
	}
}

// show leads a window to the page.
func (p *shown) show(t *testing.T) *Tab {
	t.Helper()
	tab := usedTab(t, p.app)
	tab.Prefer("light")
	if p.as != "" {
		tab.SignIn(p.as)
	}
	p.open(tab)
	tab.Until("the whole page", `document.readyState === "complete" && document.fonts.status === "loaded"`)
	return tab
}

// axeSource is the script that looks for violations. The content security policy does not hold for what the DevTools
// run.
var axeSource = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile(filepath.Join("..", "node_modules", "axe-core", "axe.min.js"))
	return string(source) + "\n;0", err
})

// violation is a rule that axe found broken, and where.
type violation struct {
	ID, Help string
	Nodes    []string
}

// runAxe looks for violations, of every rule where the page differs from what was looked at before at this width, and
// of the rules about colours where its content and every box are the same.
const runAxe = `(width) => {
	const seen = (window.claviger_seen ??= {}), page = document.documentElement.outerHTML +
		[...document.querySelectorAll("*")].map((e) => {
		const box = e.getBoundingClientRect();
		return [box.x, box.y, box.width, box.height,
			e.checkVisibility({opacityProperty: true, visibilityProperty: true})];
	}).join("\n");
	const options = {resultTypes: ["violations"]};
	if (seen[width] === page) options.runOnly = {type: "rule", values: ["color-contrast", "link-in-text-block"]};
	seen[width] = page;
	return axe.run(options).then((r) => r.violations.map((v) => ({
		id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html + "\n    " + n.failureSummary),
	})));
}`

// crowded tells what makes the page, or a dialog, wider than it is, and which controls lie on one another.
const crowded = `(() => {
	const defects = [], name = (e) => e.cloneNode(false).outerHTML.slice(0, 160);
	const page = document.documentElement;
	const overlay = document.querySelector(":popover-open, details[data-menu][open], .tip-anchor:focus-within");
	for (const box of [page, ...document.querySelectorAll(":popover-open, .menu-list")]) {
		if (!box.checkVisibility() || box.scrollWidth <= box.clientWidth) continue;
		const edge = box === page ? box.clientWidth : box.getBoundingClientRect().right;
		const far = [...box.querySelectorAll("*")].filter((e) =>
			e.checkVisibility() && e.getBoundingClientRect().right > edge + 0.5);
		defects.push("it is " + box.scrollWidth + " wide and has room for " + box.clientWidth + ": " +
			far.slice(0, 3).map(name).join(" "));
	}
	const controls = overlay ? [] :
		[...document.querySelectorAll("a, button, input, select, textarea, summary")].
			filter((e) => e.checkVisibility());
	const boxes = controls.map((e) => e.getBoundingClientRect());
	boxes.forEach((a, i) => {
		for (let j = i + 1; j < boxes.length; j++) {
			const b = boxes[j], one = controls[i], other = controls[j];
			const x = Math.min(a.right, b.right) - Math.max(a.left, b.left),
				y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
			if (x > 1 && y > 1 && !one.contains(other)) defects.push(name(one) + " lies on " + name(other));
		}
	});
	return defects;
})()`

// picture leaves a picture of the whole page where E2E_SCREENSHOTS names a folder. The window is made as high as the
// page for it: what Chromium takes beyond the window may be drawn with styles of another width.
func (tab *Tab) picture(name string, width int64) {
	tab.Helper()
	folder := os.Getenv("E2E_SCREENSHOTS")
	if folder == "" {
		return
	}
	tab.size(width, evaluate[int64](tab, `document.documentElement.scrollHeight`))
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
