// Package ui has the components that pages are made of. Props are plain structs with everything that a component shows,
// so that it can be rendered in a test or on the page /dev/components without a server.
//
// Class names must be in .templ files, because the style sheet is built only from those.
package ui

// Kind is the kind of state that a component shows. It sets a colour together with a shape or an icon, so that no
// information depends only on colour.
type Kind string

// The kinds. The empty Kind means KindNeutral.
const (
	KindNeutral Kind = "neutral"
	KindInfo    Kind = "info"
	KindSuccess Kind = "success"
	KindWarning Kind = "warning"
	KindDanger  Kind = "danger"
)
