// Package ui is the component set that every page is made of. Props are plain structs; everything a component shows
// arrives in them, so that a component can be rendered in a test or on the /dev/components page without a server.
//
// Class names stay in .templ files, because the style sheet is built from those alone.
package ui

// Kind is the state that a component speaks of. It picks a colour together with a shape or an icon, so that nothing
// is told by colour alone.
type Kind string

// The kinds. The empty Kind means KindNeutral.
const (
	KindNeutral Kind = "neutral"
	KindInfo    Kind = "info"
	KindSuccess Kind = "success"
	KindWarning Kind = "warning"
	KindDanger  Kind = "danger"
)
