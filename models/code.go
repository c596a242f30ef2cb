package models

import (
	"maps"
	"net/http"
	"slices"
)

// Code is the outcome of a validate request, by the names of product.md, section 3.
type Code string

const (
	Valid       Code = "valid"
	IPBlocked   Code = "ip_blocked"
	KeyMissing  Code = "key_missing"
	KeyInvalid  Code = "key_invalid"
	KeyRevoked  Code = "key_revoked"
	KeyInactive Code = "key_inactive"
	KeyExpired  Code = "key_expired"

	PlatformNotAllowed Code = "platform_not_allowed"
	BundleNotAllowed   Code = "bundle_not_allowed"

	ProjectUnknown Code = "project_unknown"
	TokenInvalid   Code = "token_invalid"
	TokenScope     Code = "token_scope"
)

type codeInfo struct {
	status  int
	message string
}

var codes = map[Code]codeInfo{
	Valid:       {http.StatusOK, ""},
	IPBlocked:   {http.StatusForbidden, "IP temporarily blocked"},
	KeyMissing:  {http.StatusUnauthorized, "Missing API Key"},
	KeyInvalid:  {http.StatusUnauthorized, "Invalid API Key"},
	KeyRevoked:  {http.StatusUnauthorized, "Revoked API Key"},
	KeyInactive: {http.StatusUnauthorized, "Inactive API Key"},
	KeyExpired:  {http.StatusUnauthorized, "Expired API Key"},

	PlatformNotAllowed: {http.StatusForbidden, "Platform not allowed"},
	BundleNotAllowed:   {http.StatusForbidden, "Bundle ID not allowed"},

	ProjectUnknown: {http.StatusNotFound, "Unknown project"},
	TokenInvalid:   {http.StatusUnauthorized, "Invalid service token"},
	TokenScope:     {http.StatusForbidden, "The service token lacks the scope validate"},
}

// LoggedCodes are the outcomes a request with a known key can have, in the order of the checks: what the log can be filtered by.
var LoggedCodes = []Code{Valid, KeyRevoked, KeyInactive, KeyExpired, PlatformNotAllowed, BundleNotAllowed}

// Codes lists every outcome, in no order.
func Codes() []Code { return slices.Collect(maps.Keys(codes)) }

// Status is the HTTP status of the reply.
func (c Code) Status() int { return codes[c].status }

// Message is the error text of the reply; empty for [Valid].
func (c Code) Message() string { return codes[c].message }
