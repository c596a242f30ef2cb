package requestlog_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestWritingTheSameRowsAgainChangesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, key, _ := newProject(t, store, user, "shop")
		ids := requestIDs(t, store)
		rows := []requestlog.Row{
			logRow(ids.Next(), key, requestlog.CodeValid),
			logRow(ids.Next(), key, requestlog.CodeValid),
			logRow(ids.Next(), key, requestlog.CodeKeyExpired),
		}
		for range 3 {
			if err := store.Log().Write(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
		}
		page, err := store.RequestLogs(t.Context(), project.ID, models.LogFilter{Limit: 10})
		if err != nil || len(page.Entries) != 3 {
			t.Errorf("%d rows, %v", len(page.Entries), err)
		}
		usage, err := store.UsageByMinute(t.Context(), project.ID, 60)
		if err != nil {
			t.Fatal(err)
		}
		last := usage[59]
		if last.Admitted != 2 || last.Rejected != 1 || !last.Start.Equal(clock.Now().Truncate(time.Minute)) {
			t.Errorf("%+v", last)
		}
		got, err := store.RequestLog(t.Context(), project.ID, rows[0].ID)
		if err != nil || got.KeyName != key.Name || got.Credits != 2 || got.Path != "/orders" || got.DurationUs != 42 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestUsageGoesToTheMinuteOfTheRequest(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, key, _ := newProject(t, store, user, "shop")
		_, otherKey, _ := newProject(t, store, user, "other")
		ids := requestIDs(t, store)
		var rows []requestlog.Row
		for range 61 { // 09:26 to 10:26, one each minute, of which the first is too old at the end
			rows = append(rows,
				logRow(ids.Next(), key, requestlog.CodeValid),
				logRow(ids.Next(), otherKey, requestlog.CodeValid),
			)
			clock.Advance(time.Minute)
		}
		clock.Advance(-time.Minute)
		if err := store.Log().Write(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		usage, err := store.UsageByMinute(t.Context(), project.ID, 60)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range usage {
			want := clock.Now().Truncate(time.Minute).Add(time.Duration(i-59) * time.Minute)
			if m.Admitted != 1 || !m.Start.Equal(want) {
				t.Errorf("minute %d is %+v, want 1 at %v", i, m, want)
			}
		}
	})
}

func TestTheFirstLoggedRequestMarksTheKeyAsUsed(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		used, _ := newKey(t, store, project, keyInput("used"))
		unused, _ := newKey(t, store, project, keyInput("unused"))
		ids := requestIDs(t, store)
		err := store.Log().Write(t.Context(), []requestlog.Row{logRow(ids.Next(), used, requestlog.CodeKeyInactive)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.Key(t.Context(), project.ID, used.ID)
		if err != nil || got.LastUsedAt == nil || !got.LastUsedAt.Equal(clock.Now()) {
			t.Errorf("last used %v, %v", got.LastUsedAt, err)
		}
		if _, err := store.DeleteKey(t.Context(), project.ID, used.ID, tester); !hasCode(err, models.CodeConflict) {
			t.Errorf("a used key was deleted: %v", err)
		}
		if _, err := store.DeleteKey(t.Context(), project.ID, unused.ID, tester); err != nil {
			t.Error(err)
		}
		clock.Advance(time.Hour)
		err = store.Log().Write(t.Context(), []requestlog.Row{logRow(ids.Next(), used, requestlog.CodeValid)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err = store.Key(t.Context(), project.ID, used.ID); err != nil || !got.LastUsedAt.Equal(clock.Now()) {
			t.Errorf("last used %v, %v", got.LastUsedAt, err)
		}
	})
}

// Compares the log's filters and cursors with a filtered list in memory.
func TestTheLogIsFilteredAndPaged(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, key, _ := newProject(t, store, user, "shop")
		second, _ := newKey(t, store, project, keyInput("second"))
		_, strangers, _ := newProject(t, store, user, "other")
		ids, random := requestIDs(t, store), rand.New(rand.NewPCG(1, 1))
		start := clock.Now()
		var all []requestlog.Row
		for range 200 {
			clock.Advance(time.Duration(random.IntN(120)) * time.Second)
			k := []*models.Key{key, second, strangers}[random.IntN(3)]
			all = append(all, logRow(ids.Next(), k, requestlog.LoggedCodes[random.IntN(len(requestlog.LoggedCodes))]))
		}
		if err := store.Log().Write(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		from, to := start.Add(40*time.Minute), start.Add(100*time.Minute)
		for name, f := range map[string]models.LogFilter{
			"all":  {},
			"key":  {KeyID: second.ID},
			"code": {Code: requestlog.CodeKeyExpired},
			"from": {From: from},
			"to":   {To: to},
			"everything": {
				KeyID: key.ID,
				Code:  requestlog.CodeValid,
				From:  from,
				To:    to,
			},
			"a key of another project": {KeyID: strangers.ID},
		} {
			t.Run(name, func(t *testing.T) {
				var want []requestlog.ID
				for _, r := range slices.Backward(all) {
					at := r.ID.Time()
					if r.ProjectID == project.ID &&
						(f.KeyID == 0 || r.KeyID == f.KeyID) &&
						(f.Code == "" || r.Code == f.Code) &&
						(f.From.IsZero() || !at.Before(f.From)) &&
						(f.To.IsZero() || at.Before(f.To)) {
						want = append(want, r.ID)
					}
				}
				f.Limit = 7
				var got, firsts []requestlog.ID
				for {
					page, err := store.RequestLogs(t.Context(), project.ID, f)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Entries {
						got = append(got, e.ID)
					}
					if !page.HasOlder {
						break
					}
					f.Before = page.Entries[len(page.Entries)-1].ID
					firsts = append(firsts, page.Entries[0].ID)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%d rows, want %d", len(got), len(want))
				}
				if len(firsts) < 2 {
					return
				}
				// Back from the second page to the first.
				f.Before, f.After = 0, firsts[1]
				page, err := store.RequestLogs(t.Context(), project.ID, f)
				if err != nil ||
					len(page.Entries) != 7 ||
					page.Entries[0].ID != firsts[0] ||
					page.HasNewer ||
					!page.HasOlder {
					t.Errorf("back to the newest: %d rows, %+v", len(page.Entries), err)
				}
			})
		}
	})
}

func TestARequestIDIsNotGivenAgainAfterARestartWithTheClockSetBack(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		_, key, _ := newProject(t, store, user, "shop")
		before := requestIDs(t, store).Next()
		err := store.Log().Write(t.Context(), []requestlog.Row{logRow(before, key, requestlog.CodeValid)})
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(-time.Hour)
		after := requestIDs(t, store).Next()
		if store.Dialect() == "sqlite" && after <= before {
			t.Errorf("%s comes after %s", after, before)
		}
		clock.Advance(time.Hour)
		if again := requestIDs(t, store).Next(); again == before {
			t.Errorf("%s was given twice", again)
		}
	})
}
