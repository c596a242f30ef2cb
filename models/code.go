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

	RateLimited      Code = "rate_limited"
	QuotaCodeTotal   Code = "quota_total"
	QuotaCodeDaily   Code = "quota_daily"
	QuotaCodeWeekly  Code = "quota_weekly"
	QuotaCodeMonthly Code = "quota_monthly"

	ProjectUnknown Code = "project_unknown"
	TokenMissing   Code = "token_missing"
	TokenInvalid   Code = "token_invalid"
	TokenScope     Code = "token_scope"

	// There is no verdict. Of the first two, web says what is wrong with the body.
	BadRequest  Code = CodeBadRequest
	TooLarge    Code = CodeTooLarge
	Unavailable Code = "unavailable"
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

	RateLimited:      {http.StatusTooManyRequests, "You exceeded the rate limit on your subscription"},
	QuotaCodeTotal:   {http.StatusUnauthorized, "Rate limit exceeded: quota total"},
	QuotaCodeDaily:   {http.StatusUnauthorized, "Rate limit exceeded: quota daily"},
	QuotaCodeWeekly:  {http.StatusUnauthorized, "Rate limit exceeded: quota weekly"},
	QuotaCodeMonthly: {http.StatusUnauthorized, "Rate limit exceeded: quota monthly"},

	ProjectUnknown: {http.StatusNotFound, "Unknown project"},
	TokenMissing:   {http.StatusUnauthorized, "explain and dry_run need a service token"},
	TokenInvalid:   {http.StatusUnauthorized, "Invalid service token"},
	TokenScope:     {http.StatusForbidden, "The service token lacks the scope validate"},

	BadRequest:  {http.StatusBadRequest, ""},
	TooLarge:    {http.StatusRequestEntityTooLarge, ""},
	Unavailable: {http.StatusServiceUnavailable, "Claviger cannot answer at the moment"},
}

// LoggedCodes are the outcomes a request with a known key can have, in the order of the checks: what the log can be filtered by.
var LoggedCodes = []Code{
	Valid, IPBlocked, KeyRevoked, KeyInactive, KeyExpired, PlatformNotAllowed, BundleNotAllowed,
	RateLimited, QuotaCodeTotal, QuotaCodeDaily, QuotaCodeWeekly, QuotaCodeMonthly,
}

// Codes lists every outcome, in no order.
func Codes() []Code { return slices.Collect(maps.Keys(codes)) }

// Status is the HTTP status of the reply. A project may choose another one for quotas: see [GateProject].
func (c Code) Status() int { return codes[c].status }

// Err is the outcome as an error: the code and the message of a refusal.
func (c Code) Err() *Error { return &Error{Code: string(c), Message: c.Message()} }

// Message is the error text of the reply; empty for [Valid].
func (c Code) Message() string { return codes[c].message }

// IsQuota tells whether the request was rejected by one of its key's quotas.
func (c Code) IsQuota() bool {
	switch c {
	case QuotaCodeTotal, QuotaCodeDaily, QuotaCodeWeekly, QuotaCodeMonthly:
		return true
	}
	return false
}
