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

// oneLine trims s and reports whether it is valid UTF-8 without control characters.
func oneLine(s string) (trimmed string, ok bool) {
	s = strings.TrimSpace(s)
	return s, utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// LogText makes text from a caller safe to store and to show: valid UTF-8 of at most limit bytes, without control
// characters and without characters that change the direction of the surrounding text.
func LogText(s string, limit int) string {
	if isPlain(s) { // nearly all texts are
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

// isPlain reports whether s has only printable ASCII characters.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// like returns a LIKE pattern that finds s anywhere in a lower-case text. Use it with ESCAPE '\'.
func like(s string) string { return "%" + likeEscaper.Replace(strings.ToLower(s)) + "%" }
