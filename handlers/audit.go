package handlers

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/views/audit"
	"github.com/claviger/claviger/views/layout"
	"github.com/claviger/claviger/views/ui"
	"github.com/claviger/claviger/web"
)

const (
	auditRowsPerPage = 50
	// maxAuditSearch is the length of the longest name in the log.
	maxAuditSearch = 254
)

type actionOption struct{ value, label string }

// projectActions are the actions that the filter of a project offers. One without a dot stands for all with that
// prefix.
var projectActions = []actionOption{
	{"key.create", "Key created"},
	{"key.edit", "Key edited"},
	{"key.activate", "Key activated"},
	{"key.deactivate", "Key deactivated"},
	{"key.rotate", "Key rotated"},
	{"key.end_version", "End of a key version changed"},
	{"key.revoke", "Key revoked"},
	{"key.delete", "Key deleted"},
	{"category", "Categories"},
	{"service_token", "Service tokens"},
	{"address_block", "Blocked addresses"},
	{"project", "Project, with settings and plan"},
}

// instanceActions are the actions that the filter of the instance offers.
var instanceActions = []actionOption{{"account", "Accounts"}, {"plan", "Plans"}}

// actionVerbs has the words for the last part of an action. The kind of the object follows them.
var actionVerbs = map[string]string{
	"create":          "created",
	"edit":            "edited",
	"activate":        "activated",
	"deactivate":      "deactivated",
	"revoke":          "revoked",
	"delete":          "deleted",
	"lift":            "lifted",
	"rotate":          "rotated",
	"end_version":     "changed the end of a version of",
	"rename":          "renamed",
	"merge":           "merged",
	"change_plan":     "changed the plan of",
	"change_slug":     "changed the slug of",
	"set_default":     "set as default the",
	"change_password": "changed the password of",
	"end_sessions":    "ended all sessions of the",
}

var actorKinds = map[models.ActorKind]string{
	models.ActorServiceToken: "service token", models.ActorKey: "key itself", models.ActorSystem: "system",
}

// auditQuery is the filter of the audit log as the URL has it.
type auditQuery struct {
	actor, action, object, timeRange string
	before                           int64
}

func readAuditQuery(c echo.Context) auditQuery {
	q := c.QueryParams()
	text := func(name string) string { return models.LogText(strings.TrimSpace(q.Get(name)), maxAuditSearch) }
	query := auditQuery{
		actor: text("actor"), action: text("action"), object: text("object"), timeRange: text("range"),
	}
	query.before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	return query
}

// values returns the parameters of the filter without the cursor.
func (q auditQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"actor":  q.actor,
		"action": q.action,
		"object": q.object,
		"range":  q.timeRange,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func (q auditQuery) filter(now time.Time, limit int) models.AuditFilter {
	return models.AuditFilter{
		Actor:  q.actor,
		Action: q.action,
		Object: q.object,
		From:   web.RangeStart(q.timeRange, now),
		Before: q.before,
		Limit:  limit,
	}
}

// auditLog is the audit log of a route: that of a project or of the instance.
type auditLog struct {
	chain   int64
	root    string // path of the project, or of the instance's pages
	name    string // for file names
	actions []actionOption
	page    func(c echo.Context, title, tab string) (layout.PageProps, error)
}

func (h *Handlers) auditLog(c echo.Context) auditLog {
	if c.Param("project") == "" {
		return auditLog{models.InstanceChain, adminRoot, "instance", instanceActions, h.adminPage}
	}
	m := web.Membership(c)
	return auditLog{m.ID, projectPath(&m.Project), m.Slug, projectActions, h.projectPage}
}

// auditRows is the page of the audit log of a project or of the instance.
func (h *Handlers) auditRows(c echo.Context) error {
	log, q := h.auditLog(c), readAuditQuery(c)
	rows, more, err := h.Store.AuditRows(c.Request().Context(), log.chain, q.filter(h.Now(), auditRowsPerPage))
	if err != nil {
		return err
	}
	root := log.root
	p := audit.ListProps{
		Root: root, Now: h.Now(), Zone: web.TimeZone(c), Filtered: len(q.values()) > 0,
		CSVHref: withQuery(root+"/audit.csv", q.values()),
		Actor:   q.actor,
		Action:  q.action,
		Object:  q.object,
		Range:   q.timeRange,
		Actions: []ui.Option{{Label: "Any action"}},
		Ranges:  []ui.Option{{Label: "Any time"}},
	}
	for _, a := range log.actions {
		p.Actions = append(p.Actions, ui.Option{Value: a.value, Label: a.label})
	}
	for _, r := range web.TimeRanges {
		p.Ranges = append(p.Ranges, ui.Option{Value: r.Value, Label: r.Label})
	}
	for i := range rows {
		p.Entries = append(p.Entries, auditEntry(root, &rows[i]))
	}
	if q.before > 0 {
		// The newest rows, not the previous page: the Back button of the browser leads there.
		p.NewestHref = withQuery(root+"/audit", q.values())
	}
	if more {
		v := q.values()
		v.Set("before", strconv.FormatInt(rows[len(rows)-1].Seq, 10))
		p.OlderHref = withQuery(root+"/audit", v)
	}
	if p.Page, err = log.page(c, "Audit log", tabAudit); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, audit.List(p))
}

// auditRow is the page of one change.
func (h *Handlers) auditRow(c echo.Context) error {
	log := h.auditLog(c)
	seq, err := web.PathID(c, "seq", "change")
	if err != nil {
		return err
	}
	row, err := h.Store.AuditRow(c.Request().Context(), log.chain, seq)
	if err != nil {
		return err
	}
	p := audit.ShowProps{
		Root:   log.root,
		Now:    h.Now(),
		Zone:   web.TimeZone(c),
		Entry:  auditEntry(log.root, row),
		Row:    strconv.FormatInt(row.Seq, 10),
		Action: row.Action,
	}
	before, after := readSnapshot(row.Before), readSnapshot(row.After)
	p.New, p.Gone = len(before) == 0, len(after) == 0
	for _, name := range fieldNames(before, after) {
		field := audit.Field{Name: name, Before: fieldValue(before, name), After: fieldValue(after, name)}
		if !field.Before.Absent || !field.After.Absent { // otherwise it is a field of a new object that was left empty
			p.Fields = append(p.Fields, field)
		}
	}
	if p.Page, err = log.page(c, "Change "+p.Row, tabAudit); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, audit.Show(p))
}

func auditEntry(root string, row *models.AuditRow) audit.Entry {
	e := audit.Entry{
		Href:      root + "/audit/" + strconv.FormatInt(row.Seq, 10),
		At:        row.At,
		Actor:     row.ActorName,
		ActorKind: actorKinds[row.ActorKind],
		Action:    actionInWords(row),
		Object:    row.ObjectName,
		IP:        row.IP,
	}
	if strings.HasSuffix(row.Action, ".edit") {
		e.Fields = fieldNames(readSnapshot(row.Before), readSnapshot(row.After))
	}
	return e
}

// actionInWords returns what was done to which kind of object, such as "rotated key". An unknown action is returned
// as it is stored.
func actionInWords(row *models.AuditRow) string {
	_, last, _ := strings.Cut(row.Action, ".")
	verb, known := actionVerbs[last]
	if !known {
		verb = row.Action
	}
	return verb + " " + strings.ReplaceAll(row.ObjectKind, "_", " ")
}

// readSnapshot reads an audit snapshot. Text that is not a JSON object has no fields. The program never writes such
// text; audit verify finds the damage.
func readSnapshot(text string) map[string]json.RawMessage {
	var snapshot map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &snapshot) != nil {
		return nil
	}
	return snapshot
}

// fieldNames returns the names of the fields of both snapshots, sorted.
func fieldNames(before, after map[string]json.RawMessage) []string {
	names := map[string]bool{}
	for _, snapshot := range []map[string]json.RawMessage{before, after} {
		for name := range snapshot {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// fieldValue returns the value of a field for display: text without quotes, times as such, lists with commas.
func fieldValue(snapshot map[string]json.RawMessage, name string) audit.Value {
	raw, present := snapshot[name]
	if !present || string(raw) == "null" {
		return audit.Value{Absent: true}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil && strings.HasSuffix(name, "_at") {
			return audit.Value{At: at}
		}
		return audit.Value{Text: text, Absent: text == ""}
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return audit.Value{Text: strings.Join(list, ", "), Absent: len(list) == 0}
	}
	switch string(raw) {
	case "true":
		return audit.Value{Text: "yes"}
	case "false":
		return audit.Value{Text: "no"}
	}
	return audit.Value{Text: string(raw)}
}
