// Package layout puts the content of a page into an HTML document. Everything that it shows is in its props.
package layout

import "github.com/claviger/claviger/views/ui"

// User is the signed-in user.
type User struct {
	Email string
	Admin bool // of the instance
}

// ProjectNav is a project in the navigation.
type ProjectNav struct {
	Name string
	Slug string
}

// Flash is a message about what was just done. It never holds a secret.
type Flash struct {
	Kind ui.Kind
	Text string
}

// Banner is a problem of the service. It is shown as long as the problem lasts.
type Banner struct {
	Title string
	Text  string
}

// PageProps describes a page of the dashboard.
type PageProps struct {
	Title    string       // of the document, before " · Claviger"
	User     *User        // nil shows "Sign in" instead of the account menu
	Project  *ProjectNav  // the current one; nil outside projects
	Projects []ProjectNav // that the user may switch to
	Tabs     []ui.Tab     // of the current project or of the account
	Flash    []Flash
	Banner   *Banner // nil if there is no problem
	Version  string

	// ReplaceURL, if not empty, replaces the address of the page after it is loaded. A page that answers a POST with a
	// secret sets it, so that a reload opens that address and does not repeat the POST.
	ReplaceURL string
}

// AuthProps describes a page for visitors who are not signed in: one narrow column below the logo.
type AuthProps struct {
	Title       string // also the page's h1
	Description string
	Flash       []Flash
	Version     string
}
