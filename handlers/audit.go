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
	actionsPerPage = 50
	// maxActionSearch is longer than any name in the log.
	maxActionSearch = 254
)

type actionChoice struct{ value, label string }

// actionChoices are the kinds of changes that the filter offers. One without a dot stands for all that begin with it.
var actionChoices = []actionChoice{
	{"key.create", "Key created"},
	{"key.edit", "Key edited"},
	{"key.activate", "Key activated"},
	{"key.deactivate", "Key deactivated"},
	{"key.rotate", "Key rotated"},
	{"key.end_version", "End of a key's version moved"},
	{"key.revoke", "Key revoked"},
	{"key.delete", "Key deleted"},
	{"category", "Categories"},
	{"service_token", "Service tokens"},
	{"address_block", "Blocked addresses"},
	{"project", "Project and its plan"},
}

// instanceActionChoices are [actionChoices] for what concerns no project.
var instanceActionChoices = []actionChoice{{"account", "Accounts"}, {"plan", "Plans"}}

// actionVerbs say the last part of an action in words; the kind of the object follows.
var actionVerbs = map[string]string{
	"create":          "created",
	"edit":            "edited",
	"activate":        "activated",
	"deactivate":      "deactivated",
	"revoke":          "revoked",
	"delete":          "deleted",
	"lift":            "lifted",
	"rotate":          "rotated",
	"end_version":     "moved the end of a version of",
	"rename":          "renamed",
	"merge":           "merged",
	"change_plan":     "changed the plan of",
	"change_slug":     "changed the slug of",
	"set_default":     "chose for new projects the",
	"change_password": "changed the password of",
	"end_sessions":    "signed out everywhere the",
}

var actorKinds = map[models.ActorKind]string{
	models.ActorServiceToken: "service token", models.ActorKey: "key itself", models.ActorSystem: "system",
}

// actionQuery is the audit log's filter as the URL holds it.
type actionQuery struct {
	actor, action, object, span string
	before                      int64
}

func readActionQuery(c echo.Context) actionQuery {
	q := c.QueryParams()
	text := func(name string) string { return models.LogText(strings.TrimSpace(q.Get(name)), maxActionSearch) }
	query := actionQuery{actor: text("actor"), action: text("action"), object: text("object"), span: text("range")}
	query.before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	return query
}

// values are the filter's parameters without the cursor.
func (q actionQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"actor":  q.actor,
		"action": q.action,
		"object": q.object,
		"range":  q.span,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func (q actionQuery) filter(now time.Time, limit int) models.AuditFilter {
	return models.AuditFilter{
		Actor:  q.actor,
		Action: q.action,
		Object: q.object,
		From:   web.RangeStart(q.span, now),
		Before: q.before,
		Limit:  limit,
	}
}

// actionLog is the one that a route speaks of: a project's, or the instance's own.
type actionLog struct {
	chain   int64
	root    string // path of the project, or of the instance's pages
	name    string // for files
	choices []actionChoice
	page    func(c echo.Context, title, tab string) (layout.PageProps, error)
}

func (h *Handlers) actionLog(c echo.Context) actionLog {
	if c.Param("project") == "" {
		return actionLog{models.InstanceChain, adminRoot, "instance", instanceActionChoices, h.adminPage}
	}
	m := web.Membership(c)
	return actionLog{m.ID, projectPath(&m.Project), m.Slug, actionChoices, h.projectPage}
}

// actions is the page of what was changed in a project, or in the instance.
func (h *Handlers) actions(c echo.Context) error {
	log, q := h.actionLog(c), readActionQuery(c)
	rows, more, err := h.Store.AuditRows(c.Request().Context(), log.chain, q.filter(h.Now(), actionsPerPage))
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
		Range:   q.span,
		Actions: []ui.Option{{Label: "Anything"}},
		Ranges:  []ui.Option{{Label: "Any time"}},
	}
	for _, a := range log.choices {
		p.Actions = append(p.Actions, ui.Option{Value: a.value, Label: a.label})
	}
	for _, r := range web.TimeRanges {
		p.Ranges = append(p.Ranges, ui.Option{Value: r.Value, Label: r.Label})
	}
	for i := range rows {
		p.Entries = append(p.Entries, actionEntry(root, &rows[i]))
	}
	if q.before > 0 {
		// to the newest: the browser's way back leads to the page before
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

// action is the page of one change.
func (h *Handlers) action(c echo.Context) error {
	log := h.actionLog(c)
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
		Entry:  actionEntry(log.root, row),
		Row:    strconv.FormatInt(row.Seq, 10),
		Action: row.Action,
	}
	before, after := readFacts(row.Before), readFacts(row.After)
	p.New, p.Gone = len(before) == 0, len(after) == 0
	for _, name := range factNames(before, after) {
		field := audit.Field{Name: name, Before: factValue(before, name), After: factValue(after, name)}
		if !field.Before.Absent || !field.After.Absent { // of something new, what was left empty
			p.Fields = append(p.Fields, field)
		}
	}
	if p.Page, err = log.page(c, "Change "+p.Row, tabAudit); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, audit.Show(p))
}

func actionEntry(root string, row *models.AuditRow) audit.Entry {
	e := audit.Entry{
		Href:      root + "/audit/" + strconv.FormatInt(row.Seq, 10),
		At:        row.At,
		Actor:     row.ActorName,
		ActorKind: actorKinds[row.ActorKind],
		Act:       actInWords(row),
		Object:    row.ObjectName,
		IP:        row.IP,
	}
	if strings.HasSuffix(row.Action, ".edit") {
		e.Fields = factNames(readFacts(row.Before), readFacts(row.After))
	}
	return e
}

// actInWords says what was done to what kind of thing; its name follows. An act without a word is named as it is
// stored.
func actInWords(row *models.AuditRow) string {
	_, last, _ := strings.Cut(row.Action, ".")
	verb, known := actionVerbs[last]
	if !known {
		verb = row.Action
	}
	return verb + " " + strings.ReplaceAll(row.ObjectKind, "_", " ")
}

// readFacts reads what a row keeps of an object. Text that is no JSON object, which the program never writes, has no
// fields: audit verify finds such damage.
func readFacts(text string) map[string]json.RawMessage {
	var facts map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &facts) != nil {
		return nil
	}
	return facts
}

func factNames(before, after map[string]json.RawMessage) []string {
	names := map[string]bool{}
	for _, facts := range []map[string]json.RawMessage{before, after} {
		for name := range facts {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// factValue says a value in words: texts without quotes, moments as such, lists with commas.
func factValue(facts map[string]json.RawMessage, name string) audit.Value {
	raw, present := facts[name]
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
