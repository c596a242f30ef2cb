package requestlog_test

import (
	"database/sql"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/internal/testkit/soak"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Rows go when the project's plan or its own figure says so, and no others; what was counted stays.
func TestRowsAreRemovedWhenTheProjectsPlanSaysSo(t *testing.T) {
	for name, third := range map[string]*int64{"for good": nil, "30 days": new(int64(30))} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, url string) { rowsAreRemoved(t, url, third) })
		})
	}
}

// rowsAreRemoved keeps rows of the first project for 7 days, of the second for 20, and of the third as long as it is
// told.
func rowsAreRemoved(t *testing.T, url string, third *int64) {
	const free, days = 1, 24 * time.Hour
	t.Parallel()
	w := newStorageWorld(t, url, 5, testkit.SmallLog)
	keep := map[int64]time.Duration{
		w.projects[0].ID: 7 * days,
		w.projects[1].ID: 20 * days,
		w.projects[2].ID: 9999 * days,
	}
	for i, overrides := range []models.Overrides{
		{}, {models.LimitLogDays: new(int64(20))}, {models.LimitLogDays: third},
	} {
		if _, err := w.store.ChangeProjectPlan(t.Context(), tester, w.projects[i].ID, free, overrides); err != nil {
			t.Fatal(err)
		}
	}
	if third != nil {
		keep[w.projects[2].ID] = time.Duration(*third) * days
	}
	w.clock.Advance(500 * days) // beyond the week in which the tables were made: Postgres has no partition for it yet
	// Some 47 days, which is longer than anything is kept but for good.
	for range soak.Times(75, 150) {
		w.write(60)
		w.clock.Advance(time.Duration(w.random.Int64N(int64(30 * time.Hour))))
		if w.random.IntN(10) == 0 {
			w.tidy()
			w.reopen()
		}
	}
	w.tidy()

	now, left := w.clock.Now(), []requestlog.Row(nil)
	for _, r := range w.model.rows {
		// A row may stay an hour longer than the plan says.
		age := now.Sub(r.ID.Time())
		limit := keep[r.ProjectID]
		_, err := w.store.RequestLog(t.Context(), r.ProjectID, r.ID)
		switch {
		case err == nil && age > limit+time.Hour:
			t.Fatalf("a row of project %d is still there after %v", r.ProjectID, age)
		case err != nil && (!models.IsNotFound(err) || age < limit):
			t.Fatalf("a row of project %d is gone after %v: %v", r.ProjectID, age, err)
		case err == nil:
			left = append(left, r)
		case r.Code == requestlog.CodeValid:
			w.model.removed[r.KeyID]++
		}
	}
	if len(left) == 0 || len(left) == len(w.model.rows) {
		t.Fatalf("%d of %d rows are left", len(left), len(w.model.rows))
	}
	for _, k := range w.keys { // windows and totals know more than the log
		want, points, young := int64(0), int64(0), now.Add(-29*24*time.Hour)
		for _, r := range w.model.rows {
			if r.KeyID == k.ID && r.Code == requestlog.CodeValid {
				if want++; r.ID.Time().After(young) {
					points++
				}
			}
		}
		usage, err := w.store.Log().KeyUsage(t.Context(), k.ID)
		if err != nil || usage.Total != want {
			t.Errorf("a key has %d requests, want %d (%v)", usage.Total, want, err)
		}
		var got int64
		for _, p := range usage.Points {
			if time.Unix(p.Minute*60, 0).After(young) {
				got += p.Requests
			}
		}
		if got != points {
			t.Errorf("a key has %d requests in 29 days, want %d", got, points)
		}
	}
	w.model.rows = left
	w.comparePages("after tidying")
	for _, k := range w.keys {
		f := models.LogFilter{KeyID: k.ID, Limit: 2000}
		page, err := w.store.RequestLogs(t.Context(), k.ProjectID, f)
		if want := w.model.list(k.ProjectID, f); err != nil || len(page.Entries) != len(want) {
			t.Errorf("the log of a key has %d rows, want %d (%v)", len(page.Entries), len(want), err)
		}
	}
}

// Late rows go behind a chunk that tidying has made smaller, and more of them come with so many that chunks are closed.
func TestLateRowsAreKeptWhereOlderOnesWereRemoved(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		t.Parallel()
		w := newStorageWorld(t, url, 9, testkit.SmallLog)
		key := w.keys[0]
		_, err := w.store.ChangeProjectPlan(
			t.Context(), tester, key.ProjectID, 1, models.Overrides{models.LimitLogDays: new(int64(20))},
		)
		if err != nil {
			t.Fatal(err)
		}
		rows := func(n int) (batch []requestlog.Row) {
			for range n {
				w.clock.Advance(time.Hour)
				batch = append(batch, logRow(w.ids.Next(), key, requestlog.CodeValid))
			}
			return batch
		}
		write := func(batch []requestlog.Row) {
			if err := w.store.Log().Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		old, late, newer := rows(60), rows(2), rows(2)
		write(old)
		write(newer)
		w.clock.Advance(19 * 24 * time.Hour)
		w.tidy()
		if _, err := w.store.RequestLog(t.Context(), key.ProjectID, old[0].ID); !models.IsNotFound(err) {
			t.Fatalf("no row was removed: %v", err)
		}
		write(late[1:])
		last := append(late[:1:1], rows(60)...)
		write(last)
		want := slices.Concat(old[59:], late, newer, last[1:])
		for _, r := range want {
			if _, err := w.store.RequestLog(t.Context(), key.ProjectID, r.ID); err != nil {
				t.Errorf("a row of %v: %v", r.ID.Time(), err)
			}
		}
		page, err := w.store.RequestLogs(
			t.Context(), key.ProjectID, models.LogFilter{From: old[59].ID.Time(), Limit: 1000},
		)
		if err != nil || len(page.Entries) != len(want) {
			t.Errorf("%d rows, want %d (%v)", len(page.Entries), len(want), err)
		}
	})
}

// Everything at once: what was stored before a reader asks, the reader sees, and never twice.
func TestReadersSeeEachRequestOnceWhileRunsAreWrittenAndMerged(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		t.Parallel()
		w := newStorageWorld(t, url, 6, testkit.SmallLog)
		key, other := w.keys[0], w.keys[1]
		var mu sync.Mutex
		stored, begun, done := int64(0), int64(0), make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			defer close(done)
			for i := range soak.Times(60, 150) {
				var batch []requestlog.Row
				for range 50 {
					batch = append(
						batch,
						logRow(w.ids.Next(), key, requestlog.CodeValid),
						logRow(w.ids.Next(), other, requestlog.CodeKeyExpired),
					)
				}
				mu.Lock()
				begun += 50
				mu.Unlock()
				if err := w.store.Log().Write(t.Context(), batch); err != nil {
					t.Error(err)
				}
				mu.Lock()
				stored += 50
				mu.Unlock()
				w.clock.Advance(time.Duration(i) * time.Second)
			}
		})
		running := func() bool {
			select {
			case <-done:
				return false
			default:
				return true
			}
		}
		for range 3 {
			group.Go(func() {
				for running() {
					mu.Lock()
					least := stored
					mu.Unlock()
					usage, err := w.store.Log().KeyUsage(t.Context(), key.ID)
					page, err2 := w.store.RequestLogs(
						t.Context(), key.ProjectID, models.LogFilter{KeyID: key.ID, Limit: 1000},
					)
					mu.Lock()
					most := begun
					mu.Unlock()
					if err != nil || usage.Total < least || usage.Total > most {
						t.Errorf("%d requests, of %d to %d (%v)", usage.Total, least, most, err)
						return
					}
					ids := map[requestlog.ID]bool{}
					for _, e := range page.Entries {
						ids[e.ID] = true
					}
					if n := int64(len(ids)); err2 != nil || len(ids) != len(page.Entries) || n < min(least, 1000) {
						t.Errorf("%d rows of %d, of at least %d (%v)", len(ids), len(page.Entries), least, err2)
						return
					}
				}
			})
		}
		group.Go(func() {
			for running() {
				if _, err := w.store.Tidy(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		group.Wait()
	})
}

// A write that fails leaves nothing behind, and the batch can be written when the fault is over.
func TestABatchThatCouldNotBeWrittenIsWrittenLaterOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		w := newStorageWorld(t, url, 7, app.StoreOptions{})
		w.write(50)
		rename := func(from, to string) {
			t.Helper()
			db := openPast(t, url)
			defer db.Close()
			if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
				t.Fatal(err)
			}
		}
		var batch []requestlog.Row
		for range 20 {
			batch = append(batch, w.row())
		}
		batch[0].Version = 9 // and what is new with the batch is new again
		for _, table := range map[string][]string{
			"sqlite":   {"usage_minutes", "key_journal"},
			"postgres": {"usage_minutes", "key_totals"},
		}[string(w.store.Dialect())] {
			rename(table, "elsewhere")
			if err := w.store.Log().Write(t.Context(), batch); err == nil {
				t.Fatalf("a batch was stored without %s", table)
			}
			rename("elsewhere", table)
			w.compare("after the fault")
		}
		for range 2 {
			if err := w.store.Log().Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		w.model.add(batch)
		w.compare("after the repetition")
		w.reopen()
		w.compare("after a start")
	})
}

// openPast opens the database past the store.
func openPast(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, name := "sqlite", "file:"+strings.ReplaceAll(url, "#", "%23")+"?_pragma=busy_timeout(5000)"
	if models.IsPostgresURL(url) {
		driver, name = "pgx", url
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
