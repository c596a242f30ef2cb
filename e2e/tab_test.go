package e2e

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Open goes to a path of the app.
func (tab *Tab) Open(path string) {
	tab.Helper()
	if _, err := run(tab, chromedp.Navigate(tab.App.URL+path)); err != nil {
		tab.fail("opening %s: %v", path, err)
	}
}

// Reload loads the page again, as F5 does.
func (tab *Tab) Reload() {
	tab.Helper()
	if _, err := run(tab, chromedp.Reload()); err != nil {
		tab.fail("reloading: %v", err)
	}
}

// pressable finds the visible link or button that says text, for people or for screen readers.
func pressable(text string) chromedp.JSPath {
	return chromedp.JSPath(fmt.Sprintf(`[...document.querySelectorAll("a, button, summary")].find((e) =>
		[e.innerText.trim(), e.getAttribute("aria-label")].includes(%s) &&
		e.checkVisibility({visibilityProperty: true}))`, strconv.Quote(text)))
}

// Press clicks the link or button that says text, with the mouse.
func (tab *Tab) Press(text string) {
	tab.Helper()
	if _, err := run(tab, chromedp.Click(pressable(text), chromedp.NodeVisible)); err != nil {
		tab.fail("pressing %q: %v", text, err)
	}
}

// click clicks in the middle of what css selects.
func (tab *Tab) click(css string) {
	tab.Helper()
	if _, err := run(tab, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible)); err != nil {
		tab.fail("clicking %s: %v", css, err)
	}
}

// keys presses keys of the keyboard, one after the other.
func (tab *Tab) keys(keys string) {
	tab.Helper()
	if _, err := run(tab, chromedp.KeyEvent(keys)); err != nil {
		tab.fail("pressing keys: %v", err)
	}
}

// labelled finds the field with a label.
func labelled(label string) chromedp.JSPath {
	return chromedp.JSPath(fmt.Sprintf(`[...document.querySelectorAll("label")].find((l) =>
		l.innerText.replace("(optional)", "").trim().split("\n")[0] === %s &&
		l.checkVisibility())?.control`, strconv.Quote(label)))
}

// Fill types text into the field with that label, in place of what it holds. Of a list it chooses the entry; a moment
// is given as the field's value.
func (tab *Tab) Fill(label, text string) {
	tab.Helper()
	field := labelled(label)
	kind, err := run(tab, chromedp.JavascriptAttribute[string](field, "type", chromedp.NodeVisible))
	switch {
	case err != nil:
	case kind == "datetime-local": // its parts and their order are those of the browser's language
		_, err = run(tab, chromedp.SetValue(field, text))
	case kind == "select-one":
		_, err = run(tab, chromedp.SendKeys(field, text))
	default:
		evaluate[any](tab, string(field)+".select()")
		_, err = run(tab, chromedp.SendKeys(field, text))
	}
	if err != nil {
		tab.fail("filling %q: %v", label, err)
	}
}

// Choose clicks the box or the button of a choice with that label.
func (tab *Tab) Choose(label string) {
	tab.Helper()
	if _, err := run(tab, chromedp.Click(labelled(label))); err != nil {
		tab.fail("choosing %q: %v", label, err)
	}
}

// Value is what the field with that label holds.
func (tab *Tab) Value(label string) string {
	tab.Helper()
	return evaluate[string](tab, string(labelled(label))+".value")
}

// Text is what is seen of the first element that css selects, and empty where there is none.
func (tab *Tab) Text(css string) string {
	tab.Helper()
	return strings.TrimSpace(evaluate[string](tab, `document.querySelector(`+strconv.Quote(css)+`)?.innerText ?? ""`))
}

// Until waits until the JavaScript condition holds.
func (tab *Tab) Until(what, condition string) {
	tab.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var holds bool
		// While one page gives way to the next there is nothing to ask; that is no failure.
		if holds, err = run(tab, chromedp.Evaluate[bool](`!!(`+condition+`)`)); err == nil && holds {
			return
		}
	}
	tab.fail("%s did not happen (%v)", what, err)
}

// See waits until the page shows text.
func (tab *Tab) See(text string) {
	tab.Helper()
	tab.Until("showing "+strconv.Quote(text), `document.body.innerText.includes(`+strconv.Quote(text)+`)`)
}

// SeeNot fails where the page shows text.
func (tab *Tab) SeeNot(text string) {
	tab.Helper()
	if strings.Contains(tab.Text("body"), text) {
		tab.fail("the page shows %q", text)
	}
}

// At waits until a page at that path, with its query, is there in full.
func (tab *Tab) At(path string) {
	tab.Helper()
	tab.Until("arriving at "+path,
		`location.pathname + location.search === `+strconv.Quote(path)+` && document.readyState === "complete"`)
}

// Path is where the tab is, with its query.
func (tab *Tab) Path() string {
	tab.Helper()
	return evaluate[string](tab, "location.pathname + location.search")
}

// Mark leaves a mark in the page that a reload would wipe away; see Marked.
func (tab *Tab) Mark() { evaluate[bool](tab, "window.claviger_mark = true") }

// Marked fails where the page was loaded anew since Mark.
func (tab *Tab) Marked() {
	tab.Helper()
	if !evaluate[bool](tab, "!!window.claviger_mark") {
		tab.fail("the page was loaded anew")
	}
}

// SignIn takes over a session that a test browser without a window has.
func (tab *Tab) SignIn(session string) {
	tab.Helper()
	command(tab, network.SetCookie, network.SetCookieParams{Name: sessionCookie, Value: session, URL: tab.App.URL})
}

const sessionCookie = "claviger_session"

// Resize makes the window that wide, and as high as such a window usually is.
func (tab *Tab) Resize(width int64) {
	tab.Helper()
	if width < phone {
		tab.size(width, 844)
	} else {
		tab.size(width, 900)
	}
}

const phone = 600 // windows narrower than that are a phone's

func (tab *Tab) size(width, height int64) {
	tab.Helper()
	window := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}
	if width < phone { // there, scroll bars take no room
		window.ScrollbarType = emulation.SetDeviceMetricsOverrideScrollbarTypeOverlay
	}
	command(tab, emulation.SetDeviceMetricsOverride, window)
	tab.Until("the new size", fmt.Sprintf("innerWidth === %d && innerHeight === %d", width, height))
	// Styles that go by the window follow with the next frame.
	evaluate[any](tab, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))`)
}

// Prefer sets the colour scheme that the person prefers. Motion is off, so that nothing is looked at half-way.
func (tab *Tab) Prefer(scheme string) {
	tab.Helper()
	command(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	tab.Until("the colour scheme", `matchMedia("(prefers-color-scheme: `+scheme+`)").matches`)
}

// fail ends the test and shows what the person saw.
func (tab *Tab) fail(format string, arguments ...any) {
	tab.Helper()
	where, _ := run(tab, chromedp.Location())
	body, _ := run(tab, chromedp.Evaluate[string](`document.body.innerText`))
	if u, err := url.Parse(where); err == nil {
		where = u.RequestURI()
	}
	tab.Fatalf("%s\nat %s, which shows:\n%s", fmt.Sprintf(format, arguments...), where, body)
}
