package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/web"
)

// The headers of a verdict. They and the body are written without net/http's map and without reflection, because
// validate is called for every request of every consumer.
const (
	headerProject   = "X-Claviger-Project"
	headerKeyID     = "X-Claviger-Key-Id"
	headerKeyName   = "X-Claviger-Key-Name"
	headerKeyType   = "X-Claviger-Key-Type"
	headerCategory  = "X-Claviger-Category"
	headerVersion   = "X-API-Key-Version"
	headerSunset    = "Sunset" // RFC 8594
	headerRetry     = "Retry-After"
	headerPolicy    = "RateLimit-Policy" // IETF draft ratelimit-headers
	headerLimit     = "RateLimit"
	headerXLimit    = "X-RateLimit-Limit"
	headerXLeft     = "X-RateLimit-Remaining"
	headerXReset    = "X-RateLimit-Reset"
	neverRetryAfter = 24 * time.Hour // for a total quota that is used up; it may be raised
)

// rejectedReply is the body of a reply without a verdict: to a malformed request, or if the check failed.
type rejectedReply struct {
	Valid     bool              `json:"valid"`
	Error     string            `json:"error"`
	Code      requestlog.Code   `json:"code"`
	RequestID string            `json:"request_id"`
	Fields    map[string]string `json:"fields,omitempty"`
}

var replies = sync.Pool{New: func() any { return new(reply) }}

// reply is a reusable buffer for a reply of validate. Its lines are for [web.AddHeaderLines]: every value is safe in a
// header, because of the rules for it or because it is escaped.
type reply struct{ lines, body []byte }

func (b *reply) begin(name string) { b.lines = append(append(b.lines, name...), ": "...) }
func (b *reply) end()              { b.lines = append(b.lines, "\r\n"...) }

func (b *reply) number(name string, n int64) {
	b.begin(name)
	b.lines = strconv.AppendInt(b.lines, n, 10)
	b.end()
}

func (b *reply) word(name, value string) {
	b.begin(name)
	b.lines = append(b.lines, value...)
	b.end()
}

// sendVerdict answers with a verdict: product.md, section 3. project is nil if it is unknown.
func sendVerdict(c echo.Context, v *gate.Verdict, project *gate.Project, explain bool) error {
	b := replies.Get().(*reply)
	defer replies.Put(b)
	b.lines = append(b.lines[:0], "Cache-Control: no-store\r\n"+echo.HeaderXRequestID+": "...)
	b.lines = v.RequestID.AppendTo(b.lines)
	b.end()
	if project != nil {
		b.word(headerProject, project.Slug)
	}
	if v.NamesKey() {
		b.addKey(&v.Key)
	}
	if v.LimitCount > 0 {
		b.word(headerPolicy, project.LimitPolicies())
		b.addLimits(v)
	}
	if v.Code == requestlog.CodeRateLimited || v.Code.IsQuota() || v.Code == requestlog.CodeIPBlocked {
		wait := neverRetryAfter
		if !v.Retry.IsZero() {
			wait = v.Retry.Sub(v.At)
		}
		b.number(headerRetry, web.SecondsUp(wait))
	}
	b.makeBody(v, explain)
	web.AddHeaderLines(c, b.lines)
	c.Response().Header()[echo.HeaderContentType] = jsonContentType
	c.Response().WriteHeader(v.Status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err := c.Response().Write(b.body)
	return err
}

var jsonContentType = []string{echo.MIMEApplicationJSON}

// addKey adds headers about the key, which a gateway can pass on to the app.
func (b *reply) addKey(k *models.GateKey) {
	b.number(headerKeyID, k.KeyID)
	b.number(headerVersion, int64(k.Version))
	b.word(headerKeyName, k.Name)
	b.word(headerKeyType, string(k.Type))
	b.word(headerCategory, url.PathEscape(k.Category)) // may contain any character
	if !k.VersionEndsAt.IsZero() {
		b.word(headerSunset, k.VersionEndsAt.UTC().Format(http.TimeFormat)) // of a replaced version: when it ends
	}
}

// addLimits adds headers about the plan's limits: all of them in the form of the IETF draft, and the one of which the
// smallest part is left in the older form.
func (b *reply) addLimits(v *gate.Verdict) {
	tightest := &v.Limits[0]
	b.begin(headerLimit)
	text := b.lines
	for i := range v.Limits[:v.LimitCount] {
		l := &v.Limits[i]
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, '"')
		text = append(text, l.Policy...)
		text = append(text, `";r=`...)
		text = strconv.AppendUint(text, uint64(l.Remaining), 10)
		text = append(text, ";t="...)
		text = strconv.AppendInt(text, untilReset(l, v.At), 10)
		// The one of which the smallest part is left. If two are equal, the one that resets last, as in Retry-After.
		mine, other := uint64(l.Remaining)*uint64(tightest.Limit), uint64(tightest.Remaining)*uint64(l.Limit)
		if mine < other || mine == other && l.Resets.After(tightest.Resets) {
			tightest = l
		}
	}
	b.lines = text
	b.end()
	b.number(headerXLimit, int64(tightest.Limit))
	b.number(headerXLeft, int64(tightest.Remaining))
	b.number(headerXReset, untilReset(tightest, v.At))
}

func untilReset(l *gate.LimitState, now time.Time) int64 {
	if !l.Resets.After(now) {
		return 0
	}
	return web.SecondsUp(l.Resets.Sub(now))
}

func (b *reply) makeBody(v *gate.Verdict, explain bool) {
	text := append(b.body[:0], `{"valid":`...)
	text = strconv.AppendBool(text, v.Code == requestlog.CodeValid)
	if v.Code != requestlog.CodeValid {
		text = append(text, `,"error":`...)
		text = appendJSONString(text, verdictMessage(v))
	}
	text = append(text, `,"code":"`...)
	text = append(text, v.Code...)
	text = append(text, `","request_id":"`...)
	text = v.RequestID.AppendTo(text)
	text = append(text, '"')
	if v.Code == requestlog.CodeValid {
		text = append(text, `,"key":`...)
		text = appendKey(text, &v.Key)
	}
	if v.Code == requestlog.CodeValid || v.Code.IsQuota() {
		text = append(text, `,"quotas":`...)
		text = appendQuotas(text, &v.Quotas)
	}
	if v.Code == requestlog.CodeValid {
		text = append(text, `,"credits":`...)
		text = strconv.AppendInt(text, v.Credits, 10)
	}
	if explain {
		if outcomes := gate.Explain(v); outcomes != nil {
			checks, _ := json.Marshal(outcomes) // strings only: cannot fail
			text = append(append(text, `,"checks":`...), checks...)
		}
	}
	b.body = append(text, "}\n"...)
}

// verdictMessage returns the error text of a verdict. For a limit it says whether it is per second or per minute.
func verdictMessage(v *gate.Verdict) string {
	if v.Code == requestlog.CodeRateLimited {
		if v.Limit == time.Minute {
			return "You exceeded the per-minute rate limit on your subscription"
		}
		return "You exceeded the per-second rate limit on your subscription"
	}
	return v.Code.Message()
}

func appendKey(text []byte, k *models.GateKey) []byte {
	text = append(text, `{"id":`...)
	text = strconv.AppendInt(text, k.KeyID, 10)
	text = append(text, `,"name":"`...)
	text = append(text, k.Name...) // letters, digits and _
	text = append(text, `","type":"`...)
	text = append(text, k.Type...)
	text = append(text, `","category":`...)
	text = appendJSONString(text, k.Category)
	text = append(text, `,"version":`...)
	text = strconv.AppendInt(text, int64(k.Version), 10)
	text = append(text, `,"expires_at":`...)
	return append(appendTime(text, k.ExpiresAt), '}')
}

func appendQuotas(text []byte, quotas *[models.QuotaCount]gate.QuotaState) []byte {
	text = append(text, '{')
	first := true
	var resets []byte // the text of last, reused because most quotas have the same resets_at
	var last time.Time
	for i := range quotas {
		q := &quotas[i]
		if q.Limit == 0 {
			continue
		}
		if !first {
			text = append(text, ',')
		}
		text = append(text, '"')
		text = append(text, models.Quota(i).String()...)
		text = append(text, `":{"limit":`...)
		text = strconv.AppendInt(text, q.Limit, 10)
		text = append(text, `,"remaining":`...)
		text = strconv.AppendInt(text, q.Remaining, 10)
		text = append(text, `,"resets_at":`...)
		if begin := len(text); resets != nil && q.Resets.Equal(last) {
			text = append(text, resets...)
		} else {
			text = appendTime(text, q.Resets)
			resets, last = text[begin:len(text):len(text)], q.Resets
		}
		text = append(text, '}')
		first = false
	}
	return append(text, '}')
}

// appendTime appends a time in RFC 3339 format and UTC, or null for the zero time.
func appendTime(text []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(text, "null"...)
	}
	text = append(text, '"')
	// RFC3339Nano has a fast path in package time.
	text = t.UTC().Truncate(time.Millisecond).AppendFormat(text, time.RFC3339Nano)
	return append(text, '"')
}

// appendJSONString appends a JSON string. A text without special characters, which nearly all are, is copied.
func appendJSONString(text []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // cannot fail for a string
			return append(text, quoted...)
		}
	}
	text = append(text, '"')
	text = append(text, s...)
	return append(text, '"')
}
