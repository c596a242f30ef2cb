package models

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut shortens s to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// oneLine trims s and tells whether it is valid text without control characters.
func oneLine(s string) (trimmed string, ok bool) {
	s = strings.TrimSpace(s)
	return s, utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// LogText makes of what a caller sent what every database takes as text: valid UTF-8 without control characters, nor
// those that turn the direction of the text around them, of at most limit bytes.
func LogText(s string, limit int) string {
	if isPlain(s) { // nearly all are
		return cut(s, limit)
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return cut(s, limit)
}

// isPlain tells whether s is of printable ASCII alone.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// like is the pattern that finds s anywhere in a lower-case text. The query says ESCAPE '\'.
func like(s string) string { return "%" + likeEscaper.Replace(strings.ToLower(s)) + "%" }
