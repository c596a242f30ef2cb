package web

import (
	"net/http"
	"strings"
)

// Bearer is the credential in Authorization; empty where there is none of that scheme.
func Bearer(header http.Header) string {
	scheme, credential, _ := strings.Cut(header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credential)
}
