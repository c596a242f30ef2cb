package api

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

const (
	maxValidateBody = 16 << 10
	maxCredits      = 1_000_000_000
)

// validateBody is the JSON body of validate. Most fields can be sent in a header too: see claimed for which one counts.
type validateBody struct {
	Key         string `json:"key"`
	Method      string `json:"method"`
	Path        string `json:"path"`
	IP          string `json:"ip"`
	Session     string `json:"session"`
	Platform    string `json:"platform"`
	BundleID    string `json:"bundle_id"`
	Attestation string `json:"attestation"`
	Credits     *int64 `json:"credits"`
	DryRun      bool   `json:"dry_run"`
	Explain     bool   `json:"explain"`
}

// validate answers whether a request with a key may pass: product.md, section 3.
func (a *API) validate(c echo.Context) error {
	started := a.Now()
	defer func() { a.Durations.Observe(a.Now().Sub(started).Seconds()) }()
	r, id := c.Request(), a.IDs.Next()
	// The body is read first: it may arrive late, and the checks must use the state at that time.
	var body validateBody
	unread := web.DecodeJSON(c.Response(), r, maxValidateBody, &body)
	project, err := a.Gate.Project(r.Context(), c.Param("project"))
	if err != nil {
		return a.noVerdict(c, id, err)
	}
	if project == nil {
		verdict := a.Gate.UnknownProject(id)
		return sendVerdict(c, &verdict, nil, false)
	}
	if unread != nil {
		return a.noVerdict(c, id, unread)
	}
	if fields := body.problems(); len(fields) > 0 {
		return a.noVerdict(c, id, badValues(fields))
	}
	key, token := credentials(r.Header, body.Key)
	fromProxy := web.FromProxy(r.RemoteAddr, a.TrustedProxies)
	ip, claim := c.RealIP(), gate.Origin{}
	if token != "" || fromProxy { // claims of other callers are ignored
		claim = a.claimed(r, &body, token != "", fromProxy)
	}
	verdict, err := a.Gate.Check(r.Context(), &gate.Request{
		ID: id, IDs: a.IDs, Started: started, Project: project, Key: key, Token: token,
		Peer: gate.Origin{IP: ip, Method: r.Method, Path: r.URL.EscapedPath(),
			Proxy: web.IsProxy(ip, a.TrustedProxies)},
		Claimed: claim,
		Credits: body.Credits,
		Session: cmp.Or(body.Session, headerValue(r.Header, "X-Session-Id")),
		App: models.ClientApp{
			Platform: cmp.Or(body.Platform, strings.ToLower(headerValue(r.Header, "X-Platform"))),
			BundleID: cmp.Or(body.BundleID, headerValue(r.Header, "X-Bundle-Id")),
		},
		FromProxy: fromProxy, DryRun: body.DryRun, NeedToken: body.DryRun || body.Explain,
	})
	if err != nil {
		return a.noVerdict(c, verdict.RequestID, err)
	}
	return sendVerdict(c, &verdict, project, body.Explain)
}

// noVerdict answers a request that is malformed, or that could not be checked because of an error.
func (a *API) noVerdict(c echo.Context, id requestlog.ID, err error) error {
	web.SetRequestID(c, id)
	p := web.Explain(c, err)
	if p.Status >= 500 {
		// otherwise the caller has gone, which is not an error of the server
		if c.Request().Context().Err() != context.Canceled {
			a.Log.Error("validate failed", "request_id", p.RequestID, "error", err)
		}
		p.Code = requestlog.CodeUnavailable
		p.Status, p.Message = p.Code.Status(), p.Code.Message()
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	a.Gate.NoVerdict(p.Code)
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(p.Status, rejectedReply{Error: p.Message, Code: p.Code, RequestID: p.RequestID, Fields: p.Fields})
}

// badValues is the error of a body with values of the right type that are not allowed.
func badValues(fields map[string]string) error {
	return &models.Error{
		Code: requestlog.CodeBadRequest, Message: "The body has a value that is not allowed", Fields: fields,
	}
}

// problems returns messages about values that have the right type and are not allowed.
func (b *validateBody) problems() (fields map[string]string) {
	wrong := func(field, problem string) {
		if fields == nil {
			fields = map[string]string{}
		}
		fields[field] = problem
	}
	if b.IP != "" {
		if _, err := netip.ParseAddr(b.IP); err != nil {
			wrong("ip", "must be an IP address")
		}
	}
	if b.Platform != "" && b.Platform != "ios" && b.Platform != "android" {
		wrong("platform", "must be ios or android")
	}
	if b.Credits != nil && (*b.Credits < 0 || *b.Credits > maxCredits) {
		wrong("credits", "must be from 0 to "+strconv.Itoa(maxCredits))
	}
	return fields
}

// credentials returns the consumer's key and the caller's service token. A bearer credential with the form of a service
// token is one; any other is the key, unless X-API-Key has it.
func credentials(header http.Header, inBody string) (key, token string) {
	key = strings.TrimSpace(headerValue(header, "X-Api-Key"))
	if bearer := web.Bearer(header); bearer != "" {
		if models.LooksLikeServiceToken(bearer) {
			token = bearer
		} else if key == "" {
			key = bearer
		}
	}
	return cmp.Or(key, inBody), token
}

// claimed returns what the caller says about the consumer's request. A caller with a service token wrote the body, so
// the body takes precedence over headers. A body that comes through a proxy may be the client's, so the proxy's
// headers take precedence. X-Forwarded-For of a proxy is its own chain and does not name the consumer of a service
// token.
func (a *API) claimed(r *http.Request, body *validateBody, withToken, fromProxy bool) gate.Origin {
	claim := func(inBody, nginx, traefik string) string {
		nginx, traefik = headerValue(r.Header, nginx), headerValue(r.Header, traefik)
		switch {
		case withToken:
			return cmp.Or(inBody, nginx, traefik)
		case nginx != "" && traefik != "" && nginx != traefik:
			return "" // one of them may be the client's
		}
		return cmp.Or(nginx, traefik, inBody)
	}
	origin := gate.Origin{Method: claim(body.Method, "X-Original-Method", "X-Forwarded-Method")}
	origin.Path, _, _ = strings.Cut(claim(body.Path, "X-Original-Uri", "X-Forwarded-Uri"), "?")
	if !fromProxy {
		_, origin.IP = web.Callers(r, nil)
	}
	if addr, err := netip.ParseAddr(body.IP); err == nil {
		origin.IP = web.PlainAddr(addr)
	}
	origin.Proxy = web.IsProxy(origin.IP, a.TrustedProxies)
	return origin
}

// headerValue is a faster http.Header.Get. The name must be in canonical form.
func headerValue(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
