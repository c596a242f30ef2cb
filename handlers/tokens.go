package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/tokens"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

// scopeHints says in the form what each scope allows.
var scopeHints = map[models.Scope]string{
	models.ScopeValidate:  "Send the address, method, path and credits of the consumer's request with a validate call.",
	models.ScopeReport:    "Report the app's status, time to first byte and credits for logged requests.",
	models.ScopeKeysRead:  "List and read keys, never their secrets.",
	models.ScopeKeysWrite: "Create, change, rotate, revoke and delete keys.",
	models.ScopeLogsRead:  "Read request logs.",
}

func (h *Handlers) tokens(c echo.Context) error {
	m := web.Membership(c)
	list, err := h.Store.ServiceTokens(c.Request().Context(), m.ID)
	if err != nil {
		return err
	}
	p := tokens.ListProps{Root: projectPath(&m.Project), Now: h.Now(), Zone: web.TimeZone(c)}
	if p.Page, err = h.projectPage(c, "Tokens", tabTokens); err != nil {
		return err
	}
	for _, t := range list {
		p.Tokens = append(p.Tokens, tokenItem(&t))
	}
	return web.Render(c, http.StatusOK, tokens.List(p))
}

func tokenItem(t *models.ServiceTokenDetails) tokens.Item {
	item := tokens.Item{
		ID:        t.ID,
		Name:      t.Name,
		Prefix:    t.Prefix + "_" + string(models.SecretService),
		Last4:     t.Last4,
		Scopes:    strings.Fields(t.Scopes),
		CreatedBy: t.CreatorEmail,
		CreatedAt: t.CreatedAt,
	}
	if t.LastUsedAt != nil {
		item.LastUsedAt = *t.LastUsedAt
	}
	if t.RevokedAt != nil {
		item.RevokedAt = *t.RevokedAt
	}
	return item
}

func (h *Handlers) newToken(c echo.Context) error {
	return h.renderTokenForm(c, http.StatusOK, tokens.FormProps{}, []models.Scope{models.ScopeValidate})
}

func (h *Handlers) renderTokenForm(c echo.Context, status int, p tokens.FormProps, chosen []models.Scope) error {
	var err error
	if p.Page, err = h.projectPage(c, "New service token", tabTokens); err != nil {
		return err
	}
	p.Root = projectPath(&web.Membership(c).Project)
	for _, scope := range models.AllScopes {
		p.Scopes = append(p.Scopes, tokens.Scope{
			Name:   string(scope),
			Hint:   scopeHints[scope],
			Chosen: slices.Contains(chosen, scope),
		})
	}
	return web.Render(c, status, tokens.New(p))
}

// createToken answers with a page that shows the secret. No other response has it.
func (h *Handlers) createToken(c echo.Context) error {
	m := web.Membership(c)
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	p := tokens.FormProps{Name: form.Get("name")}
	var scopes []models.Scope
	for _, name := range form["scopes"] {
		scopes = append(scopes, models.Scope(name))
	}
	token, secret, err := h.Store.CreateServiceToken(c.Request().Context(), m.ID, h.actor(c), p.Name, scopes)
	if err != nil {
		var other error
		if p.Errors, p.Message, other = web.FieldProblems(err); other != nil {
			return other
		}
		return h.renderTokenForm(c, http.StatusUnprocessableEntity, p, scopes)
	}
	page, err := h.projectPage(c, token.Name+" created", tabTokens)
	if err != nil {
		return err
	}
	page.ReplaceURL = projectPath(&m.Project) + "/tokens"
	shown := ui.SecretProps{
		Title: "Secret of " + token.Name, Label: "Service token", Secret: secret.Plain(),
		EnvLine: envLine(&m.Project, "SERVICE_TOKEN", secret),
	}
	if token.Has(models.ScopeValidate) {
		shown.Curl = h.trustedCurl(&m.Project, secret.Plain())
	}
	return web.Render(c, http.StatusCreated,
		tokens.Created(tokens.CreatedProps{Page: page, Name: token.Name, ListHref: page.ReplaceURL, Secret: shown}))
}

// trustedCurl returns a command that validates the key in the shell variable API_KEY. With the token it describes the
// consumer's request.
func (h *Handlers) trustedCurl(project *models.Project, token string) string {
	return `curl -H "Authorization: Bearer ` + token + `" \` + "\n" +
		`  -H "Content-Type: application/json" \` + "\n" +
		`  -d '{"key":"'"$API_KEY"'","ip":"203.0.113.7","method":"GET","path":"/orders/42"}' \` + "\n" +
		"  " + h.BaseURL + "/v1/projects/" + project.Slug + "/validate"
}

func (h *Handlers) revokeToken(c echo.Context) error {
	m := web.Membership(c)
	id, err := web.PathID(c, "token", "service token")
	if err != nil {
		return err
	}
	token, err := h.Store.RevokeServiceToken(c.Request().Context(), m.ID, id, h.actor(c))
	if err != nil {
		return err
	}
	text := token.Name + " is revoked: every call with it is rejected from now on."
	if err := h.Sessions.Notify(c, string(ui.KindSuccess), text); err != nil {
		return err
	}
	return web.Redirect(c, projectPath(&m.Project)+"/tokens")
}
