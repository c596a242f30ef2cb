package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/keys"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

var graceLabels = map[string]string{
	"now": "At once", "15m": "In 15 minutes", "1h": "In 1 hour", "24h": "In 24 hours", "7d": "In 7 days",
}

func graceOptions() []ui.Option {
	options := make([]ui.Option, len(models.Graces))
	for i, g := range models.Graces {
		options[i] = ui.Option{Value: g.Name, Label: graceLabels[g.Name]}
	}
	return options
}

func (h *Handlers) rotateForm(c echo.Context) error {
	key, err := h.keyOf(c)
	if err != nil {
		return err
	}
	if why, err := h.rotateBlockedReason(c, &key.Key); err != nil {
		return err
	} else if why != "" {
		return models.Conflict(why)
	}
	return h.renderRotate(c, http.StatusOK, key, keys.RotateProps{Grace: "now"})
}

func (h *Handlers) renderRotate(c echo.Context, status int, key *models.KeyView, p keys.RotateProps) error {
	var err error
	if p.Page, err = h.projectPage(c, "Rotate "+key.Name, tabKeys); err != nil {
		return err
	}
	p.Root, p.KeyID, p.KeyName, p.Version = projectPath(&web.Membership(c).Project), key.ID, key.Name, key.Version
	p.Graces = graceOptions()
	return web.Render(c, status, keys.Rotate(p))
}

// rotateKey answers with a page that shows the new secret. No other response has it.
func (h *Handlers) rotateKey(c echo.Context) error {
	m := web.Membership(c)
	before, err := h.keyOf(c)
	if err != nil {
		return err
	}
	p := keys.RotateProps{Grace: c.FormValue("grace")}
	grace, known := models.ParseGrace(p.Grace)
	if !known {
		p.Error = "Choose one of the options."
		return h.renderRotate(c, http.StatusUnprocessableEntity, before, p)
	}
	version, err := strconv.Atoi(c.FormValue("version"))
	if err != nil || version < 1 {
		version = before.Version
	}
	key, secret, err := h.Store.RotateKey(c.Request().Context(), m.ID, before.ID, h.actor(c), version, grace)
	if err != nil {
		return err
	}
	page, err := h.projectPage(c, key.Name+" rotated", tabKeys)
	if err != nil {
		return err
	}
	page.ReplaceURL = keyPath(m, key.ID)
	note := "The previous secret is rejected from now on."
	if grace > 0 {
		note = "The previous secret stays valid and ends " + strings.ToLower(graceLabels[p.Grace]) + "."
	}
	return web.Render(c, http.StatusCreated, keys.Created(keys.CreatedProps{
		Page: page, Title: key.Name + " has version " + strconv.Itoa(key.Version), Note: note,
		KeyHref: page.ReplaceURL, ListHref: projectPath(&m.Project) + "/keys",
		Secret: *h.secretPanel(&m.Project, "New secret of "+key.Name, secret),
	}))
}

// endVersion changes the end of a retiring version.
func (h *Handlers) endVersion(c echo.Context) error {
	m := web.Membership(c)
	id, err := web.KeyID(c)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(c.Param("version"))
	if err != nil {
		return models.NotFound("version")
	}
	in, known := models.ParseGrace(c.FormValue("in"))
	if !known {
		return &models.Error{Code: models.CodeInvalid, Message: "Choose one of the offered times."}
	}
	key, err := h.Store.EndVersion(c.Request().Context(), m.ID, id, h.actor(c), number, in)
	if err != nil {
		return err
	}
	text := "Version " + strconv.Itoa(number) + " of " + key.Name + " has ended."
	if in > 0 {
		text = "The end of version " + strconv.Itoa(number) + " of " + key.Name + " was changed."
	}
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
		return err
	}
	return web.Redirect(c, keyPath(m, key.ID))
}

func (h *Handlers) revokeForm(c echo.Context) error {
	key, err := h.keyOf(c)
	if err != nil {
		return err
	}
	if why := key.BlockedReason(models.ActionRevoke); why != "" {
		return models.Conflict(why)
	}
	return h.renderRevoke(c, http.StatusOK, key, keys.RevokeProps{})
}

func (h *Handlers) renderRevoke(c echo.Context, status int, key *models.KeyView, p keys.RevokeProps) error {
	var err error
	if p.Page, err = h.projectPage(c, "Revoke "+key.Name, tabKeys); err != nil {
		return err
	}
	p.Root, p.KeyID, p.KeyName = projectPath(&web.Membership(c).Project), key.ID, key.Name
	return web.Render(c, status, keys.Revoke(p))
}

// revokeKey revokes a key if its name was typed.
func (h *Handlers) revokeKey(c echo.Context) error {
	key, err := h.keyOf(c)
	if err != nil {
		return err
	}
	if typed := c.FormValue("confirm"); typed != key.Name {
		return h.renderRevoke(c, http.StatusUnprocessableEntity, key, keys.RevokeProps{
			Typed: typed,
			Error: "This is not the key's name.",
		})
	}
	return h.changeKeyState(models.ActionRevoke)(c)
}
