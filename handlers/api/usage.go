package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
)

// usageReply is what a key may read about itself.
type usageReply struct {
	Key    usageKey              `json:"key"`
	Quotas map[string]usageQuota `json:"quotas"`
}

type usageKey struct {
	ID        int64          `json:"id"`
	Name      string         `json:"name"`
	Type      models.KeyType `json:"type"`
	Category  string         `json:"category"`
	Version   int            `json:"version"`
	ExpiresAt *time.Time     `json:"expires_at"`
}

// usageQuota is the usage of one window. Limit, Remaining and ResetsAt are null if the key has no such quota.
type usageQuota struct {
	Used      int64      `json:"used"`
	Limit     *int64     `json:"limit"`
	Remaining *int64     `json:"remaining"`
	ResetsAt  *time.Time `json:"resets_at"`
}

// usage returns how much of its quotas a key has used. The call does not count for them.
func (a *API) usage(c echo.Context) error {
	key, _ := credentials(c.Request().Header, "")
	u, err := a.Gate.Usage(c.Request().Context(), key, a.callerIP(c))
	if err != nil {
		return err
	}
	reply := usageReply{Quotas: map[string]usageQuota{}, Key: usageKey{
		ID: u.Key.KeyID, Name: u.Key.Name, Type: u.Key.Type, Category: u.Key.Category, Version: u.Key.Version,
		ExpiresAt: timeOrNull(u.Key.ExpiresAt),
	}}
	for q := range models.Quota(models.QuotaCount) {
		reply.Quotas[q.String()] = quotaUse(u.Used[q], u.Quotas[q])
	}
	return c.JSON(http.StatusOK, reply)
}

func quotaUse(used int64, state gate.QuotaState) usageQuota {
	if state.Limit == 0 {
		return usageQuota{Used: used}
	}
	return usageQuota{Used: used, Limit: &state.Limit, Remaining: &state.Remaining, ResetsAt: timeOrNull(state.Resets)}
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond) // as in verdicts
	return &t
}
