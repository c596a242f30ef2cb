package handlers_test

import (
	"net/url"
	"reflect"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/claviger/claviger/internal/testkit"
)

// valuesOf returns what a browser sends of a form that nobody touches.
func valuesOf(form *goquery.Selection) url.Values {
	values := url.Values{}
	form.Find("input[name], select[name], textarea[name]").Each(func(_ int, s *goquery.Selection) {
		name, _ := s.Attr("name")
		value, _ := s.Attr("value")
		kind, _ := s.Attr("type")
		_, checked := s.Attr("checked")
		switch {
		case goquery.NodeName(s) == "textarea":
			value = s.Text()
		case goquery.NodeName(s) == "select":
			value, _ = s.Find("option[selected]").Attr("value")
		case (kind == "checkbox" || kind == "radio") && !checked:
			return
		}
		values.Add(name, value)
	})
	return values
}

// A field that the form forgets would be cleared by the next person who saves.
func TestSavingTheFormOfAKeyUntouchedChangesNothing(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		for _, in := range testkit.FullKeyInputs(t, app.Clock) {
			key, _ := app.Key(project, in)
			form := b.Get(testkit.KeyPath(project, key) + "/edit").Find("form:has([name=description])")
			action, _ := form.Attr("action")
			if saved := b.Post(action, valuesOf(form)); saved.Status != 200 {
				t.Fatalf("%d: %s", saved.Status, saved.Text())
			}
			if got := testkit.KeyInput(t, app.Store, key); !reflect.DeepEqual(got, in) {
				t.Errorf("was %+v\nis  %+v", in, got)
			}
		}
	})
}
