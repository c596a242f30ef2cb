package e2e

import (
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// events are what a tab did behind the page: its requests and what it complained about.
type events struct {
	mu         sync.Mutex
	requests   []string // addresses
	complaints []string
}

// listen is called for each event, in order, by the goroutine that reads them; it must not wait.
func (e *events) listen(event any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		e.requests = append(e.requests, event.Request.URL)
	case *network.EventResponseReceived:
		// A page may well be an error, such as a form that was refused; what it is made of may not.
		if event.Response.Status >= 400 && event.Type != network.ResourceTypeDocument {
			e.complain(event.Response.StatusText, event.Response.URL)
		}
	case *network.EventLoadingFailed:
		if !event.Canceled {
			e.complain("a request failed", event.ErrorText)
		}
	case *runtime.EventExceptionThrown:
		details := event.ExceptionDetails
		e.complain("exception", details.Text, describe(details.Exception))
	case *runtime.EventConsoleAPICalled:
		if event.Type == runtime.ConsoleAPICalledTypeError || event.Type == runtime.ConsoleAPICalledTypeWarning {
			e.complain("console", describe(event.Args...))
		}
	case *log.EventEntryAdded:
		// The browser's own words: violated policies, deprecations. Those about the network are told better above.
		if event.Entry.Source != log.EntrySourceNetwork && event.Entry.Level != log.EntryLevelVerbose {
			e.complain(string(event.Entry.Source), event.Entry.Text)
		}
	}
}

func describe(values ...*runtime.RemoteObject) string {
	var words []string
	for _, value := range values {
		if value != nil {
			words = append(words, string(value.Value)+value.Description)
		}
	}
	return strings.Join(words, " ")
}

func (e *events) complain(words ...string) {
	e.complaints = append(e.complaints, strings.Join(words, ": "))
}

// forget begins anew, for another page.
func (e *events) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.complaints = nil, nil
}

// check fails where the page asked another server for anything, or the browser found something to complain about.
func (e *events) check(t *testing.T, origin string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.requests) == 0 {
		t.Error("no request was seen, so nothing was checked")
	}
	for _, address := range e.requests {
		if !strings.HasPrefix(address, origin+"/") && !strings.HasPrefix(address, "data:") {
			t.Errorf("a request left for %s", address)
		}
	}
	for _, complaint := range e.complaints {
		t.Errorf("the browser complains: %s", complaint)
	}
}
