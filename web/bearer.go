package web

import (
	"net/http"
	"strings"
)

// Bearer is the credential in Authorization; empty where there is none of that scheme.
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
