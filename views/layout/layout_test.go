package layout

import (
	"strings"
	"testing"

	"github.com/a-h/templ"

	"github.com/claviger/claviger/views/ui"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageShowsItsProps(t *testing.T) {
	html := render(t, Page(PageProps{
		Title:      "Keys",
		User:       &User{Email: "ada@example.org"},
		Project:    &ProjectNav{Name: "Store <1>", Slug: "store"},
		Projects:   []ProjectNav{{Name: "Store <1>", Slug: "store"}, {Name: "Other", Slug: "other"}},
		Tabs:       []ui.Tab{{Label: "Keys", Href: "/projects/store/keys", Current: true}},
		Flash:      []Flash{{Kind: ui.KindSuccess, Text: "Saved."}},
		Banner:     &Banner{Title: "It is broken: <disk>", Text: "It will be well."},
		Version:    "1.2.3",
		ReplaceURL: "/projects/store/keys/1",
	}))
	for _, want := range []string{
		"<!doctype html>", `<html lang="en">`, "<title>Keys · Claviger</title>", `content="width=device-width`,
		`href="#main"`,
		"Store &lt;1&gt;", `href="/projects/other"`, `href="/projects/new"`, `href="/account"`,
		`method="post" action="/signout"`,
		`aria-current="page"`, "Saved.", "It is broken: &lt;disk&gt;", "It will be well.", "1.2.3",
		`data-replace-url="/projects/store/keys/1"`, "ada@example.org",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("lacks %q", want)
		}
	}
}

func TestPagesComplyWithTheContentSecurityPolicy(t *testing.T) {
	for name, html := range map[string]string{
		"page": render(t, Page(PageProps{Title: "x"})),
		"auth": render(t, Auth(AuthProps{Title: "x", Description: "y"})),
	} {
		for _, forbidden := range []string{" style=", "<style", " onclick=", "hx-on", "http://", "https://"} {
			if strings.Contains(html, forbidden) {
				t.Errorf("%s has %q", name, forbidden)
			}
		}
		if strings.Count(html, "<script") != strings.Count(html, "<script src=\"/static/") {
			t.Errorf("%s has a script of its own", name)
		}
	}
}

func TestAPageWithoutAUserLinksToSignIn(t *testing.T) {
	html := render(t, Page(PageProps{Title: "Not found"}))
	if !strings.Contains(html, `href="/signin"`) || strings.Contains(html, "/signout") {
		t.Error(html)
	}
}
