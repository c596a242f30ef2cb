package requestlog_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/internal/testkit/soak"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// logModel is the request log as a plain list.
type logModel struct {
	rows    []requestlog.Row // in the order of ids
	removed map[int64]int64  // by key: admitted requests whose rows are gone
}

func (m *logModel) add(batch []requestlog.Row) {
	m.rows = append(m.rows, batch...)
	slices.SortFunc(m.rows, func(a, b requestlog.Row) int { return cmp.Compare(a.ID, b.ID) })
}

func (m *logModel) list(projectID int64, f models.LogFilter) []requestlog.ID {
	var ids []requestlog.ID
	for _, r := range slices.Backward(m.rows) {
		at := r.ID.Time()
		if r.ProjectID == projectID &&
			(f.KeyID == 0 || r.KeyID == f.KeyID) &&
			(f.Code == "" || r.Code == f.Code) &&
			(f.Category == "" || r.Category == f.Category) &&
			(f.Type == "" || r.Type == string(f.Type)) &&
			(f.StatusClass == 0 || r.Status/100 == f.StatusClass) &&
			(f.Method == "" || r.Method == f.Method) &&
			(f.Path == "" || r.Path == f.Path) &&
			(f.IP == "" || r.IP == f.IP) &&
			(f.From.IsZero() || !at.Before(f.From)) &&
			(f.To.IsZero() || at.Before(f.To)) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// page is what [models.Store.RequestLogs] should give.
func (m *logModel) page(projectID int64, f models.LogFilter) (ids []requestlog.ID, older, newer bool) {
	all := m.list(projectID, f)
	if f.After > 0 && f.Before == 0 {
		n := len(all)
		for n > 0 && all[n-1] <= f.After {
			n--
		}
		first := max(0, n-f.Limit)
		return all[first:n], true, first > 0
	}
	start := 0
	for f.Before > 0 && start < len(all) && all[start] >= f.Before {
		start++
	}
	end := min(len(all), start+f.Limit)
	return all[start:end], end < len(all), f.Before > 0
}

// storageWorld makes random traffic, and holds the store against the model.
type storageWorld struct {
	t        *testing.T
	url      string
	options  app.StoreOptions
	clock    *testkit.Clock
	store    *models.Store
	random   *rand.Rand
	ids      *requestlog.IDs
	projects []*models.Project
	keys     []*models.Key
	model    logModel
	late     []requestlog.Row // not written yet
}

func newStorageWorld(t *testing.T, url string, seed uint64, options app.StoreOptions) *storageWorld {
	w := &storageWorld{
		t:       t,
		url:     url,
		options: options,
		clock:   testkit.NewClock(),
		random:  rand.New(rand.NewPCG(seed, 1)),
	}
	w.model.removed = map[int64]int64{}
	w.store = testkit.OpenStore(t, url, w.clock, nil, w.options)
	user := signUp(t, w.store, "ada@example.com")
	for _, slug := range []string{"one", "two", "three"} {
		project, first, _ := newProject(t, w.store, user, slug)
		w.projects, w.keys = append(w.projects, project), append(w.keys, first)
		for k := range 4 {
			in := keyInput(fmt.Sprint("key_", k))
			if k == 3 {
				in.Type = models.TypeTest
			}
			key, _ := newKey(t, w.store, project, in)
			w.keys = append(w.keys, key)
		}
	}
	w.ids = requestIDs(t, w.store)
	return w
}

func (w *storageWorld) row() requestlog.Row {
	key := w.keys[w.random.IntN(len(w.keys))]
	if w.random.IntN(2) == 0 {
		key = w.keys[0] // one is busy
	}
	code := requestlog.CodeValid
	if w.random.IntN(4) == 0 {
		code = requestlog.LoggedCodes[w.random.IntN(len(requestlog.LoggedCodes))]
	}
	row := logRow(w.ids.Next(), key, code)
	row.Version, row.Category = 1+w.random.IntN(2), models.BuiltInCategories[w.random.IntN(2)]
	row.Path, row.IP = fmt.Sprint("/orders/", w.random.IntN(100)), fmt.Sprint("192.0.2.", w.random.IntN(50))
	row.Method = []string{"GET", "POST"}[w.random.IntN(2)]
	if w.random.IntN(200) == 0 { // values that few rows have
		row.Path, row.IP = fmt.Sprint("/rare/", w.random.IntN(3)), fmt.Sprint("198.51.100.", w.random.IntN(3))
		row.Status, row.Category = 503, models.BuiltInCategories[2]
	}
	if w.random.IntN(3) == 0 {
		row.SessionHash = []byte{byte(w.random.IntN(9)), 1}
	}
	return row
}

// write stores a batch of up to most rows, among them some that are late; now and then twice.
func (w *storageWorld) write(most int) {
	w.t.Helper()
	var batch []requestlog.Row
	if w.random.IntN(4) == 0 {
		batch, w.late = w.late, nil
	}
	for range 1 + w.random.IntN(most) {
		if w.random.IntN(5) == 0 {
			w.clock.Advance(time.Duration(w.random.IntN(2000)) * time.Millisecond)
		}
		if row := w.row(); w.random.IntN(20) == 0 {
			w.late = append(w.late, row)
		} else {
			batch = append(batch, row)
		}
	}
	if len(batch) == 0 {
		return
	}
	w.random.Shuffle(min(5, len(batch)), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	for range 1 + max(0, w.random.IntN(4)-2) {
		if err := w.store.Log().Write(w.t.Context(), batch); err != nil {
			w.t.Fatal(err)
		}
	}
	w.model.add(batch)
}

// complete reports some requests, newest ones mostly, and some that have no row.
func (w *storageWorld) complete() {
	w.t.Helper()
	project := w.projects[w.random.IntN(len(w.projects))].ID
	reports, seen := []requestlog.Report(nil), map[requestlog.ID]bool{}
	var unknown []requestlog.ID
	for range 1 + w.random.IntN(40) {
		i := len(w.model.rows) - 1 - w.random.IntN(min(len(w.model.rows), 300))
		if w.random.IntN(4) == 0 {
			i = w.random.IntN(len(w.model.rows))
		}
		row := &w.model.rows[i]
		report := requestlog.Report{ID: row.ID}
		if w.random.IntN(20) == 0 {
			report.ID ^= 1 << 20 // of a process that there is not
		}
		if seen[report.ID] {
			continue
		}
		seen[report.ID] = true
		if w.random.IntN(2) == 0 {
			report.Status = 100 * (1 + w.random.IntN(5))
		}
		if w.random.IntN(2) == 0 {
			report.TTFBUs = sql.NullInt64{Int64: w.random.Int64N(1e6), Valid: true}
		}
		if w.random.IntN(2) == 0 {
			report.Credits = sql.NullInt64{Int64: w.random.Int64N(9), Valid: true}
		}
		reports = append(reports, report)
		if row.ProjectID != project || report.ID != row.ID {
			unknown = append(unknown, report.ID)
			continue
		}
		row.Status = cmp.Or(report.Status, row.Status)
		if report.TTFBUs.Valid {
			row.TTFBUs = report.TTFBUs
		}
		if report.Credits.Valid {
			row.Credits = report.Credits.Int64
		}
	}
	for range 1 + w.random.IntN(2) {
		missing, err := w.store.Log().Complete(w.t.Context(), project, reports)
		slices.Sort(unknown)
		if err != nil || !slices.Equal(missing, unknown) {
			w.t.Fatalf("of %d reports %d have no row, want %d (%v)", len(reports), len(missing), len(unknown), err)
		}
	}
}

// compareCredits holds the counts by minute against the rows.
func (w *storageWorld) compareCredits(what string) {
	w.t.Helper()
	db := openPast(w.t, w.url)
	defer db.Close()
	type group struct {
		project, minute int64
		code            requestlog.Code
	}
	want, got := map[group]int64{}, map[group]int64{}
	for _, r := range w.model.rows {
		want[group{r.ProjectID, r.ID.Time().Unix() / 60, r.Code}] += r.Credits
	}
	rows, err := db.Query("SELECT project_id, minute, code, credits FROM usage_minutes")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var g group
		var credits int64
		if err := rows.Scan(&g.project, &g.minute, &g.code, &credits); err != nil {
			w.t.Fatal(err)
		}
		got[g] = credits
	}
	if err := rows.Err(); err != nil || !maps.Equal(got, want) {
		w.t.Fatalf("%s: the credits by minute are %v, want %v (%v)", what, got, want, err)
	}
}

// reopen plays the end of the process, which can come at any step, and a new start: closing writes nothing.
func (w *storageWorld) reopen() {
	w.store.Close()
	w.store = testkit.OpenStore(w.t, w.url, w.clock, nil, w.options)
}

func (w *storageWorld) tidy() {
	w.t.Helper()
	testkit.Tidy(w.t, w.store)
}

func (w *storageWorld) compare(what string) {
	w.t.Helper()
	w.comparePages(what)
	w.compareKeys(what)
	w.compareMinutes(what)
	w.compareCredits(what)
}

func (w *storageWorld) comparePages(what string) {
	w.t.Helper()
	for range 30 {
		project := w.projects[w.random.IntN(len(w.projects))]
		f := models.LogFilter{Limit: 1 + w.random.IntN(60)}
		if w.random.IntN(2) == 0 {
			f.KeyID = w.keys[w.random.IntN(len(w.keys))].ID
			ofProject := func(k *models.Key) bool { return k.ID == f.KeyID && k.ProjectID == project.ID }
			for w.random.IntN(10) > 0 && !slices.ContainsFunc(w.keys, ofProject) {
				f.KeyID = w.keys[w.random.IntN(len(w.keys))].ID // of another project but now and then
			}
		}
		if w.random.IntN(3) == 0 {
			f.Code = requestlog.LoggedCodes[w.random.IntN(len(requestlog.LoggedCodes))]
		}
		if w.random.IntN(3) == 0 {
			f.Category = models.BuiltInCategories[w.random.IntN(3)]
		}
		if w.random.IntN(4) == 0 {
			f.Type = models.KeyTypes[w.random.IntN(2)]
		}
		if w.random.IntN(4) == 0 {
			f.StatusClass = 2 + w.random.IntN(4)
		}
		anyRow := func() requestlog.Row { return w.model.rows[w.random.IntN(len(w.model.rows))] }
		switch r := anyRow(); w.random.IntN(8) {
		case 0:
			f.Path = r.Path
		case 1:
			f.Path, f.Method = r.Path, r.Method
		case 2:
			f.Path = fmt.Sprint("/rare/", w.random.IntN(4))
		case 3:
			f.IP = r.IP
		case 4:
			f.IP = fmt.Sprint("198.51.100.", w.random.IntN(4))
		}
		switch w.random.IntN(4) {
		case 0:
			f.From = anyRow().ID.Time()
		case 1:
			f.To = anyRow().ID.Time()
		}
		switch w.random.IntN(3) {
		case 0:
			f.Before = anyRow().ID
		case 1:
			f.After = anyRow().ID
		}
		want, older, newer := w.model.page(project.ID, f)
		page, err := w.store.RequestLogs(w.t.Context(), project.ID, f)
		if err != nil {
			w.t.Fatal(err)
		}
		var got []requestlog.ID
		for _, e := range page.Entries {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) || page.HasOlder != older || page.HasNewer != newer {
			w.t.Fatalf("%s: %+v gives %d rows, older %v, newer %v; want %d, %v, %v",
				what, f, len(got), page.HasOlder, page.HasNewer, len(want), older, newer)
		}
		if len(page.Entries) > 0 {
			w.compareRow(what, page.Entries[0])
		}
	}
}

func (w *storageWorld) compareRow(what string, e models.LogEntry) {
	w.t.Helper()
	i, _ := slices.BinarySearchFunc(
		w.model.rows, e.ID, func(r requestlog.Row, id requestlog.ID) int { return cmp.Compare(r.ID, id) },
	)
	want := fmt.Sprintf("%+v", w.model.rows[i])
	one, err := w.store.RequestLog(w.t.Context(), e.ProjectID, e.ID)
	if err != nil || fmt.Sprintf("%+v", one.Row) != want || fmt.Sprintf("%+v", e.Row) != want {
		w.t.Fatalf("%s: a row is %+v, and alone %+v (%v), but was %s", what, e.Row, one, err, want)
	}
	if k := slices.IndexFunc(w.keys, func(k *models.Key) bool { return k.ID == e.KeyID }); e.KeyName != w.keys[k].Name {
		w.t.Fatalf("%s: the key of a row is called %q", what, e.KeyName)
	}
}

func (w *storageWorld) compareKeys(what string) {
	w.t.Helper()
	for _, k := range w.keys {
		total, points := w.model.removed[k.ID], map[int64]int64{}
		since := w.clock.Now().Add(-time.Duration(w.random.Int64N(int64(3 * time.Hour))))
		use, last := map[int]requestlog.VersionUsage{}, time.Time{}
		for _, r := range w.model.rows {
			at := r.ID.Time()
			if r.KeyID != k.ID {
				continue
			}
			if last = at; r.Code == requestlog.CodeValid {
				total++
				points[at.Unix()/60]++
			}
			if !at.Before(since) {
				u := use[r.Version]
				use[r.Version] = requestlog.VersionUsage{Version: r.Version, Requests: u.Requests + 1, LastUsedAt: at}
			}
		}
		got, err := w.store.Log().KeyUsage(w.t.Context(), k.ID)
		if err != nil || got.Total != total {
			w.t.Fatalf("%s: key %s has a total of %d, want %d (%v)", what, k.Name, got.Total, total, err)
		}
		w.comparePoints(what, got.Points, points)
		gotUse, err := w.store.Log().UsageByVersion(w.t.Context(), k.ID, since)
		if err != nil || !maps.Equal(gotUse, use) {
			w.t.Fatalf("%s: since %v the versions of %s have %v, want %v (%v)", what, since, k.Name, gotUse, use, err)
		}
		details, err := w.store.Key(w.t.Context(), k.ProjectID, k.ID)
		if err != nil || (details.LastUsedAt == nil) != last.IsZero() {
			w.t.Fatalf("%s: %s was last used %v, want %v (%v)", what, k.Name, details.LastUsedAt, last, err)
		}
		if details.LastUsedAt != nil && last.Sub(*details.LastUsedAt).Abs() > time.Second {
			w.t.Fatalf("%s: %s was last used %v, want %v", what, k.Name, details.LastUsedAt, last)
		}
	}
}

// comparePoints holds slots against counts by minute: young ones are minutes, older ones 6 and 30 of them.
func (w *storageWorld) comparePoints(what string, got []requestlog.UsagePoint, minutes map[int64]int64) {
	w.t.Helper()
	now := w.clock.Now().Unix() / 60
	want := map[int64]int64{}
	for minute, n := range minutes {
		switch age := now - minute; {
		case age > 30*24*60+30:
			continue
		case age > 7*24*60+30:
			minute -= minute % 30
		case age > 24*60+6:
			minute -= minute % 6
		}
		want[minute] += n
	}
	// At the ages in between, a slot may be the longer or the shorter one: compare what is older and younger.
	near := func(age, limit, slack int64) bool { return age > limit-slack && age <= limit+2*slack }
	border := func(minute int64) bool {
		age := now - minute
		return near(age, 24*60, 6) || near(age, 7*24*60, 30) || near(age, 30*24*60, 30)
	}
	sum := func(points map[int64]int64) (inside map[int64]int64) {
		inside = map[int64]int64{}
		for minute, n := range points {
			if !border(minute) {
				inside[minute] += n
			}
		}
		return inside
	}
	gotMap := map[int64]int64{}
	for i, p := range got {
		if i > 0 && got[i-1].Minute >= p.Minute {
			w.t.Fatalf("%s: the points are not in order", what)
		}
		gotMap[p.Minute] += p.Requests
	}
	if g, s := sum(gotMap), sum(want); !maps.Equal(g, s) {
		w.t.Fatalf("%s: the points are %v, want %v", what, g, s)
	}
}

func (w *storageWorld) compareMinutes(what string) {
	w.t.Helper()
	for _, p := range w.projects {
		usage, err := w.store.UsageByMinute(w.t.Context(), p.ID, 90)
		if err != nil {
			w.t.Fatal(err)
		}
		want := map[int64][2]int64{}
		for _, r := range w.model.rows {
			if n := want[r.ID.Time().Unix()/60]; r.ProjectID == p.ID && r.Code == requestlog.CodeValid {
				want[r.ID.Time().Unix()/60] = [2]int64{n[0] + 1, n[1]}
			} else if r.ProjectID == p.ID {
				want[r.ID.Time().Unix()/60] = [2]int64{n[0], n[1] + 1}
			}
		}
		for _, m := range usage {
			if got := [2]int64{m.Admitted, m.Rejected}; got != want[m.Start.Unix()/60] {
				w.t.Fatalf("%s: the minute %v has %v, want %v", what, m.Start, got, want[m.Start.Unix()/60])
			}
		}
	}
}

// Batches in any order and size, written twice, with kills, merges and flushes in between: pages, counts and last
// uses are always those of a plain list.
func TestTheLogIsWhatAPlainListWouldBe(t *testing.T) {
	for seed := range uint64(soak.Times(2, 12)) {
		testkit.EachDatabase(t, func(t *testing.T, url string) {
			t.Parallel()
			w := newStorageWorld(t, url, seed, testkit.SmallLog)
			for step := range soak.Times(40, 60) {
				w.write([]int{3, 40, 40, 1500}[w.random.IntN(4)])
				if w.random.IntN(3) == 0 {
					w.complete()
				}
				switch w.random.IntN(8) {
				case 0:
					w.reopen()
				case 1:
					w.tidy()
				case 2:
					w.clock.Advance(time.Duration(w.random.Int64N(int64(20 * time.Hour))))
				}
				if step%4 == 0 {
					w.compare(fmt.Sprint("after step ", step))
				}
			}
			w.tidy()
			w.reopen()
			w.compare("at the end")
		})
	}
}
