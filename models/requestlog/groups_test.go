package requestlog_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// groupedWorld has a log on SQLite of which most is in groups.
func groupedWorld(t *testing.T, seed uint64) *storageWorld {
	t.Helper()
	t.Parallel()
	w := newStorageWorld(t, filepath.Join(t.TempDir(), "claviger.db"), seed, testkit.SmallLog)
	for range 30 {
		w.write(150)
	}
	w.tidy()
	return w
}

// Chunks that cannot be read would be an error, so they were not read.
func TestAValueThatNoRowHasIsNotLookedForInTheRows(t *testing.T) {
	w := groupedWorld(t, 11)
	db := openPast(t, w.url)
	defer db.Close()
	_, err := db.Exec(
		`UPDATE request_chunks
		SET data = x''
		WHERE first_id < (
			SELECT MAX(end_id)
			FROM request_groups
			WHERE project_id = request_chunks.project_id
		)`,
	)
	if err != nil {
		t.Fatal(err)
	}
	project, key := w.projects[0].ID, w.keys[0].ID
	for _, f := range []models.LogFilter{
		{IP: "203.0.113.99"},
		{Path: "/never"},
		{StatusClass: 3},
		{Category: "never"},
		{Code: "never"},
		{Path: "/orders/1", IP: "203.0.113.99"},
	} {
		for _, f.KeyID = range []int64{0, key} {
			f.Limit = 10
			page, err := w.store.RequestLogs(t.Context(), project, f)
			if err != nil || len(page.Entries) > 0 {
				t.Errorf("%+v gives %d rows: %v", f, len(page.Entries), err)
			}
		}
	}
	if _, err := w.store.RequestLogs(t.Context(), project, models.LogFilter{StatusClass: 2, Limit: 5000}); err == nil {
		t.Error("values that rows have are not looked for in them")
	}
}

// Groups go with their rows, and a late row may come where one was.
func TestRowsOutsideOfGroupsAreFound(t *testing.T) {
	w := groupedWorld(t, 12)
	db := openPast(t, w.url)
	defer db.Close()
	_, err := db.Exec(
		`DELETE FROM request_groups
		WHERE end_id < (
			SELECT MAX(end_id)
			FROM request_groups g
			WHERE g.project_id = request_groups.project_id
		)`,
	)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.comparePages("with the newest groups alone")
	}
}

// What has no rows any more leaves nothing.
func TestGroupsOfAProjectThatIsGoneGo(t *testing.T) {
	w := groupedWorld(t, 13)
	db := openPast(t, w.url)
	defer db.Close()
	count := func() (groups, filters int) {
		t.Helper()
		err := db.QueryRow(
			"SELECT (SELECT COUNT(*) FROM request_groups), (SELECT COUNT(*) FROM request_filters)",
		).Scan(&groups, &filters)
		if err != nil {
			t.Fatal(err)
		}
		return groups, filters
	}
	if groups, filters := count(); groups == 0 || filters < groups {
		t.Fatalf("there are %d groups with %d filters", groups, filters)
	}
	w.clock.Advance(366 * 24 * time.Hour)
	w.tidy()
	if groups, filters := count(); groups+filters > 0 {
		t.Errorf("with all rows gone, %d groups and %d filters are left", groups, filters)
	}
}

// Each round a chunk is too old and a new one comes.
func TestABusyProjectKeepsItsGroupsWhileOldRowsGo(t *testing.T) {
	w := groupedWorld(t, 15)
	project := w.projects[0]
	_, err := w.store.ChangeProjectPlan(
		t.Context(), tester, project.ID, 1, models.Overrides{models.LimitLogDays: new(int64(1))},
	)
	if err != nil {
		t.Fatal(err)
	}
	for range 120 {
		var batch []requestlog.Row
		for range 40 {
			w.clock.Advance(time.Minute)
			batch = append(batch, logRow(w.ids.Next(), w.keys[0], requestlog.CodeValid))
		}
		if err := w.store.Log().Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		w.tidy()
	}
	db := openPast(t, w.url)
	defer db.Close()
	var groups, chunks int
	err = db.QueryRow(`
		SELECT
			(SELECT COUNT(*) FROM request_groups WHERE project_id = ?1),
			(
				SELECT COUNT(*)
				FROM request_chunks
				WHERE
					project_id = ?1
					AND first_id >= (SELECT MAX(end_id) FROM request_groups WHERE project_id = ?1)
			)
	`, project.ID).Scan(&groups, &chunks)
	if err != nil || groups < 5 || chunks > 15 {
		t.Errorf("there are %d groups, and %d chunks in none (%v)", groups, chunks, err)
	}
}
