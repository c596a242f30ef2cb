package handlers

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

const (
	maxValidateBody = 16 << 10
	maxCredits      = 1_000_000_000
)

// validateBody is what a caller may say in JSON. Each has a header as well; the body goes first.
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
}

type admittedReply struct {
	Valid     bool               `json:"valid"`
	Code      models.Code        `json:"code"`
	RequestID string             `json:"request_id"`
	Key       replyKey           `json:"key"`
	Quotas    map[string]*string `json:"quotas"` // none are enforced yet
	Credits   int64              `json:"credits"`
}

type replyKey struct {
	ID        int64          `json:"id"`
	Name      string         `json:"name"`
	Type      models.KeyType `json:"type"`
	Category  string         `json:"category"`
	Version   int            `json:"version"`
	ExpiresAt *time.Time     `json:"expires_at"`
}

type rejectedReply struct {
	Valid     bool              `json:"valid"`
	Error     string            `json:"error"`
	Code      string            `json:"code"`
	RequestID string            `json:"request_id"`
	Fields    map[string]string `json:"fields,omitempty"`
}

// validate answers whether a consumer's request may pass: product.md, section 3.
func (h *Handlers) validate(c echo.Context) error {
	started := h.Now()
	defer func() { h.Durations.Observe(h.Now().Sub(started).Seconds()) }()
	r := c.Request()
	project, err := h.Gate.Project(r.Context(), c.Param("project"))
	if err != nil {
		return h.noVerdict(c, err)
	}
	if project == nil {
		return h.reject(c, models.ProjectUnknown)
	}
	c.Response().Header().Set("X-Claviger-Project", project.Slug)

	var body validateBody
	if err := web.DecodeJSON(c.Response(), r, maxValidateBody, &body); err != nil {
		return h.noVerdict(c, err)
	}
	if fields := body.problems(); len(fields) > 0 {
		return h.noVerdict(c, &models.Error{Code: models.CodeBadRequest, Message: "The body has a value that is not allowed", Fields: fields})
	}
	key, token := credentials(r.Header, body.Key)
	fromProxy := web.FromProxy(r.RemoteAddr, h.TrustedProxies)
	ip, claim := c.RealIP(), claimed(r, &body, fromProxy)
	claim.Proxy = web.IsProxy(claim.IP, h.TrustedProxies)
	verdict, err := h.Gate.Check(r.Context(), gate.Request{
		ID: web.RequestID(c), Started: started, Project: project, Key: key, Token: token,
		Peer:    gate.Origin{IP: ip, Method: r.Method, Path: r.URL.EscapedPath(), Proxy: web.IsProxy(ip, h.TrustedProxies)},
		Claimed: claim,
		Credits: body.Credits,
		Session: cmp.Or(body.Session, r.Header.Get("X-Session-ID")),
		Use: models.Use{
			Platform: cmp.Or(body.Platform, strings.ToLower(r.Header.Get("X-Platform"))),
			BundleID: cmp.Or(body.BundleID, r.Header.Get("X-Bundle-ID")),
		},
		FromProxy: fromProxy,
	})
	if err != nil {
		return h.noVerdict(c, err)
	}
	if verdict.Key != nil {
		setKeyHeaders(c.Response().Header(), verdict.Key)
	}
	if wait := verdict.RetryAfter; wait > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if verdict.Code != models.Valid {
		return h.reject(c, verdict.Code)
	}
	return c.JSON(http.StatusOK, admittedReply{
		Valid: true, Code: verdict.Code, RequestID: verdict.RequestID.String(), Credits: verdict.Credits,
		Quotas: map[string]*string{},
		Key: replyKey{
			ID: verdict.Key.KeyID, Name: verdict.Key.Name, Type: verdict.Key.Type, Category: verdict.Key.Category,
			Version: verdict.Key.Version, ExpiresAt: verdict.Key.ExpiresAt,
		},
	})
}

func (h *Handlers) reject(c echo.Context, code models.Code) error {
	return c.JSON(code.Status(), rejectedReply{
		Error: code.Message(), Code: string(code), RequestID: web.RequestID(c).String(),
	})
}

// noVerdict answers a request that could not be understood, or not be judged.
func (h *Handlers) noVerdict(c echo.Context, err error) error {
	p := web.Explain(c, err)
	if p.Status >= 500 {
		h.Log.Error("validate failed", "request_id", p.RequestID, "error", err)
		p.Status, p.Code, p.Message = http.StatusServiceUnavailable, "unavailable", "Claviger cannot answer at the moment"
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return c.JSON(p.Status, rejectedReply{Error: p.Message, Code: p.Code, RequestID: p.RequestID, Fields: p.Fields})
}

// problems names the members whose value is of the right type and still cannot be.
func (b *validateBody) problems() map[string]string {
	fields := map[string]string{}
	if b.IP != "" {
		if _, err := netip.ParseAddr(b.IP); err != nil {
			fields["ip"] = "must be an IP address"
		}
	}
	if b.Platform != "" && b.Platform != "ios" && b.Platform != "android" {
		fields["platform"] = "must be ios or android"
	}
	if b.Credits != nil && (*b.Credits < 0 || *b.Credits > maxCredits) {
		fields["credits"] = "must be from 0 to " + strconv.Itoa(maxCredits)
	}
	return fields
}

// credentials finds the consumer's key and the caller's service token. What the Authorization header holds is a token
// where it means to be one, else the key where no other header names it.
func credentials(header http.Header, inBody string) (key, token string) {
	key = strings.TrimSpace(header.Get("X-API-Key"))
	scheme, bearer, _ := strings.Cut(header.Get("Authorization"), " ")
	if bearer = strings.TrimSpace(bearer); bearer != "" && strings.EqualFold(scheme, "Bearer") {
		if models.LooksLikeServiceToken(bearer) {
			token = bearer
		} else if key == "" {
			key = bearer
		}
	}
	return cmp.Or(key, inBody), token
}

// claimed is what the caller says of the request behind this one. Whether it is believed is for the gate to decide.
func claimed(r *http.Request, body *validateBody, fromProxy bool) gate.Origin {
	h := r.Header
	uri := cmp.Or(body.Path, h.Get("X-Original-URI"), h.Get("X-Forwarded-Uri"))
	path, _, _ := strings.Cut(uri, "?")
	ip := ""
	if !fromProxy { // of a proxy's own chain, the peer's address is the end already
		ip = web.LastForwardedFor(h.Values("X-Forwarded-For"))
	}
	if addr, err := netip.ParseAddr(body.IP); err == nil {
		ip = addr.Unmap().WithZone("").String()
	}
	return gate.Origin{
		IP: ip, Path: path,
		Method: cmp.Or(body.Method, h.Get("X-Original-Method"), h.Get("X-Forwarded-Method")),
	}
}

// setKeyHeaders names the key for a gateway to hand on to the upstream.
func setKeyHeaders(h http.Header, key *models.GateKey) {
	h.Set("X-API-Key-Version", strconv.Itoa(key.Version))
	if key.VersionEndsAt != nil {
		h.Set("Sunset", key.VersionEndsAt.UTC().Format(http.TimeFormat)) // RFC 8594: replaced, and not valid from then on
	}
	h.Set("X-Claviger-Key-Id", strconv.FormatInt(key.KeyID, 10))
	h.Set("X-Claviger-Key-Name", key.Name)
	h.Set("X-Claviger-Key-Type", string(key.Type))
	h.Set("X-Claviger-Category", url.PathEscape(key.Category)) // a person typed it: it may hold any character
}
