// Package layout puts a page's content into a whole HTML document. Everything it shows arrives in props.
package layout

import "github.com/claviger/claviger/views/ui"

// User is who is signed in.
type User struct {
	Email string
	Admin bool // of the instance
}

// ProjectNav is a project as the navigation needs it.
type ProjectNav struct {
	Name string
	Slug string
}

// Flash is a message about what was just done. It never holds a secret.
type Flash struct {
	Kind ui.Kind
	Text string
}

// Banner is something that is wrong with the service now. It is shown until it is over.
type Banner struct {
	Title string
	Text  string
}

// PageProps describes a page of the dashboard.
type PageProps struct {
	Title    string       // of the browser's tab, before " · Claviger"
	User     *User        // nil shows "Sign in" in place of the account menu
	Project  *ProjectNav  // the current one; nil outside projects
	Projects []ProjectNav // that the user may switch to
	Tabs     []ui.Tab     // of the current project or of the account
	Flash    []Flash
	Banner   *Banner // nil where all is well
	Version  string

	// ReplaceURL, when not empty, becomes the page's address once it is shown. A page that answers a POST with a secret
	// sets it, so that reloading asks for that address and posts nothing again.
	ReplaceURL string
}

// AuthProps describes a page for people who are not signed in: one narrow column under the mark.
type AuthProps struct {
	Title       string // also the page's h1
	Description string
	Flash       []Flash
	Version     string
}
