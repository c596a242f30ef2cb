package gate

import "github.com/claviger/claviger/models"

// CheckOutcome is one check of a verdict, for people who ask why.
type CheckOutcome struct {
	Check   string `json:"check"`
	Outcome string `json:"outcome"`          // passed, failed, or not_reached
	Change  string `json:"change,omitempty"` // what would change the outcome of a check that failed
}

// checks are those of product.md, section 3, in their order, each with the codes that it answers with.
var checks = []struct {
	name    string
	failing map[models.Code]string
}{
	{"ip", map[models.Code]string{models.IPBlocked: "Wait until the block ends, or lift it on the project's page of blocks."}},
	{"key_present", map[models.Code]string{models.KeyMissing: "Send the key in X-API-Key, in Authorization: Bearer, or as key in a JSON body."}},
	{"key_known", map[models.Code]string{models.KeyInvalid: "Send the whole secret of a key of this project, without a typo."}},
	{"key_not_revoked", map[models.Code]string{models.KeyRevoked: "Use the secret of the key's newest version, or another key: revoking is final."}},
	{"key_active", map[models.Code]string{models.KeyInactive: "Activate the key."}},
	{"key_not_expired", map[models.Code]string{models.KeyExpired: "Give the key a later end, or none."}},
	{"platform", map[models.Code]string{models.PlatformNotAllowed: "Send a platform that the key allows, or change its platforms."}},
	{"bundle", map[models.Code]string{models.BundleNotAllowed: "Send the bundle ID that the key allows, or change it."}},
	{"plan_limits", map[models.Code]string{models.RateLimited: "Wait for Retry-After, or raise the limit of the project's plan."}},
	{"quotas", map[models.Code]string{
		models.QuotaCodeTotal:   "Raise the key's total quota: it frees nothing by itself.",
		models.QuotaCodeDaily:   "Wait for resets_at, or raise the key's daily quota.",
		models.QuotaCodeWeekly:  "Wait for resets_at, or raise the key's weekly quota.",
		models.QuotaCodeMonthly: "Wait for resets_at, or raise the key's monthly quota.",
	}},
}

// Explain goes through the checks of a verdict: those before the one that answered have passed, those behind it were not
// reached. It is nil where the request came to no check, because of its project or its service token.
func Explain(v *Verdict) []CheckOutcome {
	list := make([]CheckOutcome, 0, len(checks))
	answered := false
	for _, c := range checks {
		outcome := CheckOutcome{Check: c.name, Outcome: "passed"}
		change, fails := c.failing[v.Code]
		switch {
		case answered:
			outcome.Outcome = "not_reached"
		case fails:
			outcome.Outcome, outcome.Change, answered = "failed", change, true
		}
		list = append(list, outcome)
	}
	if !answered && v.Code != models.Valid {
		return nil
	}
	return list
}
