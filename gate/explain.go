package gate

import "github.com/claviger/claviger/models/requestlog"

// CheckOutcome is the outcome of one check of a request. It explains a verdict to people.
type CheckOutcome struct {
	Check   string `json:"check"`
	Outcome string `json:"outcome"`          // passed, failed, or not_reached
	Change  string `json:"change,omitempty"` // what would change the outcome of a check that failed
}

// checks are those of product.md, section 3, in their order, each with the codes with which it rejects a request and
// what would change that outcome.
var checks = []struct {
	name    string
	failing map[requestlog.Code]string
}{
	{"ip", map[requestlog.Code]string{
		requestlog.CodeIPBlocked: "Wait until the block ends, or lift it on the project's page of blocks.",
	}},
	{"key_present", map[requestlog.Code]string{
		requestlog.CodeKeyMissing: "Send the key in X-API-Key, in Authorization: Bearer, or as key in a JSON body.",
	}},
	{"key_known", map[requestlog.Code]string{
		requestlog.CodeKeyInvalid: "Send the whole secret of a key of this project, without a typo.",
	}},
	{"key_not_revoked", map[requestlog.Code]string{
		requestlog.CodeKeyRevoked: "Use the secret of the key's newest version, or another key: revoking is final.",
	}},
	{"key_active", map[requestlog.Code]string{
		requestlog.CodeKeyInactive: "Activate the key.",
	}},
	{"key_not_expired", map[requestlog.Code]string{
		requestlog.CodeKeyExpired: "Give the key a later end, or none.",
	}},
	{"platform", map[requestlog.Code]string{
		requestlog.CodePlatformNotAllowed: "Send a platform that the key allows, or change its platforms.",
	}},
	{"bundle", map[requestlog.Code]string{
		requestlog.CodeBundleNotAllowed: "Send the bundle ID that the key allows, or change it.",
	}},
	{"plan_limits", map[requestlog.Code]string{
		requestlog.CodeRateLimited: "Wait for Retry-After, or raise the limit of the project's plan.",
	}},
	{"quotas", map[requestlog.Code]string{
		requestlog.CodeQuotaTotal:   "Raise the key's total quota: it frees nothing by itself.",
		requestlog.CodeQuotaDaily:   "Wait for resets_at, or raise the key's daily quota.",
		requestlog.CodeQuotaWeekly:  "Wait for resets_at, or raise the key's weekly quota.",
		requestlog.CodeQuotaMonthly: "Wait for resets_at, or raise the key's monthly quota.",
	}},
}

// Explain returns the outcome of each check: those before the one that rejected the request have passed, those after it
// were not reached. It returns nil if no check was reached, because of the project or the service token.
func Explain(v *Verdict) []CheckOutcome {
	list := make([]CheckOutcome, 0, len(checks))
	rejected := false
	for _, c := range checks {
		outcome := CheckOutcome{Check: c.name, Outcome: "passed"}
		change, fails := c.failing[v.Code]
		switch {
		case rejected:
			outcome.Outcome = "not_reached"
		case fails:
			outcome.Outcome, outcome.Change, rejected = "failed", change, true
		}
		list = append(list, outcome)
	}
	if !rejected && v.Code != requestlog.CodeValid {
		return nil
	}
	return list
}
