package requestlog_test

import (
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestAKeysUsageCountsAdmittedRequestsByTime(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, key, _ := newProject(t, store, user, "shop")
		other, _ := newKey(t, store, project, keyInput("other"))
		ids := requestIDs(t, store)
		write := func(rows ...requestlog.Row) {
			t.Helper()
			if err := store.Log().Write(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
		}
		write(
			logRow(ids.Next(), key, requestlog.CodeValid), logRow(ids.Next(), key, requestlog.CodeValid),
		) // too old for the points at the end
		clock.Advance(31 * 24 * time.Hour)
		first := clock.Now().Unix() / 60
		write(
			logRow(ids.Next(), key, requestlog.CodeValid),
			logRow(ids.Next(), other, requestlog.CodeValid),
			logRow(ids.Next(), key, requestlog.CodeKeyExpired),
		)
		clock.Advance(time.Minute)
		write(
			logRow(ids.Next(), key, requestlog.CodeValid),
			logRow(ids.Next(), key, requestlog.CodeValid),
			logRow(ids.Next(), key, requestlog.CodeValid),
		)
		got, err := store.Log().KeyUsage(t.Context(), key.ID)
		want := []requestlog.UsagePoint{{Minute: first, Requests: 1}, {Minute: first + 1, Requests: 3}}
		if err != nil || got.Total != 6 || !slices.Equal(got.Points, want) {
			t.Errorf("%+v %v, want 6 in total and %v", got, err, want)
		}
		got, err = store.Log().KeyUsage(t.Context(), key.ID+100)
		if err != nil || got.Total != 0 || len(got.Points) != 0 {
			t.Errorf("a key without requests has %+v %v", got, err)
		}
	})
}
