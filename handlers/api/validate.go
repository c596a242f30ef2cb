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

// validateBody is what a caller may say in JSON. Most of it has a header as well: see claimed for what goes first.
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

// validate answers whether a consumer's request may pass: product.md, section 3.
func (a *API) validate(c echo.Context) error {
	started := a.Now()
	defer func() { a.Durations.Observe(a.Now().Sub(started).Seconds()) }()
	r, id := c.Request(), a.IDs.Next()
	// The body first: it may take its time, and what follows goes by what holds then.
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
	if token != "" || fromProxy { // nobody else is believed
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

// noVerdict answers a request that could not be understood, or not be judged.
func (a *API) noVerdict(c echo.Context, id requestlog.ID, err error) error {
	web.SetRequestID(c, id)
	p := web.Explain(c, err)
	if p.Status >= 500 {
		if c.Request().Context().Err() != context.Canceled { // else the caller is gone, which is no fault of ours
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

// badValues is the error of a body that has a value which is of the right type and not allowed.
func badValues(fields map[string]string) error {
	return &models.Error{
		Code: requestlog.CodeBadRequest, Message: "The body has a value that is not allowed", Fields: fields,
	}
}

// problems names the members whose value is of the right type and still cannot be.
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

// credentials finds the consumer's key and the caller's service token. What the Authorization header holds is a token
// where it means to be one, else the key where no other header names it.
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

// claimed is what the caller says of the request behind this one. Who has a service token wrote the body, which goes
// first; from a proxy the body may be the client's, and the proxy's own headers go before it. Through a proxy,
// X-Forwarded-For is the proxy's chain and says nothing of whom the token's owner asks for.
func (a *API) claimed(r *http.Request, body *validateBody, tokened, fromProxy bool) gate.Origin {
	said := func(inBody, nginx, traefik string) string {
		nginx, traefik = headerValue(r.Header, nginx), headerValue(r.Header, traefik)
		switch {
		case tokened:
			return cmp.Or(inBody, nginx, traefik)
		case nginx != "" && traefik != "" && nginx != traefik:
			return "" // one of the two is the proxy's, and the other one came with the client
		}
		return cmp.Or(nginx, traefik, inBody)
	}
	claim := gate.Origin{Method: said(body.Method, "X-Original-Method", "X-Forwarded-Method")}
	claim.Path, _, _ = strings.Cut(said(body.Path, "X-Original-Uri", "X-Forwarded-Uri"), "?")
	if !fromProxy {
		_, claim.IP = web.Callers(r, nil)
	}
	if addr, err := netip.ParseAddr(body.IP); err == nil {
		claim.IP = web.PlainAddr(addr)
	}
	claim.Proxy = web.IsProxy(claim.IP, a.TrustedProxies)
	return claim
}

// headerValue is http.Header.Get for a name in the spelling that net/http keeps it in, at a fraction of the cost.
func headerValue(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
