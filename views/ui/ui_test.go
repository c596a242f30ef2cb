package ui

import (
	"strings"
	"testing"

	"github.com/a-h/templ"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestValuesAreEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>'`
	for name, c := range map[string]templ.Component{
		"text": TextField(FieldProps{
			Name:        evil,
			Label:       evil,
			Value:       evil,
			Error:       evil,
			Hint:        evil,
			Placeholder: evil,
			Prefix:      evil,
			Attrs:       templ.Attributes{"data-x": evil},
		}),
		"area":     TextArea(FieldProps{Name: "n", Label: evil, Value: "</textarea>" + evil}),
		"select":   SelectField(FieldProps{Name: "n", Label: evil}, []Option{{Value: evil, Label: evil}}),
		"radio":    RadioCards(FieldProps{Name: "n", Label: evil}, []Option{{Value: evil, Label: evil, Hint: evil}}),
		"button":   Button(ButtonProps{Label: evil, Name: "n", Value: evil, Attrs: templ.Attributes{"data-x": evil}}),
		"disabled": Button(ButtonProps{Label: evil, Disabled: true, DisabledReason: evil}),
		"confirm": Confirm(ConfirmProps{
			ID:     "c",
			Title:  evil,
			Body:   evil,
			Fields: []HiddenField{{Name: evil, Value: evil}},
		}),
		"copy": CopyBlock(CopyProps{ID: "c", Label: evil, Value: evil}),
		"chart": BarChart(ChartProps{
			Label:   evil,
			Series:  []Series{{Name: evil}},
			Buckets: []Bucket{{Label: evil, Title: evil, Values: []int64{1}}},
		}),
		"cell": Cell(evil),
	} {
		if html := render(t, c); strings.Contains(html, "<script") {
			t.Errorf("%s: %s", name, html)
		}
	}
}

func TestJavaScriptURLsAreRemoved(t *testing.T) {
	for name, c := range map[string]templ.Component{
		"button": Button(ButtonProps{Label: "x", Href: "javascript:alert(1)"}),
		"row":    RowLink("javascript:alert(1)", "x"),
		"form":   Confirm(ConfirmProps{ID: "c", Action: "javascript:alert(1)"}),
	} {
		if html := render(t, c); strings.Contains(html, "javascript:") {
			t.Errorf("%s: %s", name, html)
		}
	}
}

func TestAnErrorIsLinkedToItsField(t *testing.T) {
	html := render(t, TextField(FieldProps{Name: "name", Label: "Name", Hint: "Letters", Error: "Taken"}))
	for _, want := range []string{
		`for="f-name"`, `id="f-name"`, `aria-invalid="true"`, `aria-describedby="f-name-hint f-name-error"`,
		`id="f-name-error"`, `id="f-name-hint"`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("lacks %s: %s", want, html)
		}
	}
	if html := render(t, TextField(FieldProps{Name: "name", Label: "Name"})); strings.Contains(html, "aria-") {
		t.Errorf("a field without hint and error has an aria attribute: %s", html)
	}
	html = render(t, FormErrors("Not saved", []FieldError{{Field: "name", Text: "Taken"}}))
	if !strings.Contains(html, `href="#f-name"`) {
		t.Errorf("the summary has no link to the field: %s", html)
	}
	if html := render(t, FormErrors("Not saved", nil)); html != "" {
		t.Errorf("without errors the summary is %s", html)
	}
}

func TestADisabledButtonIsFocusableAndGivesItsReason(t *testing.T) {
	for name, p := range map[string]ButtonProps{
		"submit": {Label: "Deactivate", Disabled: true, DisabledReason: "The default key stays."},
		"link":   {Label: "Deactivate", Href: "/x", Disabled: true, DisabledReason: "The default key stays."},
	} {
		html := render(t, Button(p))
		if !strings.Contains(html, `type="button"`) ||
			!strings.Contains(html, `aria-disabled="true"`) ||
			strings.Contains(html, "href=") ||
			strings.Contains(html, " disabled") {
			t.Errorf("%s must be focusable and do nothing: %s", name, html)
		}
		if strings.Count(html, "The default key stays.") != 2 {
			t.Errorf("%s must give its reason to eyes and to screen readers: %s", name, html)
		}
	}
}

func TestChoicesComeFromTheValueOrTheirMark(t *testing.T) {
	options := []Option{{Value: "", Label: "Any"}, {Value: "a", Label: "A"}, {Value: "b", Label: "B"}}
	html := render(t, SelectField(FieldProps{Name: "n", Label: "N", Value: "b"}, options))
	if strings.Count(html, " selected") != 1 || !strings.Contains(html, `value="b" selected`) {
		t.Errorf("got %s", html)
	}
	if html := render(t, SelectField(FieldProps{Name: "n", Label: "N"}, options)); strings.Contains(html, " selected") {
		t.Errorf("with an empty value an option is selected: %s", html)
	}
}

func TestCheckboxesOfOneNameHaveDifferentIDs(t *testing.T) {
	ios := render(t, Checkbox(FieldProps{Name: "platforms", Label: "iOS", Value: "ios", Checked: true}))
	android := render(t, Checkbox(FieldProps{Name: "platforms", Label: "Android", Value: "android"}))
	if !strings.Contains(ios, `id="f-platforms-ios"`) ||
		!strings.Contains(ios, " checked") ||
		!strings.Contains(android, `for="f-platforms-android"`) ||
		strings.Contains(android, " checked") {
		t.Errorf("%s\n%s", ios, android)
	}
	if html := render(t, Checkbox(FieldProps{Name: "self", Label: "Self"})); !strings.Contains(html, `value="true"`) ||
		!strings.Contains(html, `id="f-self"`) {
		t.Errorf("a checkbox without a value does not send true: %s", html)
	}
}

func TestMaskedGivesScreenReadersTheLastCharacters(t *testing.T) {
	html := render(t, Masked("clv_prod", "aB3x"))
	if !strings.Contains(html, "••••••••") || !strings.Contains(html, "clv_prod, ends in aB3x") {
		t.Errorf("got %s", html)
	}
}
