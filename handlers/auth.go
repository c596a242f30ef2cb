package handlers

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/auth"
	"github.com/claviger/claviger/web"
)

// home redirects to the projects, to the sign-in page, or, if there is no account yet, to the sign-up page.
func (h *Handlers) home(c echo.Context) error {
	session, err := h.Sessions.Current(c)
	if err != nil {
		return err
	}
	if session != nil {
		return web.Redirect(c, "/projects")
	}
	exist, err := h.Store.HasUsers(c.Request().Context())
	if err != nil {
		return err
	}
	if !exist {
		return web.Redirect(c, "/signup")
	}
	return web.Redirect(c, "/signin")
}

func (h *Handlers) signUpForm(c echo.Context) error {
	return h.renderSignUp(c, http.StatusOK, auth.SignUpProps{})
}

func (h *Handlers) renderSignUp(c echo.Context, status int, p auth.SignUpProps) error {
	ctx := c.Request().Context()
	exist, err := h.Store.HasUsers(ctx)
	if err != nil {
		return err
	}
	if p.Open, err = h.Store.MaySignUp(ctx, h.Signup); err != nil {
		return err
	}
	p.First, p.Version = !exist, h.Version
	return web.Render(c, status, auth.SignUp(p))
}

func (h *Handlers) signUp(c echo.Context) error {
	p := auth.SignUpProps{Email: c.FormValue("email")}
	// Hashing a password is expensive, and anybody can cause it, so sign-ups of one address are slowed down like
	// failures.
	if wait := h.addressThrottle.Attempt("signup " + networkText(c.RealIP())); wait > 0 {
		p.Message = tooManyAttempts(c, wait)
		return h.renderSignUp(c, http.StatusTooManyRequests, p)
	}
	user, err := h.Store.SignUp(c.Request().Context(), h.Signup, p.Email, c.FormValue("password"), c.RealIP())
	if err != nil {
		var other error
		if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderSignUp(c, http.StatusUnprocessableEntity, p)
	}
	if err := h.Sessions.SignIn(c, user); err != nil {
		return err
	}
	return web.Redirect(c, "/projects")
}

func (h *Handlers) signInForm(c echo.Context) error {
	session, err := h.Sessions.Current(c)
	if err != nil {
		return err
	}
	if session != nil {
		return web.Redirect(c, web.SafeNext(c.QueryParam("next"), "/projects"))
	}
	return h.renderSignIn(c, http.StatusOK, auth.SignInProps{Next: c.QueryParam("next")})
}

func (h *Handlers) renderSignIn(c echo.Context, status int, p auth.SignInProps) error {
	var err error
	p.Version = h.Version
	if p.SignUp, err = h.Store.MaySignUp(c.Request().Context(), h.Signup); err != nil {
		return err
	}
	return web.Render(c, status, auth.SignIn(p))
}

func (h *Handlers) signIn(c echo.Context) error {
	p := auth.SignInProps{Email: c.FormValue("email"), Next: c.FormValue("next")}
	account, _ := models.NormalizeEmail(p.Email)
	address := "signin " + networkText(c.RealIP())
	if wait := max(h.addressThrottle.Attempt(address), h.accountThrottle.Attempt(account)); wait > 0 {
		p.Message = tooManyAttempts(c, wait)
		return h.renderSignIn(c, http.StatusTooManyRequests, p)
	}
	user, err := h.Store.SignIn(c.Request().Context(), p.Email, c.FormValue("password"))
	if err != nil {
		var known *models.Error
		if !errors.As(err, &known) {
			return err
		}
		p.Message = known.Message
		return h.renderSignIn(c, http.StatusUnprocessableEntity, p)
	}
	h.addressThrottle.Succeed(address)
	h.accountThrottle.Succeed(account)
	if err := h.Sessions.SignIn(c, user); err != nil {
		return err
	}
	return web.Redirect(c, web.SafeNext(p.Next, "/projects"))
}

// tooManyAttempts sets Retry-After and returns a message that says how long to wait.
func tooManyAttempts(c echo.Context, wait time.Duration) string {
	seconds := web.SecondsUp(wait)
	c.Response().Header().Set(echo.HeaderRetryAfter, fmt.Sprint(seconds))
	if seconds >= 120 {
		return fmt.Sprintf("Too many attempts. Try again in %d minutes.", int(math.Ceil(wait.Minutes())))
	}
	return fmt.Sprintf("Too many attempts. Try again in %d seconds.", seconds)
}

func (h *Handlers) signOut(c echo.Context) error {
	if err := h.Sessions.SignOut(c); err != nil {
		return err
	}
	return web.Redirect(c, "/signin")
}
