package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/internal/testkit"
)

func TestTheAPIPageShowsEveryCallAndObjectOfTheDocument(t *testing.T) {
	app := testkit.NewApp(t, t.TempDir()+"/claviger.db")
	_, owner := app.SignUp("ada@example.com")
	var d struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(api.Document, &d); err != nil {
		t.Fatal(err)
	}
	for visitor, browser := range map[string]*testkit.Browser{"a stranger": app.Browser(), "a member": owner} {
		page := browser.Get("/docs/api")
		if page.Status != 200 {
			t.Fatalf("%s gets %d", visitor, page.Status)
		}
		calls := 0
		for path, operations := range d.Paths {
			for method := range operations {
				calls++
				if !strings.Contains(page.Text(), strings.ToUpper(method)+" "+path) {
					t.Errorf("%s does not see %s %s", visitor, method, path)
				}
			}
		}
		if articles := page.Find("article:has(.copy-code)").Length(); articles != calls {
			t.Errorf("%d calls are shown, the document has %d", articles, calls)
		}
		for _, link := range page.Find(`main a[href^="#"]`).EachIter() {
			if href, _ := link.Attr("href"); page.Find(href).Length() != 1 {
				t.Errorf("the link %s leads nowhere", href)
			}
		}
		if !strings.Contains(page.Find("#object-Key").Text(), "quotas") ||
			page.Find("#object-IssuedKey").Length() != 1 {
			t.Error("the objects are not there")
		}
	}
}
