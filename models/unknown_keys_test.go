package models_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func countUnknown(t *testing.T, store *models.Store, batch int64, counts ...models.UnknownKeyCount) {
	t.Helper()
	if err := store.CountUnknownKeys(t.Context(), batch, counts); err != nil {
		t.Fatal(err)
	}
}

func unknownKeys(t *testing.T, store *models.Store, projectID int64, search string, limit int) models.UnknownKeyPage {
	t.Helper()
	page, err := store.UnknownKeys(t.Context(), projectID, search, limit)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestUnknownKeysAreCountedByProjectAndAddress(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		now := clock.Now().UnixMilli()
		today := models.UnknownKeyDay(clock.Now())
		of := func(project, day int64, address string, requests, at int64) models.UnknownKeyCount {
			return models.UnknownKeyCount{
				ProjectID: project,
				Day:       day,
				Address:   address,
				Requests:  requests,
				LastAt:    at,
			}
		}
		countUnknown(
			t, store, 1, of(1, today, "203.0.113.7", 3, now), of(1, today, "2001:db8::/64", 9, now-5),
			of(2, today, "203.0.113.7", 100, now),
		)
		countUnknown(
			t, store, 2, of(1, today, "203.0.113.7", 4, now-1), of(1, today-6, "203.0.113.7", 10, now-9),
			of(1, today-7, "203.0.113.7", 1000, now-10),
		)
		countUnknown(
			t, store, 3, of(1, today, "2001:db8::/64", 1, now+1), of(1, today, "", 2, now), of(1, today, "", 1, now-1),
		) // one place twice

		got := unknownKeys(t, store, 1, "", 10)
		want := models.UnknownKeyPage{Total: 3, Addresses: []models.UnknownKeyAddress{
			{Address: "203.0.113.7", Requests: 17, LastAt: now}, {
				Address:  "2001:db8::/64",
				Requests: 10,
				LastAt:   now + 1,
			}, {Address: "", Requests: 3, LastAt: now},
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := unknownKeys(t, store, 1, "", 1); got.Total != 3 || len(got.Addresses) != 1 {
			t.Errorf("the first of three: %v", got)
		}
		if got := unknownKeys(t, store, 1, "DB8:", 10); got.Total != 1 || got.Addresses[0].Address != "2001:db8::/64" {
			t.Errorf("a search gives %v", got)
		}
		if got := unknownKeys(t, store, 3, "", 10); got.Total != 0 || len(got.Addresses) != 0 {
			t.Errorf("a project without any has %v", got)
		}
	})
}

// A batch is repeated if the reply to its commit was lost.
func TestABatchOfUnknownKeysIsCountedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		now := clock.Now()
		var batch []models.UnknownKeyCount
		for i := range 1200 { // more than have room
			batch = append(batch, models.UnknownKeyCount{
				ProjectID: 1,
				Day:       models.UnknownKeyDay(now),
				Address:   fmt.Sprintf("10.0.%d.%d", i/256, i%256),
				Requests:  2,
				LastAt:    now.UnixMilli(),
			})
		}
		countUnknown(t, store, 7, batch...)
		before := unknownKeys(t, store, 1, "", 2000)
		countUnknown(t, store, 7, batch...)
		if after := unknownKeys(t, store, 1, "", 2000); !reflect.DeepEqual(before, after) {
			t.Errorf("counted twice: %v, then %v", before.Addresses[0], after.Addresses[0])
		}
	})
}

// Requests of addresses beyond the limit are counted together.
func TestTheAddressesOfADayAreBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		now, random, sent := clock.Now(), rand.New(rand.NewPCG(1, 2)), int64(0)
		for batch := range int64(6) {
			var counts []models.UnknownKeyCount
			for range 500 {
				address := fmt.Sprintf("10.0.%d.%d", random.IntN(10), random.IntN(256))
				counts = append(counts, models.UnknownKeyCount{
					ProjectID: 1,
					Day:       models.UnknownKeyDay(now),
					Address:   address,
					Requests:  1,
					LastAt:    now.UnixMilli(),
				})
				sent++
			}
			countUnknown(t, store, batch+1, counts...)
		}
		page, counted := unknownKeys(t, store, 1, "", 5000), int64(0)
		for _, a := range page.Addresses {
			counted += a.Requests
		}
		if page.Total != 1001 || counted != sent { // with those that are counted together
			t.Errorf("%d addresses with %d requests, want 1001 with %d", page.Total, counted, sent)
		}
		if page.Addresses[0].Address != "" {
			t.Errorf("the most came from %q, want those that are counted together", page.Addresses[0].Address)
		}
	})
}

func TestUnknownKeysAreKeptAsLongAsTheLog(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		short, _, _ := newProject(t, store, user, "short")
		long, _, _ := newProject(t, store, user, "long")
		const free = 1
		if _, err := store.ChangeProjectPlan(t.Context(), tester, short.ID, free, nil); err != nil {
			t.Fatal(err)
		}
		now, counts := clock.Now(), []models.UnknownKeyCount(nil)
		for _, project := range []int64{short.ID, long.ID, 999} { // the last one is gone
			for i := range int64(1100) {
				counts = append(counts, models.UnknownKeyCount{
					ProjectID: project,
					Day:       models.UnknownKeyDay(now) - i%10,
					Address:   fmt.Sprint(i),
					Requests:  1,
				})
			}
		}
		countUnknown(t, store, 1, counts...)
		testkit.Tidy(t, store)
		counted := func(project int64) int64 {
			clock.Advance(-30 * 24 * time.Hour) // so that older days are shown as well
			defer clock.Advance(30 * 24 * time.Hour)
			return unknownKeys(t, store, project, "", 1).Total
		}
		if got := counted(long.ID); got != 1100 {
			t.Errorf("a project that keeps its log for a year has %d left", got)
		}
		if got := counted(short.ID); got != 880 { // today and the seven days before
			t.Errorf("a project that keeps its log for seven days has %d left, want 880", got)
		}
		if got := counted(999); got != 0 {
			t.Errorf("a project that is gone has %d left", got)
		}
		// A day later it is looked at again.
		clock.Advance(24 * time.Hour)
		testkit.Tidy(t, store)
		clock.Advance(-24 * time.Hour)
		if got := counted(short.ID); got != 770 {
			t.Errorf("a day later %d are left, want 770", got)
		}
	})
}
