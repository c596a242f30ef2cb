package handlers

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/keys"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

// newCategory is the value of the category field if the label is typed into the field new_category.
const newCategory = "+new"

// newKey is the form of a new key: empty, or with the settings of the key that it replaces and a free name.
func (h *Handlers) newKey(c echo.Context) error {
	form := keys.Form{
		Type:     string(models.TypeProduction),
		Category: models.BuiltInCategories[0],
		Zone:     web.TimeZone(c).String(),
	}
	if replaced := c.QueryParam("replaces"); replaced != "" {
		id, err := strconv.ParseInt(replaced, 10, 64)
		if err != nil {
			return models.NotFound("key")
		}
		ctx, m := c.Request().Context(), web.Membership(c)
		key, err := h.Store.Key(ctx, m.ID, id)
		if err != nil {
			return err
		}
		form = keyForm(key, web.TimeZone(c))
		form.ExpiresAt = "" // a replacement should not expire with the old key
		if form.Name, err = h.Store.FreeKeyName(ctx, m.ID, key.Name); err != nil {
			return err
		}
	}
	_, blockedReason, err := h.roomForKey(c)
	if err != nil {
		return err
	}
	return h.renderKeyForm(c, http.StatusOK, keys.FormProps{Form: form, Message: blockedReason})
}

// keyForm returns the form with the settings of a key.
func keyForm(key *models.KeyView, zone *time.Location) keys.Form {
	number := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	form := keys.Form{
		Name:            key.Name,
		Description:     key.Description,
		Type:            string(key.Type),
		Category:        key.Category,
		SelfRotation:    key.SelfRotation,
		Zone:            zone.String(),
		PlatformIOS:     key.PlatformIOS,
		PlatformAndroid: key.PlatformAndroid,
		IOSBundleID:     key.IOSBundleID,
		AndroidPackage:  key.AndroidPackage,
		Total:           number(key.Total),
		Daily:           number(key.Daily),
		Weekly:          number(key.Weekly),
		Monthly:         number(key.Monthly),
	}
	if key.ExpiresAt != nil {
		form.ExpiresAt = ui.DateTimeLocal(*key.ExpiresAt, zone)
	}
	return form
}

func (h *Handlers) editKey(c echo.Context) error {
	key, err := h.keyOf(c)
	if err != nil {
		return err
	}
	if why := key.BlockedReason(models.ActionEdit); why != "" {
		return models.Conflict(why)
	}
	return h.renderKeyForm(c, http.StatusOK, keys.FormProps{
		Form:    keyForm(key, web.TimeZone(c)),
		KeyID:   key.ID,
		KeyName: key.Name,
		Default: key.IsDefault,
	})
}

// renderKeyForm shows the form of a new key, or of an existing one if KeyID is set.
func (h *Handlers) renderKeyForm(c echo.Context, status int, p keys.FormProps) error {
	m := web.Membership(c)
	title := "New key"
	if p.KeyID != 0 {
		title = "Edit " + p.KeyName
	}
	var err error
	if p.Page, err = h.projectPage(c, title, tabKeys); err != nil {
		return err
	}
	p.Root, p.KeyPrefix, p.NewCategory = projectPath(&m.Project), m.KeyPrefix, newCategory
	if p.Categories, err = h.categoryNames(c); err != nil {
		return err
	}
	return web.Render(c, status, keys.Edit(p))
}

// readKeyForm returns the typed values and the input that they mean. problems has messages about values that cannot be
// parsed; models checks the rest. before is the edited key, nil for a new one.
func readKeyForm(c echo.Context, before *models.Key) (form keys.Form, in models.KeyInput, problems map[string]string) {
	form = keys.Form{
		Name:            c.FormValue("name"),
		Description:     c.FormValue("description"),
		Type:            c.FormValue("type"),
		Category:        c.FormValue("category"),
		NewCategory:     c.FormValue("new_category"),
		ExpiresAt:       strings.TrimSpace(c.FormValue("expires_at")),
		Zone:            web.ParseTimeZone(c.FormValue("time_zone")).String(),
		SelfRotation:    c.FormValue("self_rotation") == "true",
		PlatformIOS:     c.FormValue("platform_ios") == "true",
		PlatformAndroid: c.FormValue("platform_android") == "true",
		IOSBundleID:     c.FormValue("ios_bundle_id"),
		AndroidPackage:  c.FormValue("android_package"),
		Total:           c.FormValue("quota_total"),
		Daily:           c.FormValue("quota_daily"),
		Weekly:          c.FormValue("quota_weekly"),
		Monthly:         c.FormValue("quota_monthly"),
	}
	problems = map[string]string{}
	in = models.KeyInput{
		Name: form.Name, Description: form.Description, Type: models.KeyType(form.Type), Category: form.Category,
		SelfRotation: form.SelfRotation,
		Restrictions: models.Restrictions{
			PlatformIOS:     form.PlatformIOS,
			PlatformAndroid: form.PlatformAndroid,
			IOSBundleID:     form.IOSBundleID,
			AndroidPackage:  form.AndroidPackage,
		},
		Quotas: models.Quotas{
			Total:   parseCap("quota_total", form.Total, problems),
			Daily:   parseCap("quota_daily", form.Daily, problems),
			Weekly:  parseCap("quota_weekly", form.Weekly, problems),
			Monthly: parseCap("quota_monthly", form.Monthly, problems),
		},
	}
	if form.Category == newCategory {
		in.Category = form.NewCategory
	}
	if form.ExpiresAt != "" {
		zone := web.ParseTimeZone(form.Zone)
		at, err := web.ParseLocalTime(form.ExpiresAt, zone)
		switch {
		case err != nil:
			problems["expires_at"] = "Enter a date and a time."
		case before != nil && before.ExpiresAt != nil && ui.DateTimeLocal(*before.ExpiresAt, zone) == form.ExpiresAt:
			in.ExpiresAt = before.ExpiresAt // the field has no seconds, so an unchanged value must not cut them off
		default:
			in.ExpiresAt = &at
		}
	}
	return form, in, problems
}

// parseCap parses a quota. An empty text means no cap.
func parseCap(field, text string, problems map[string]string) *int64 {
	return parseWhole(field, text, "Enter a whole number, or leave it empty for no cap.", problems)
}

// parseWhole parses a whole number. It returns nil for an empty text. If the text is not a whole number, it adds the
// message to problems.
func parseWhole(field, text, message string, problems map[string]string) *int64 {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		problems[field] = message
	}
	return &n
}

// createKey answers with a page that shows the secret. No other response has it.
func (h *Handlers) createKey(c echo.Context) error {
	m := web.Membership(c)
	form, in, problems := readKeyForm(c, nil)
	p := keys.FormProps{Form: form}
	if len(problems) > 0 {
		return h.keyFormProblem(c, p, web.WithProblems(problems, in.Check(nil, h.Now())))
	}
	key, secret, err := h.Store.CreateKey(c.Request().Context(), m.ID, h.actor(c), in)
	if err != nil {
		return h.keyFormProblem(c, p, err)
	}
	page, err := h.projectPage(c, key.Name+" created", tabKeys)
	if err != nil {
		return err
	}
	page.ReplaceURL = keyPath(m, key.ID)
	return web.Render(c, http.StatusCreated, keys.Created(keys.CreatedProps{
		Page: page, Title: key.Name + " created", KeyHref: page.ReplaceURL, ListHref: projectPath(&m.Project) + "/keys",
		Secret: *h.secretPanel(&m.Project, "Secret of "+key.Name, secret),
	}))
}

func (h *Handlers) updateKey(c echo.Context) error {
	m := web.Membership(c)
	before, err := h.keyOf(c)
	if err != nil {
		return err
	}
	if why := before.BlockedReason(models.ActionEdit); why != "" {
		return models.Conflict(why)
	}
	form, in, problems := readKeyForm(c, &before.Key)
	form.Type = string(before.Type)
	p := keys.FormProps{Form: form, KeyID: before.ID, KeyName: before.Name, Default: before.IsDefault}
	if len(problems) > 0 {
		return h.keyFormProblem(c, p, web.WithProblems(problems, in.Check(&before.Key, h.Now())))
	}
	key, err := h.Store.UpdateKey(c.Request().Context(), m.ID, before.ID, h.actor(c), in)
	if err != nil {
		return h.keyFormProblem(c, p, err)
	}
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), key.Name+" was saved."); err != nil {
		return err
	}
	return web.Redirect(c, keyPath(m, key.ID))
}

// keyFormProblem shows the form again with the typed values and the messages.
func (h *Handlers) keyFormProblem(c echo.Context, p keys.FormProps, err error) error {
	fields, message, other := web.FieldProblems(err)
	if other != nil {
		return other
	}
	// A new label has a field of its own.
	if text, ok := fields["category"]; ok && p.Form.Category == newCategory {
		fields["new_category"] = text
		delete(fields, "category")
	}
	p.Errors, p.Message = fields, message
	return h.renderKeyForm(c, http.StatusUnprocessableEntity, p)
}
