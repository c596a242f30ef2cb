package web

import (
	"net/http"
	"strings"
)

// Bearer returns the credential of an Authorization header with the scheme Bearer, or "" if there is none.
func Bearer(header http.Header) string {
	values := header["Authorization"]
	if len(values) == 0 {
		return ""
	}
	scheme, credential, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credential)
}
