package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Nothing jumps when a page has loaded, nor when it asks for news and there are none.
func TestNothingMovesWhenAPageLoads(t *testing.T) {
	v := newWorld(t, ordinary)
	for name, path := range map[string]string{
		"overview": v.project, "overview waiting": v.waiting, "keys": v.project + "/keys", "logs": v.project + "/logs",
		"key": v.used, "new key": v.project + "/keys/new", "account": "/account",
	} {
		for _, width := range []int64{1440, 390} {
			t.Run(fmt.Sprintf("%s at %d", name, width), func(t *testing.T) {
				t.Parallel()
				tab := newTab(t, v.app)
				tab.SignIn(v.owner)
				tab.Resize(width)
				tab.Open(path)
				tab.Until("the whole page", `document.readyState === "complete" && document.fonts.status === "loaded"`)
				if evaluate[bool](tab, `!!document.querySelector("[hx-get]")`) {
					tab.Until("a question for news",
						`performance.getEntriesByType("resource").some((e) => e.name.includes("seen="))`)
				}
				moved := evaluate[movement](tab, shifts)
				// The words of a time may change while the page loads, as at the turn of a minute.
				if moved.Total >= 0.01 {
					t.Errorf("things moved by %.4f: %s", moved.Total, strings.Join(moved.What, "\n"))
				}
			})
		}
	}
}

// movement is the layout shift of a page since it began, as browsers measure it, and what moved.
type movement struct {
	Total float64
	What  []string
}

// shifts is told of the past as well, but only once the page is drawn.
const shifts = `new Promise((done) => {
	const moved = {Total: 0, What: []};
	new PerformanceObserver((list) => {
		for (const shift of list.getEntries()) {
			moved.Total += shift.value;
			moved.What.push(...shift.sources.map((s) => s.node?.parentElement?.outerHTML.slice(0, 200) ?? ""));
		}
	}).observe({type: "layout-shift", buffered: true});
	requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => done(moved)), 0));
})`
