package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/keys"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

const keysPerPage = 50

func (h *Handlers) keys(c echo.Context) error {
	ctx, m := c.Request().Context(), web.Membership(c)
	query := c.QueryParams()
	before, _ := strconv.ParseInt(query.Get("before"), 10, 64)
	p := keys.ListProps{
		Root:     projectPath(&m.Project),
		Now:      h.Now(),
		Zone:     web.TimeZone(c),
		CanWrite: m.Role.May(models.PermitWriteKeys),
		Search:   strings.TrimSpace(web.QueryText(c.QueryParam("q"))),
		Type:     web.QueryText(c.QueryParam("type")),
		Category: web.QueryText(c.QueryParam("category")),
		Status:   web.QueryText(c.QueryParam("status")),
	}
	var err error
	if p.Page, err = h.projectPage(c, "Keys", tabKeys); err != nil {
		return err
	}
	page, err := h.Store.Keys(ctx, m.ID, models.KeyFilter{
		Search: p.Search, Type: models.KeyType(p.Type), Category: p.Category, Status: models.KeyStatus(p.Status),
		Before: before, Limit: keysPerPage,
	})
	if err != nil {
		return err
	}
	if p.Categories, err = h.categoryNames(c); err != nil {
		return err
	}
	if p.Room, p.NewKeyBlockedReason, err = h.roomForKey(c); err != nil {
		return err
	}
	for _, k := range page.Keys {
		p.Keys = append(p.Keys, h.keyItem(&k))
	}
	if before > 0 {
		p.NewestHref = withQuery(p.Root+"/keys", without(query, "before"))
	}
	if page.Next > 0 {
		older := without(query, "before")
		older.Set("before", strconv.FormatInt(page.Next, 10))
		p.OlderHref = withQuery(p.Root+"/keys", older)
	}
	return web.Render(c, http.StatusOK, keys.List(p))
}

// roomForKey returns a text such as "3 of 10 active keys" if the plan has a maximum, and the reason why no further
// key can be active if it is reached.
func (h *Handlers) roomForKey(c echo.Context) (room, blockedReason string, err error) {
	ctx, m := c.Request().Context(), web.Membership(c)
	plan, err := h.Store.ProjectPlan(ctx, &m.Project)
	if err != nil || plan.Limits.ActiveKeys == nil {
		return "", "", err
	}
	active, err := h.Store.CountActiveKeys(ctx, m.ID)
	room = ui.FormatCount(active) + " of " + ui.FormatCount(*plan.Limits.ActiveKeys) + " active keys"
	return room, plan.ActiveKeysBlockedReason(active), err
}

func without(query url.Values, names ...string) url.Values {
	rest := url.Values{}
	for name, values := range query {
		rest[name] = values
	}
	for _, name := range names {
		rest.Del(name)
	}
	return rest
}

func (h *Handlers) keyItem(k *models.KeyView) keys.Item {
	item := keys.Item{
		ID: k.ID, Name: k.Name, Description: k.Description, Type: string(k.Type), Category: k.Category,
		Status: string(k.Status(h.Now())), Default: k.IsDefault, SelfRotation: k.SelfRotation,
		Prefix: k.Prefix + "_" + string(k.Type.SecretKind()), Last4: k.Last4, Version: k.Version,
		CreatedBy: k.Creator, CreatedAt: k.CreatedAt, RotationDue: k.RotationDue(h.Now()),
		Platforms: platformNames(k.Restrictions), IOSBundleID: k.IOSBundleID, AndroidPackage: k.AndroidPackage,
	}
	if k.ExpiresAt != nil {
		item.ExpiresAt = *k.ExpiresAt
	}
	if k.LastUsedAt != nil {
		item.LastUsedAt = *k.LastUsedAt
	}
	return item
}

func platformNames(r models.Restrictions) string {
	switch {
	case r.PlatformIOS && r.PlatformAndroid:
		return "iOS and Android"
	case r.PlatformIOS:
		return "iOS"
	case r.PlatformAndroid:
		return "Android"
	}
	return "Any"
}

func (h *Handlers) categoryNames(c echo.Context) ([]string, error) {
	list, err := h.Store.Categories(c.Request().Context(), web.Membership(c).ID)
	names := make([]string, len(list))
	for i, category := range list {
		names[i] = category.Name
	}
	return names, err
}

// keyOf returns the key that the path names.
func (h *Handlers) keyOf(c echo.Context) (*models.KeyView, error) {
	id, err := web.KeyID(c)
	if err != nil {
		return nil, err
	}
	return h.Store.Key(c.Request().Context(), web.Membership(c).ID, id)
}

func (h *Handlers) key(c echo.Context) error {
	m := web.Membership(c)
	key, err := h.keyOf(c)
	if err != nil {
		return err
	}
	p := keys.ShowProps{
		Root:                projectPath(&m.Project),
		Now:                 h.Now(),
		Zone:                web.TimeZone(c),
		CanWrite:            m.Role.May(models.PermitWriteKeys),
		Key:                 h.keyItem(key),
		Curl:                h.curl(&m.Project, "$API_KEY"),
		Activate:            key.State == models.StateInactive,
		EditBlockedReason:   key.BlockedReason(models.ActionEdit),
		ToggleBlockedReason: key.BlockedReason(models.ActionDeactivate),
		RevokeBlockedReason: key.BlockedReason(models.ActionRevoke),
		DeleteBlockedReason: key.BlockedReason(models.ActionDelete),
	}
	if p.RotateBlockedReason, err = h.rotateBlockedReason(c, &key.Key); err != nil {
		return err
	}
	if p.Activate {
		p.ToggleBlockedReason = key.BlockedReason(models.ActionActivate)
		// An expired key does not count as active.
		if models.StatusOf(models.StateActive, key.ExpiresAt, p.Now) == models.StatusActive {
			if _, p.ToggleBlockedReason, err = h.roomForKey(c); err != nil {
				return err
			}
		}
	}
	if p.Versions, p.Retiring, err = h.versions(c, key); err != nil {
		return err
	}
	if p.Quotas, err = h.quotaUse(c, &key.Key); err != nil {
		return err
	}
	if p.Page, err = h.projectPage(c, key.Name, tabKeys); err != nil {
		return err
	}
	recent, err := h.Store.RequestLogs(c.Request().Context(), m.ID, models.LogFilter{
		KeyID: key.ID,
		Limit: recentRequests,
	})
	if err != nil {
		return err
	}
	p.Recent = logEntries(recent.Entries)
	return web.Render(c, http.StatusOK, keys.Show(p))
}

// quotaUse returns how much of each quota the key has used, as the gate counts it.
func (h *Handlers) quotaUse(c echo.Context, key *models.Key) (list []keys.Quota, err error) {
	caps := key.Caps()
	if !caps.Any() {
		return nil, nil
	}
	used, err := h.Gate.Used(c.Request().Context(), key.ID)
	if err != nil {
		return nil, err
	}
	spans := [models.QuotaCount]string{
		models.QuotaDaily:   "in 24 hours",
		models.QuotaWeekly:  "in 7 days",
		models.QuotaMonthly: "in 30 days",
		models.QuotaTotal:   "in total",
	}
	for q, limit := range caps {
		if limit > 0 {
			list = append(list, keys.Quota{Used: used[q], Limit: limit, Span: spans[q]})
		}
	}
	return list, nil
}

// rotateBlockedReason returns why the user cannot rotate the key: because of the key's state or of the project's
// plan. It returns "" if the user can.
func (h *Handlers) rotateBlockedReason(c echo.Context, key *models.Key) (string, error) {
	if why := key.BlockedReason(models.ActionRotate); why != "" {
		return why, nil
	}
	plan, err := h.Store.ProjectPlan(c.Request().Context(), &web.Membership(c).Project)
	if err != nil {
		return "", err
	}
	return plan.RotationBlockedReason(key, h.actor(c)), nil
}

// versions returns the versions of a key. retiring reports whether a replaced version is still valid; the versions then
// have their usage since the rotation.
func (h *Handlers) versions(c echo.Context, key *models.KeyView) (list []keys.Version, retiring bool, err error) {
	ctx, now := c.Request().Context(), h.Now()
	versions, err := h.Store.Versions(ctx, key.ProjectID, key.ID)
	if err != nil {
		return nil, false, err
	}
	for _, v := range versions {
		row := keys.Version{
			Number:    v.Number,
			Status:    string(v.Status(now)),
			Prefix:    v.Prefix + "_" + string(key.Type.SecretKind()),
			Last4:     v.Last4,
			CreatedBy: v.CreatedByName,
			CreatedAt: v.CreatedAt,
		}
		if v.EndsAt != nil {
			row.EndsAt = *v.EndsAt
		}
		retiring = retiring || v.Status(now) == models.VersionRetiring && key.State != models.StateRevoked
		list = append(list, row)
	}
	if !retiring {
		return list, false, nil
	}
	usage, err := h.Store.Log().UsageByVersion(ctx, key.ID, *key.RotatedAt)
	for i := range list {
		u := usage[list[i].Number]
		list[i].Requests, list[i].LastUsedAt = u.Requests, u.LastUsedAt
	}
	return list, true, err
}

// changeKeyState activates, deactivates or revokes a key.
func (h *Handlers) changeKeyState(action models.KeyAction) echo.HandlerFunc {
	return func(c echo.Context) error {
		m := web.Membership(c)
		id, err := web.KeyID(c)
		if err != nil {
			return err
		}
		key, err := h.Store.ChangeKeyState(c.Request().Context(), m.ID, id, h.actor(c), action)
		if err != nil {
			return err
		}
		text := map[models.KeyAction]string{
			models.ActionActivate:   key.Name + " is active again.",
			models.ActionDeactivate: key.Name + " is inactive: every request with it is rejected from now on.",
			models.ActionRevoke:     key.Name + " is revoked for good.",
		}[action]
		if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
			return err
		}
		return web.Redirect(c, keyPath(m, key.ID))
	}
}

func (h *Handlers) deleteKey(c echo.Context) error {
	ctx, m := c.Request().Context(), web.Membership(c)
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	// A request that was just answered may not be in the log yet, and the key would seem never used.
	if err := h.Gate.Flush(ctx); err != nil {
		return err
	}
	key, err := h.Store.DeleteKey(ctx, m.ID, id, h.actor(c))
	if err != nil {
		return err
	}
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), key.Name+" was deleted."); err != nil {
		return err
	}
	return web.Redirect(c, projectPath(&m.Project)+"/keys")
}

func keyPath(m *models.Membership, id int64) string {
	return projectPath(&m.Project) + "/keys/" + strconv.FormatInt(id, 10)
}
