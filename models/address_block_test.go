package models_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func blockAddress(
	t *testing.T, store *models.Store, project *models.Project, address string, at time.Time,
) *models.AddressBlock {
	t.Helper()
	b, err := store.BlockAddress(
		t.Context(), models.AddressBlock{ProjectID: project.ID, Address: address, Strikes: 1, BlockedAt: at},
	)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// countAuditRows returns the number of the project's audit rows with the action.
func countAuditRows(t *testing.T, store *models.Store, project *models.Project, action string) int {
	t.Helper()
	rows, _, err := store.AuditRows(t.Context(), project.ID, models.AuditFilter{Action: action, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
}

func TestABlockLastsTwiceAsLongWithEachStrikeUpToADay(t *testing.T) {
	for i, minutes := range []int{15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440} {
		if got := models.BlockLasts(i + 1); got != time.Duration(minutes)*time.Minute {
			t.Errorf("block %d lasts %s, want %d minutes", i+1, got, minutes)
		}
	}
	if got := models.BlockLasts(1 << 40); got != 24*time.Hour {
		t.Errorf("a very late block lasts %s", got)
	}
}

func TestAStrikeCountsUntilADayAfterTheEndOfItsBlock(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		const address = "203.0.113.7"
		first := blockAddress(t, store, project, address, clock.Now())
		clock.Advance(first.EndsAt.Sub(clock.Now()) + 24*time.Hour - time.Millisecond)
		second := blockAddress(t, store, project, address, clock.Now())
		if second.Strikes != 2 || second.EndsAt.Sub(second.BlockedAt) != 30*time.Minute || second.ID <= first.ID {
			t.Errorf("within a day: %+v", second)
		}
		clock.Advance(30*time.Minute + 24*time.Hour)
		if third := blockAddress(t, store, project, address, clock.Now()); third.Strikes != 1 {
			t.Errorf("after a quiet day: %+v", third)
		}
	})
}

// Several processes may see the same address misbehave, and a write whose answer was lost is repeated.
func TestWritingABlockTwiceStoresOneBlock(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		at := clock.Now()
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				b := blockAddress(t, store, project, "203.0.113.7", at.Add(time.Duration(i)*time.Second))
				if b.Strikes != 1 {
					t.Errorf("%+v", b)
				}
			})
		}
		group.Wait()
		if n := countAuditRows(t, store, project, "address_block.create"); n != 1 {
			t.Errorf("the audit log has %d such rows, want 1", n)
		}
	})
}

func TestALiftedBlockIsOverAndItsStrikeStillCounts(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		b := blockAddress(t, store, project, "203.0.113.7", clock.Now())
		clock.Advance(time.Minute)
		_, err := store.LiftAddressBlock(t.Context(), other.ID, b.ID, testkit.Actor(user.ID))
		if !models.IsNotFound(err) {
			t.Errorf("lifted through another project: %v", err)
		}
		lifted, err := store.LiftAddressBlock(t.Context(), project.ID, b.ID, testkit.Actor(user.ID))
		if err != nil || lifted.InForce(clock.Now()) || !lifted.LiftedAt.Equal(clock.Now()) {
			t.Fatalf("%+v %v", lifted, err)
		}
		var conflict *models.Error
		_, err = store.LiftAddressBlock(t.Context(), project.ID, b.ID, testkit.Actor(user.ID))
		if !errors.As(err, &conflict) || conflict.Code != models.CodeConflict {
			t.Errorf("lifted twice: %v", err)
		}
		if n := countAuditRows(t, store, project, "address_block.lift"); n != 1 {
			t.Errorf("the audit log has %d such rows, want 1", n)
		}
		// A process that decided before the lift and writes after it does not undo it.
		if late := blockAddress(t, store, project, "203.0.113.7", b.BlockedAt.Add(time.Second)); late.LiftedAt == nil {
			t.Errorf("a late write brought the block back: %+v", late)
		}
		next := blockAddress(t, store, project, "203.0.113.7", clock.Now())
		if next.Strikes != 2 || !next.InForce(clock.Now()) {
			t.Errorf("the next block is %+v", next)
		}
	})
}

func TestBlocksAreListedPerProjectByAddressAndPage(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		for i := range 5 {
			blockAddress(t, store, project, fmt.Sprintf("203.0.113.%d", i), clock.Now())
		}
		blockAddress(t, store, project, "2001:db8::/64", clock.Now())
		blockAddress(t, store, other, "203.0.113.1", clock.Now())
		list := func(f models.AddressBlockFilter) (text string, next int64) {
			page, err := store.AddressBlocks(t.Context(), project.ID, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page.Blocks {
				text += b.Address + " "
			}
			return text, page.Next
		}
		first, next := list(models.AddressBlockFilter{Limit: 4})
		rest, end := list(models.AddressBlockFilter{Limit: 4, Before: next})
		if first+rest != "2001:db8::/64 203.0.113.4 203.0.113.3 203.0.113.2 203.0.113.1 203.0.113.0 " || end != 0 {
			t.Errorf("%s| %s %d", first, rest, end)
		}
		if found, _ := list(models.AddressBlockFilter{Limit: 4, Address: "2001:DB8"}); found != "2001:db8::/64 " {
			t.Errorf("searched: %s", found)
		}
		clock.Advance(15*time.Minute + 24*time.Hour)
		if left, _ := list(models.AddressBlockFilter{Limit: 9}); left != "" {
			t.Errorf("blocks that no longer count are listed: %s", left)
		}
		all, err := store.AllAddressBlocks(t.Context(), 10)
		if err != nil || len(all) != 0 {
			t.Errorf("and are given to the gate: %v %v", all, err)
		}
	})
}

func TestRowsOfBlocksAreBounded(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		app := testkit.NewApp(t, url)
		project, _, _ := newProject(t, app.Store, signUp(t, app.Store, "ada@example.com"), "shop")
		values := "?, 'n' || n, 1, ?, ?"
		if models.IsPostgresURL(url) {
			values = "?::bigint, 'n' || n, 1, ?::timestamptz, ?::timestamptz"
		}
		app.Exec(`
			WITH RECURSIVE series (n) AS (
				SELECT 1
				UNION ALL
				SELECT n + 1 FROM series WHERE n < 10000
			)
			INSERT INTO address_blocks (project_id, address, strikes, blocked_at, ends_at)
			SELECT `+values+`
			FROM series
		`, project.ID, app.Clock.Now(), app.Clock.Now().Add(time.Hour))
		block := func(address string) error {
			_, err := app.Store.BlockAddress(
				t.Context(),
				models.AddressBlock{ProjectID: project.ID, Address: address, Strikes: 1, BlockedAt: app.Clock.Now()},
			)
			return err
		}
		var full *models.Error
		if err := block("203.0.113.7"); !errors.As(err, &full) || full.Code != models.CodeConflict {
			t.Fatalf("row 10,001 gives %v", err)
		}
		if err := block("n1"); err != nil { // there already
			t.Error(err)
		}
		app.Clock.Advance(25 * time.Hour)
		if err := block("203.0.113.7"); err != nil {
			t.Fatal(err)
		}
		// No row may have 0 strikes, so this fails unless the count is right.
		err := app.TryExec(`
			INSERT INTO address_blocks (project_id, address, strikes, blocked_at, ends_at)
			SELECT project_id, 'x', 0, blocked_at, ends_at
			FROM address_blocks
			WHERE (SELECT COUNT(*) FROM address_blocks) <> 9901
		`)
		if err != nil {
			t.Error("a new block did not remove 100 old ones")
		}
	})
}
