package models_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// openRaw opens the database as an attacker could who has write access but not the pepper.
func openRaw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if models.IsPostgresURL(url) {
		driver = "pgx"
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func verify(t *testing.T, store *models.Store, earlier []models.Checkpoint) []models.Checkpoint {
	t.Helper()
	ends, err := store.VerifyAudit(t.Context(), earlier)
	if err != nil {
		t.Fatalf("the chains do not verify: %v", err)
	}
	return ends
}

// wantBroken fails unless verifying returns a [models.Broken] with that row.
func wantBroken(t *testing.T, store *models.Store, earlier []models.Checkpoint, chain, seq int64) {
	t.Helper()
	_, err := store.VerifyAudit(t.Context(), earlier)
	var broken *models.Broken
	if !errors.As(err, &broken) {
		t.Errorf("the damage was not found: %v", err)
	} else if broken.Chain != chain || broken.Seq != seq {
		t.Errorf("got %v, want row %d of chain %d", err, seq, chain)
	}
}

// chains are two projects, of which the first has six rows and the second two, with a way to put both back.
type chains struct {
	db            *sql.DB
	store         *models.Store
	first, second *models.Project
	checkpoint    []models.Checkpoint
	restore       func()
}

func newChains(t *testing.T, url string) chains {
	store := testkit.Store(t, url, testkit.NewClock(), nil)
	c := chains{db: openRaw(t, url), store: store}
	user := signUp(t, store, "ada@example.com")
	c.first, _, _ = newProject(t, store, user, "first")
	c.second, _, _ = newProject(t, store, user, "second")
	key, _ := newKey(t, store, c.first, keyInput("one"))
	newKey(t, store, c.first, keyInput("two"))
	if _, err := store.ChangeKeyState(t.Context(), c.first.ID, key.ID, tester, models.ActionDeactivate); err != nil {
		t.Fatal(err)
	}
	in := keyInput("one")
	in.Description = "for Acme"
	if _, err := store.UpdateKey(t.Context(), c.first.ID, key.ID, tester, in); err != nil {
		t.Fatal(err)
	}
	c.checkpoint = verify(t, store, nil)
	ids := ""
	if models.IsPostgresURL(url) {
		ids = "OVERRIDING SYSTEM VALUE"
	}
	execAll(
		t, c.db, "CREATE TABLE kept_actions AS SELECT * FROM actions",
		"CREATE TABLE kept_chains AS SELECT * FROM action_chains",
	)
	c.restore = func() {
		execAll(t, c.db, "DELETE FROM actions", "INSERT INTO actions "+ids+" SELECT * FROM kept_actions",
			"DELETE FROM action_chains", "INSERT INTO action_chains SELECT * FROM kept_chains")
		verify(t, store, c.checkpoint)
	}
	return c
}

func TestAChangedColumnOfAnAuditRowIsFound(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		c := newChains(t, url)
		at := "at + 1"
		if models.IsPostgresURL(url) {
			at = "at + interval '1 microsecond'"
		}
		other := map[string]string{
			"chain":       fmt.Sprint(c.second.ID),
			"seq":         "seq + 1000",
			"at":          at,
			"actor_kind":  "'system'",
			"actor_id":    "actor_id + 1",
			"actor_name":  "'eve@example.com'",
			"action":      "'key.edit'",
			"object_kind": "'category'",
			"object_id":   "object_id + 1",
			"object_name": "'another'",
			"before":      `'{"state":"revoked"}'`,
			"after":       "'{}'",
			"ip":          "'198.51.100.1'",
			"hash":        "(SELECT hash FROM actions WHERE chain = 0 AND seq = 1)",
			"id":          "", // not hashed: rows are found by chain and seq
		}
		rows, err := c.db.Query("SELECT * FROM actions")
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		rows.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, column := range columns {
			value, known := other[column]
			if !known {
				t.Errorf("the test has no other value for the column %s", column)
			}
			if value == "" {
				continue
			}
			t.Run(column, func(t *testing.T) {
				execAll(
					t, c.db,
					fmt.Sprintf("UPDATE actions SET %s = %s WHERE chain = %d AND seq = 4", column, value, c.first.ID),
				)
				wantBroken(t, c.store, nil, c.first.ID, 4)
				c.restore()
			})
		}
	})
}

func TestDamageToAChainIsFoundAndItsFirstRowNamed(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		c := newChains(t, url)
		first := fmt.Sprintf("chain = %d", c.first.ID)
		for name, damage := range map[string]struct {
			row        int64
			statements []string
		}{
			"the first row removed": {1, []string{"DELETE FROM actions WHERE seq = 1 AND " + first}},
			"a row removed":         {3, []string{"DELETE FROM actions WHERE seq = 3 AND " + first}},
			"the last row removed":  {6, []string{"DELETE FROM actions WHERE seq = 6 AND " + first}},
			"all rows removed":      {1, []string{"DELETE FROM actions WHERE " + first}},
			"a row removed and the rest moved up": {3, []string{
				"DELETE FROM actions WHERE seq = 3 AND " + first,
				"UPDATE actions SET seq = 3 WHERE seq = 4 AND " + first,
				"UPDATE actions SET seq = 4 WHERE seq = 5 AND " + first,
				"UPDATE actions SET seq = 5 WHERE seq = 6 AND " + first,
				"UPDATE action_chains SET seq = 5 WHERE " + first,
			}},
			"two rows swapped": {3, []string{
				"UPDATE actions SET seq = -3 WHERE seq = 3 AND " + first,
				"UPDATE actions SET seq = 3 WHERE seq = 4 AND " + first,
				"UPDATE actions SET seq = 4 WHERE seq = -3 AND " + first,
			}},
			"a row put before the first": {0, []string{"UPDATE actions SET seq = 0 WHERE seq = 6 AND " + first}},
			"the end moved back alone":   {5, []string{"UPDATE action_chains SET seq = 4 WHERE " + first}},
			"the end with another hash": {
				6,
				[]string{"UPDATE action_chains SET hash = (SELECT hash FROM actions WHERE seq = 5 AND " + first + ") " +
					"WHERE " + first},
			},
			"the record of the end gone": {1, []string{"DELETE FROM action_chains WHERE " + first}},
			"the chain of a project gone": {
				1, []string{"DELETE FROM actions WHERE " + first, "DELETE FROM action_chains WHERE " + first},
			},
		} {
			t.Run(name, func(t *testing.T) {
				execAll(t, c.db, damage.statements...)
				wantBroken(t, c.store, nil, c.first.ID, damage.row)
				_, err := c.store.VerifyAudit(t.Context(), nil)
				if err == nil || !strings.Contains(err.Error(), "(first)") {
					t.Errorf("the project is not named: %v", err)
				}
				c.restore()
			})
		}
		if !models.IsPostgresURL(url) { // SQLite columns accept values of any type
			execAll(t, c.db, "UPDATE actions SET actor_id = 'nobody' WHERE seq = 2 AND "+first)
			wantBroken(t, c.store, nil, c.first.ID, 2)
			c.restore()
		}
		execAll(t, c.db, "DELETE FROM actions WHERE chain = 0", "DELETE FROM action_chains WHERE chain = 0")
		wantBroken(t, c.store, nil, models.InstanceChain, 1)
	})
}

func TestACheckpointShowsRowsThatWereCutOffWithTheEndOfTheChain(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		c := newChains(t, url)
		cut := func(project int64, last int) {
			t.Helper()
			execAll(t, c.db, fmt.Sprintf("DELETE FROM actions WHERE chain = %d AND seq > %d", project, last),
				fmt.Sprintf(`
					UPDATE action_chains
					SET seq = %d, hash = (SELECT hash FROM actions WHERE chain = %d AND seq = %d)
					WHERE chain = %d`,
					last, project, last, project))
		}
		cut(c.first.ID, 4)
		verify(t, c.store, nil)
		wantBroken(t, c.store, c.checkpoint, c.first.ID, 5)

		// The program goes on after the cut, and the rows are as many as before, or more.
		for n := range 3 {
			newKey(t, c.store, c.first, keyInput(fmt.Sprintf("later_%d", n)))
			verify(t, c.store, nil)
			wantBroken(t, c.store, c.checkpoint, c.first.ID, []int64{6, 6, 6}[n])
		}
		c.restore()

		execAll(t, c.db, fmt.Sprintf("DELETE FROM projects WHERE id = %d", c.second.ID),
			fmt.Sprintf("DELETE FROM actions WHERE chain = %d", c.second.ID),
			fmt.Sprintf("DELETE FROM action_chains WHERE chain = %d", c.second.ID))
		verify(t, c.store, nil)
		wantBroken(t, c.store, c.checkpoint, c.second.ID, 1)
	})
}

func TestACheckpointHoldsWhileItsChainsGrow(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		c := newChains(t, url)
		text, err := json.Marshal(c.checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		newKey(t, c.store, c.first, keyInput("later"))
		newProject(t, c.store, signUp(t, c.store, "bob@example.com"), "third")
		var read []models.Checkpoint
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		ends := verify(t, c.store, read)
		if len(ends) != 4 || ends[0].Seq != 2 || ends[1].Seq != 7 || ends[2].Seq != 2 || ends[3].Seq != 2 {
			t.Errorf("the ends are %v", ends)
		}
	})
}

func TestARowForgedWithoutThePepperIsFound(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		c := newChains(t, url)
		other, err := models.NewPepper([]byte(strings.Repeat("guessed pepper! ", 2)))
		if err != nil {
			t.Fatal(err)
		}
		forger, err := app.ConnectStore(t.Context(), app.StoreOptions{URL: url, Options: models.Options{Pepper: other}})
		if err != nil {
			t.Fatal(err)
		}
		defer forger.Close()
		newKey(t, forger, c.first, keyInput("forged")) // with a hash and an end that would fit under that pepper
		wantBroken(t, c.store, nil, c.first.ID, 7)
	})
}

func TestChangesAtTheSameMomentLeaveChainsThatVerify(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		clock.Follow()
		user := signUp(t, store, "ada@example.com")
		var projects []*models.Project
		for n := range 4 {
			project, _, _ := newProject(t, store, user, fmt.Sprintf("project-%d", n))
			projects = append(projects, project)
		}
		const each = 5
		var group sync.WaitGroup
		for n := range 20 {
			group.Go(func() {
				for i := range each {
					project := projects[0] // all in one, then spread
					if i >= 2 {
						project = projects[n%len(projects)]
					}
					in := keyInput(fmt.Sprintf("key_%d_%d", n, i))
					if _, _, err := store.CreateKey(t.Context(), project.ID, tester, in); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		rows := int64(0)
		for _, end := range verify(t, store, nil) {
			rows += end.Seq
		}
		if want := int64(1 + 2*len(projects) + 20*each); rows != want {
			t.Errorf("%d rows, want %d", rows, want)
		}
		for _, project := range projects {
			list := auditRowsOf(t, store, project.ID)
			if !slices.IsSortedFunc(list, func(a, b models.AuditRow) int { return a.At.Compare(b.At) }) {
				t.Errorf("the times in %s are not in the order of the rows", project.Slug)
			}
		}
	})
}

// auditRowsOf returns all rows of a chain, oldest first.
func auditRowsOf(t *testing.T, store *models.Store, chain int64) []models.AuditRow {
	t.Helper()
	rows, more, err := store.AuditRows(t.Context(), chain, models.AuditFilter{Limit: 1000})
	if err != nil || more {
		t.Fatalf("%v %v", more, err)
	}
	slices.Reverse(rows)
	return rows
}

// step is a change and the audit rows that it must write, such as "key.edit key one {before} {after}".
type step struct {
	do   func(ctx context.Context) error
	want []string
}

func TestEveryChangeWritesOneAuditRowWithoutSecrets(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		const newPassword = "another horse battery"
		secrets := []string{password, newPassword}
		remember := func(secret models.Secret, err error) error {
			if err == nil {
				secrets = append(secrets, secret.Plain())
			}
			return err
		}
		user := signUp(t, store, "ada@example.com")
		actor := user.Actor("203.0.113.9")
		var (
			project         *models.Project
			defaultKey, key *models.Key
			label, second   *models.Category
			token           *models.ServiceToken
		)
		create := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				made, secret, err := store.CreateKey(ctx, project.ID, actor, keyInput(name))
				key = made
				return remember(secret, err)
			}
		}
		state := func(action models.KeyAction) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := store.ChangeKeyState(ctx, project.ID, key.ID, actor, action)
				return err
			}
		}
		edit := func(in models.KeyInput) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := store.UpdateKey(ctx, project.ID, key.ID, actor, in)
				return err
			}
		}
		const made = `"android_package":"","category":"production","description":"%s","expires_at":null,` +
			`"ios_bundle_id":"","name":"%s","platform_android":false,"platform_ios":false,` +
			`"quota_daily":null,"quota_monthly":null,"quota_total":null,"quota_weekly":null,` +
			`"self_rotation":false,"state":"active","type":"production","version":1`
		start := clock.Now()
		at := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
		edited := keyInput("renamed")
		edited.Description, edited.Category, edited.Daily = "for Acme", "partner", ptr(int64(500))
		expires := start.Add(time.Hour).In(time.FixedZone("east", 3600))
		edited.ExpiresAt = &expires
		again := edited
		elsewhere := expires.In(time.FixedZone("west", -3600))
		again.ExpiresAt, again.Description = &elsewhere, "for Acme and others"

		for n, s := range []step{
			{func(ctx context.Context) (err error) {
				var secret models.Secret
				project, defaultKey, secret, err = store.CreateProject(ctx, actor, models.ProjectInput{Name: "Shop"})
				return remember(secret, err)
			}, []string{
				`project.create project Shop {} {"key_prefix":"clv","name":"Shop","owner":"ada@example.com",` +
					`"plan":"Enterprise","quota_status":401,"slug":"shop"}`,
				`key.create key DEFAULT {} {` + fmt.Sprintf(made, "Made with the project.", "DEFAULT") + `}`}},
			{create("one"), []string{`key.create key one {} {` + fmt.Sprintf(made, "", "one") + `}`}},
			{edit(edited), []string{
				`category.create category partner {} {"name":"partner"}`,
				`key.edit key renamed ` +
					`{"category":"production","description":"","expires_at":null,"name":"one","quota_daily":null} ` +
					`{"category":"partner","description":"for Acme","expires_at":"` + at(time.Hour) + `",` +
					`"name":"renamed","quota_daily":500}`}},
			{
				edit(again),
				[]string{`key.edit key renamed {"description":"for Acme"} {"description":"for Acme and others"}`},
			},
			{edit(again), nil}, // changes nothing
			{
				state(models.ActionDeactivate),
				[]string{`key.deactivate key renamed {"state":"active"} {"state":"inactive"}`},
			},
			{
				state(models.ActionActivate),
				[]string{`key.activate key renamed {"state":"inactive"} {"state":"active"}`},
			},
			{func(ctx context.Context) error {
				_, secret, err := store.RotateKey(ctx, project.ID, key.ID, actor, 1, 15*time.Minute)
				return remember(secret, err)
			}, []string{`key.rotate key renamed {"version":1} ` +
				`{"previous_ends_at":"` + at(15*time.Minute) + `","version":2}`}},
			{state(models.ActionRevoke), []string{`key.revoke key renamed {"state":"active"} {"state":"revoked"}`}},
			{
				create("short_lived"),
				[]string{`key.create key short_lived {} {` + fmt.Sprintf(made, "", "short_lived") + `}`},
			},
			{func(ctx context.Context) error {
				_, err := store.DeleteKey(ctx, project.ID, key.ID, actor)
				return err
			}, []string{`key.delete key short_lived {"name":"short_lived","state":"active","type":"production"} {}`}},
			{func(ctx context.Context) (err error) {
				label, err = store.CreateCategory(ctx, project.ID, actor, "label")
				return err
			}, []string{`category.create category label {} {"name":"label"}`}},
			{func(ctx context.Context) (err error) {
				second, err = store.CreateCategory(ctx, project.ID, actor, "second")
				return err
			}, []string{`category.create category second {} {"name":"second"}`}},
			{func(ctx context.Context) error {
				_, err := store.RenameCategory(ctx, project.ID, label.ID, actor, "renamed")
				return err
			}, []string{`category.rename category renamed {"name":"label"} {"name":"renamed"}`}},
			{func(ctx context.Context) error {
				_, _, err := store.MergeCategory(ctx, project.ID, label.ID, second.ID, actor)
				return err
			}, []string{`category.merge category renamed {"name":"renamed"} {"keys_moved":0,"merged_into":"second"}`}},
			{func(ctx context.Context) error {
				_, err := store.DeleteCategory(ctx, project.ID, second.ID, actor)
				return err
			}, []string{`category.delete category second {"name":"second"} {}`}},
			{func(ctx context.Context) (err error) {
				var secret models.Secret
				token, secret, err = store.CreateServiceToken(
					ctx, project.ID, actor, "backend", []models.Scope{models.ScopeReport, models.ScopeValidate},
				)
				return remember(secret, err)
			}, []string{`service_token.create service_token backend {} ` +
				`{"last4":"LAST4","name":"backend","scopes":["validate","report"]}`}},
			{func(ctx context.Context) error {
				_, err := store.RevokeServiceToken(ctx, project.ID, token.ID, actor)
				return err
			}, []string{`service_token.revoke service_token backend {"revoked":false} {"revoked":true}`}},
			{func(ctx context.Context) error {
				_, err := store.UpdateProject(
					ctx, project.ID, actor, models.ProjectInput{Name: "Shop", KeyPrefix: "acme"},
				)
				return err
			}, []string{`project.edit project Shop {"key_prefix":"clv"} {"key_prefix":"acme"}`}},
			{func(ctx context.Context) error {
				_, err := store.ChangeSlug(ctx, project.ID, actor, "store")
				return err
			}, []string{`project.change_slug project Shop {"slug":"shop"} {"slug":"store"}`}},
			{func(ctx context.Context) error {
				_, err := store.ChangeProjectPlan(
					ctx, actor, project.ID, 3,
					models.Overrides{models.LimitActiveKeys: nil, models.LimitIPPerMinute: ptr(int64(7))},
				)
				return err
			}, []string{`project.change_plan project Shop ` +
				`{"active_keys":"as the plan","ip_per_minute":"as the plan","plan":"Enterprise"} ` +
				`{"active_keys":"no limit","ip_per_minute":7,"plan":"Growth"}`}},
			{func(ctx context.Context) error {
				plan, err := store.Plan(ctx, 1)
				if err != nil {
					return err
				}
				plan.Rotation, plan.ActiveKeys, plan.LogDays = true, ptr(int64(2)), nil
				_, err = store.UpdatePlan(ctx, actor, 1, plan.PlanLimits)
				return err
			}, []string{`plan.edit plan Free {"active_keys":1,"log_days":7,"rotation":false} ` +
				`{"active_keys":2,"log_days":null,"rotation":true}`}},
			{func(ctx context.Context) error { _, err := store.SetDefaultPlan(ctx, actor, 1); return err },
				[]string{`plan.set_default plan Free {"default_plan":"Enterprise"} {"default_plan":"Free"}`}},
			{func(ctx context.Context) error {
				return store.ChangePassword(ctx, actor, password, newPassword, models.SessionHash{})
			}, []string{`account.change_password account ada@example.com {} {}`}},
			{
				func(ctx context.Context) error { return store.EndAllSessions(ctx, actor) },
				[]string{`account.end_sessions account ada@example.com {} {}`},
			},
		} {
			before := map[int64]int64{}
			for _, end := range verify(t, store, nil) {
				before[end.Chain] = end.Seq
			}
			if err := s.do(t.Context()); err != nil {
				t.Fatalf("step %d (%v): %v", n, s.want, err)
			}
			var got []string
			for _, end := range verify(t, store, nil) {
				for _, row := range auditRowsOf(t, store, end.Chain)[before[end.Chain]:] {
					got = append(got, fmt.Sprintln(row.Action, row.ObjectKind, row.ObjectName, row.Before, row.After))
					if row.ActorKind != models.ActorMember ||
						row.ActorID != user.ID ||
						row.ActorName != user.Email ||
						row.IP != "203.0.113.9" ||
						!row.At.Equal(clock.Now()) ||
						row.ObjectID == 0 {
						t.Errorf("step %d: %+v", n, row)
					}
				}
			}
			want := strings.Join(s.want, "\n")
			if len(s.want) > 0 {
				want += "\n"
			}
			want = strings.ReplaceAll(want, "DEFAULT", defaultKey.Name)
			if token != nil {
				want = strings.ReplaceAll(want, "LAST4", token.Last4)
			}
			if strings.Join(got, "") != want {
				t.Errorf("step %d wrote\n%swant\n%s", n, strings.Join(got, ""), want)
			}
		}

		if len(secrets) < 7 {
			t.Fatalf("only %d secrets to look for", len(secrets))
		}
		for _, end := range verify(t, store, nil) {
			for _, row := range auditRowsOf(t, store, end.Chain) {
				row.Hash = nil
				text := fmt.Sprintf("%+v", row)
				for _, secret := range secrets {
					parts := []string{secret}
					if parsed, ok := models.ParseSecret(secret); ok {
						digest := testkit.Pepper(t).Digest(parsed)
						parts = []string{
							secret[9:], hex.EncodeToString(digest[:]), base64.StdEncoding.EncodeToString(digest[:]),
						}
					}
					for _, part := range parts {
						if strings.Contains(text, part) {
							t.Errorf("a secret or its digest is in %s", text)
						}
					}
				}
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestMovingTheEndOfAVersionWritesBothMoments(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		project, _, _ := newProject(t, store, signUp(t, store, "ada@example.com"), "shop")
		key, _ := newKey(t, store, project, keyInput("one"))
		if _, _, err := store.RotateKey(t.Context(), project.ID, key.ID, tester, 1, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := store.EndVersion(t.Context(), project.ID, key.ID, tester, 1, 0); err != nil {
			t.Fatal(err)
		}
		list := auditRowsOf(t, store, project.ID)
		row := list[len(list)-1]
		now, later := clock.Now().Format(time.RFC3339), clock.Now().Add(time.Hour).Format(time.RFC3339)
		if row.Action != "key.end_version" ||
			row.Before != `{"ends_at":"`+later+`"}` ||
			row.After != `{"ends_at":"`+now+`","version":1}` {
			t.Errorf("%s %s %s", row.Action, row.Before, row.After)
		}
	})
}

func TestAChangeThatFailsWritesNoRow(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, _ *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, defaultKey, _ := newProject(t, store, user, "shop")
		other, _, _ := newProject(t, store, user, "other")
		key, _ := newKey(t, store, project, keyInput("one"))
		newKey(t, store, project, keyInput("two"))
		before := verify(t, store, nil)
		// A new label is made before the name is found to be taken: both must go.
		taken := keyInput("two")
		taken.Category = "new label"
		ctx := t.Context()
		for name, do := range map[string]func() error{
			"a name that is taken, new": func() error {
				_, _, err := store.CreateKey(ctx, project.ID, tester, taken)
				return err
			},
			"a name that is taken, edited": func() error {
				_, err := store.UpdateKey(ctx, project.ID, key.ID, tester, taken)
				return err
			},
			"a key of another project": func() error {
				_, err := store.ChangeKeyState(ctx, other.ID, key.ID, tester, models.ActionRevoke)
				return err
			},
			"the default key": func() error {
				_, err := store.DeleteKey(ctx, project.ID, defaultKey.ID, tester)
				return err
			},
			"no such project": func() error {
				_, _, err := store.CreateKey(ctx, 4711, tester, keyInput("x"))
				return err
			},
			"a rotation too late": func() error {
				_, _, err := store.RotateKey(ctx, project.ID, key.ID, tester, 7, 0)
				return err
			},
			"a slug that is taken": func() error {
				_, _, _, err := store.CreateProject(ctx, user.Actor(""), models.ProjectInput{Name: "Shop"})
				return err
			},
			"an account that is there": func() error {
				_, err := store.SignUp(ctx, models.SignupOpen, "ada@example.com", password, "")
				return err
			},
			"a wrong password": func() error {
				return store.ChangePassword(ctx, user.Actor(""), "wrong", "a new long one", models.SessionHash{})
			},
		} {
			if err := do(); err == nil {
				t.Errorf("%s: no error", name)
			}
			after := verify(t, store, before)
			if !slices.EqualFunc(
				before, after, func(a, b models.Checkpoint) bool { return a.Chain == b.Chain && a.Seq == b.Seq },
			) {
				t.Errorf("%s: there were %v and are %v", name, before, after)
			}
		}
		if categories, err := store.Categories(ctx, project.ID); err != nil || len(categories) != 3 {
			t.Errorf("a label is left: %v %v", categories, err)
		}
	})
}

// Compares the audit log's filters and cursor with a filtered list in memory.
func TestTheAuditLogIsFilteredAndPaged(t *testing.T) {
	eachStore(t, func(t *testing.T, store *models.Store, clock *testkit.Clock) {
		user := signUp(t, store, "ada@example.com")
		project, _, _ := newProject(t, store, user, "shop")
		newProject(t, store, user, "other")
		actors := []models.Actor{
			user.Actor("192.0.2.1"), {Kind: models.ActorServiceToken, ID: 3, Name: "Büro_1"}, {
				Kind: models.ActorServiceToken,
				ID:   4,
				Name: "BüroX1 100%",
			},
		}
		start := clock.Now()
		for n := range 30 {
			clock.Advance(time.Minute)
			key, _, err := store.CreateKey(t.Context(), project.ID, actors[n%3], keyInput(fmt.Sprintf("Key_%d", n)))
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				if _, err := store.DeleteKey(t.Context(), project.ID, key.ID, actors[n%3]); err != nil {
					t.Fatal(err)
				}
			}
			if n%10 == 0 {
				_, _, err := store.CreateServiceToken(t.Context(), project.ID, actors[0], "t", models.AllScopes)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		all := auditRowsOf(t, store, project.ID)
		has := func(part, of string) bool { return strings.Contains(strings.ToLower(of), strings.ToLower(part)) }
		from, to := start.Add(5*time.Minute), start.Add(12*time.Minute)
		for name, f := range map[string]models.AuditFilter{
			"all":              {},
			"actor":            {Actor: "ADA@"},
			"a letter of LIKE": {Actor: "o_1"},
			"another":          {Actor: "100%"},
			"no ASCII":         {Actor: "Büro"},
			"action":           {Action: "key.delete"},
			"kind of action":   {Action: "service_token"},
			"all of keys":      {Action: "key"},
			"no such action":   {Action: "k"},
			"object":           {Object: "key_1"},
			"from":             {From: from},
			"to":               {To: to},
			"everything":       {Actor: "büro", Action: "key.create", Object: "_", From: from, To: to},
		} {
			var want []int64
			for _, row := range slices.Backward(all) {
				if has(f.Actor, row.ActorName) && has(f.Object, row.ObjectName) &&
					(f.Action == "" || row.Action == f.Action || strings.HasPrefix(row.Action, f.Action+".")) &&
					(f.From.IsZero() || !row.At.Before(f.From)) && (f.To.IsZero() || row.At.Before(f.To)) {
					want = append(want, row.Seq)
				}
			}
			f.Limit = 4
			var got []int64
			for more := true; more; {
				var rows []models.AuditRow
				var err error
				if rows, more, err = store.AuditRows(t.Context(), project.ID, f); err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					got = append(got, row.Seq)
					f.Before = row.Seq
				}
			}
			if !slices.Equal(got, want) || (len(want) == 0) != (name == "no such action") {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		row, err := store.AuditRow(t.Context(), project.ID, 2)
		if err != nil || row.Seq != 2 || row.Chain != project.ID {
			t.Errorf("%+v %v", row, err)
		}
		if _, err := store.AuditRow(t.Context(), project.ID, 4711); !hasCode(err, models.CodeNotFound) {
			t.Errorf("%v", err)
		}
		kinds := map[string]bool{}
		for _, row := range all {
			kinds[row.Action] = true
		}
		got := slices.Sorted(maps.Keys(kinds))
		if !slices.Equal(got, []string{"key.create", "key.delete", "project.create", "service_token.create"}) {
			t.Errorf("%v", got)
		}
	})
}
