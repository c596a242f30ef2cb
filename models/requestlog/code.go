package requestlog

import (
	"maps"
	"net/http"
	"slices"
)

// Code is the outcome of a validate request: README.md has the table of codes. Errors of the management API use the
// same codes if they mean the same.
type Code string

const (
	CodeValid       Code = "valid"
	CodeIPBlocked   Code = "ip_blocked"
	CodeKeyMissing  Code = "key_missing"
	CodeKeyInvalid  Code = "key_invalid"
	CodeKeyRevoked  Code = "key_revoked"
	CodeKeyInactive Code = "key_inactive"
	CodeKeyExpired  Code = "key_expired"

	CodePlatformNotAllowed Code = "platform_not_allowed"
	CodeBundleNotAllowed   Code = "bundle_not_allowed"

	CodeRateLimited  Code = "rate_limited"
	CodeQuotaTotal   Code = "quota_total"
	CodeQuotaDaily   Code = "quota_daily"
	CodeQuotaWeekly  Code = "quota_weekly"
	CodeQuotaMonthly Code = "quota_monthly"

	CodeProjectUnknown Code = "project_unknown"
	CodeTokenMissing   Code = "token_missing"
	CodeTokenInvalid   Code = "token_invalid"
	CodeTokenScope     Code = "token_scope"

	// With these there is no verdict.
	CodeBadRequest  Code = "bad_request"
	CodeTooLarge    Code = "too_large"
	CodeUnavailable Code = "unavailable"
)

type codeInfo struct {
	status  int
	message string
}

var codes = map[Code]codeInfo{
	CodeValid:       {http.StatusOK, ""},
	CodeIPBlocked:   {http.StatusForbidden, "IP temporarily blocked"},
	CodeKeyMissing:  {http.StatusUnauthorized, "Missing API Key"},
	CodeKeyInvalid:  {http.StatusUnauthorized, "Invalid API Key"},
	CodeKeyRevoked:  {http.StatusUnauthorized, "Revoked API Key"},
	CodeKeyInactive: {http.StatusUnauthorized, "Inactive API Key"},
	CodeKeyExpired:  {http.StatusUnauthorized, "Expired API Key"},

	CodePlatformNotAllowed: {http.StatusForbidden, "Platform not allowed"},
	CodeBundleNotAllowed:   {http.StatusForbidden, "Bundle ID not allowed"},

	CodeRateLimited:  {http.StatusTooManyRequests, "You exceeded the rate limit on your subscription"},
	CodeQuotaTotal:   {http.StatusUnauthorized, "Rate limit exceeded: quota total"},
	CodeQuotaDaily:   {http.StatusUnauthorized, "Rate limit exceeded: quota daily"},
	CodeQuotaWeekly:  {http.StatusUnauthorized, "Rate limit exceeded: quota weekly"},
	CodeQuotaMonthly: {http.StatusUnauthorized, "Rate limit exceeded: quota monthly"},

	CodeProjectUnknown: {http.StatusNotFound, "Unknown project"},
	CodeTokenMissing:   {http.StatusUnauthorized, "explain and dry_run need a service token"},
	CodeTokenInvalid:   {http.StatusUnauthorized, "Invalid service token"},
	CodeTokenScope:     {http.StatusForbidden, "The service token lacks the scope validate"},

	CodeBadRequest:  {http.StatusBadRequest, ""},
	CodeTooLarge:    {http.StatusRequestEntityTooLarge, ""},
	CodeUnavailable: {http.StatusServiceUnavailable, "Claviger cannot answer at the moment"},
}

// LoggedCodes are the codes that a row can have, in the order of the checks. The log can be filtered by them.
var LoggedCodes = []Code{
	CodeValid,
	CodeIPBlocked,
	CodeKeyRevoked,
	CodeKeyInactive,
	CodeKeyExpired,
	CodePlatformNotAllowed,
	CodeBundleNotAllowed,
	CodeRateLimited,
	CodeQuotaTotal,
	CodeQuotaDaily,
	CodeQuotaWeekly,
	CodeQuotaMonthly,
}

// Codes returns every code of this package, in no particular order.
func Codes() []Code { return slices.Collect(maps.Keys(codes)) }

// Status returns the HTTP status of the reply. A project may choose 429 instead of 401 for quotas.
func (c Code) Status() int { return codes[c].status }

// Message returns the error text of the reply. It is empty for [CodeValid], and for [CodeBadRequest] and
// [CodeTooLarge], whose text depends on the request.
func (c Code) Message() string { return codes[c].message }

// IsQuota reports whether the request was rejected by one of its key's quotas.
func (c Code) IsQuota() bool {
	switch c {
	case CodeQuotaTotal, CodeQuotaDaily, CodeQuotaWeekly, CodeQuotaMonthly:
		return true
	}
	return false
}
