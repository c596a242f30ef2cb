package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/views/account"
	"github.com/claviger/claviger/web"
)

func (h *Handlers) account(c echo.Context) error {
	return h.renderAccount(c, http.StatusOK, account.Props{})
}

func (h *Handlers) renderAccount(c echo.Context, status int, p account.Props) error {
	var err error
	if p.Page, err = h.page(c, "Account"); err != nil {
		return err
	}
	session, err := h.Sessions.Current(c)
	if err != nil {
		return err
	}
	sessions, err := h.Store.UserSessions(c.Request().Context(), session.UserID)
	if err != nil {
		return err
	}
	p.Now, p.Zone = h.Now(), web.TimeZone(c)
	p.PasswordChangedAt = session.User.PasswordChangedAt
	for _, s := range sessions {
		p.Sessions = append(p.Sessions, account.Session{
			ID: s.ID, Browser: web.DescribeUserAgent(s.UserAgent), UserAgent: s.UserAgent, IP: s.IP,
			CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, Current: s.ID == session.ID,
		})
	}
	return web.Render(c, status, account.Show(p))
}

func (h *Handlers) changePassword(c echo.Context) error {
	session, err := h.Sessions.Current(c)
	if err != nil {
		return err
	}
	// Otherwise an abandoned session could be used to guess the password.
	caller := "password of " + session.User.Email
	if wait := h.accountThrottle.Attempt(caller); wait > 0 {
		return h.renderAccount(c, http.StatusTooManyRequests, account.Props{Message: tooManyAttempts(c, wait)})
	}
	err = h.Store.ChangePassword(c.Request().Context(), h.actor(c),
		c.FormValue("current_password"), c.FormValue("new_password"), h.Sessions.Hash(c))
	if err != nil {
		fields, message, other := web.FieldProblems(err)
		if other != nil {
			return other
		}
		return h.renderAccount(c, http.StatusUnprocessableEntity, account.Props{Errors: fields, Message: message})
	}
	h.accountThrottle.Succeed(caller)
	// A new session id, so that a stolen one becomes invalid together with the old password.
	user, err := h.Store.User(c.Request().Context(), session.UserID)
	if err != nil {
		return err
	}
	notice := web.Notice{Kind: "success", Text: "The password was changed. All other sessions were signed out."}
	if err := h.Sessions.SignIn(c, user, notice); err != nil {
		return err
	}
	return web.Redirect(c, "/account")
}

func (h *Handlers) endSession(c echo.Context) error {
	id, err := web.PathID(c, "session", "session")
	if err != nil {
		return err
	}
	if err := h.Store.EndSession(c.Request().Context(), h.actor(c).ID, id); err != nil {
		return err
	}
	if err := h.Sessions.Notify(c, "success", "The session was signed out."); err != nil {
		return err
	}
	return web.Redirect(c, "/account")
}

func (h *Handlers) endAllSessions(c echo.Context) error {
	if err := h.Store.EndAllSessions(c.Request().Context(), h.actor(c)); err != nil {
		return err
	}
	if err := h.Sessions.SignOut(c); err != nil {
		return err
	}
	return web.Redirect(c, "/signin")
}
