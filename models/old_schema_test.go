package models_test

import (
	"database/sql"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// oldSchema is what a database from before the first release had, as far as it matters here.
const oldSchema = `
	CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL);
	INSERT INTO goose_db_version (id, version_id, is_applied) VALUES (1, 0, TRUE), (2, 1, TRUE), (3, %d, TRUE);
	CREATE TABLE instance (id INTEGER PRIMARY KEY, pepper_fingerprint TEXT);
	INSERT INTO instance (id) VALUES (1);
`

func execute(t *testing.T, driver, name, statements string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	return db
}

// contents gives the content of each file in a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = string(content)
	}
	return all
}

// refusesOld opens a database that must be refused in a message that has all of words.
func refusesOld(t *testing.T, url string, words ...string) {
	t.Helper()
	store, err := app.ConnectStore(
		t.Context(), app.StoreOptions{URL: url, Options: models.Options{Pepper: testkit.Pepper(t)}},
	)
	if err == nil {
		store.Close()
		t.Fatal("the database was opened")
	}
	for _, word := range append(words, "before the first release", "Nothing was changed") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the message does not say %q: %v", word, err)
		}
	}
}

func TestASQLiteFileFromBeforeTheFirstReleaseIsRefusedAndNotTouched(t *testing.T) {
	const walAndIndex, walAlone, noWAL = "with a log and its index", "with a log", "without a log"
	for _, version := range []int{1, 9} {
		for _, mode := range []string{"DELETE", "WAL"} {
			for _, left := range []string{walAndIndex, walAlone, noWAL} {
				if mode == "DELETE" && left != noWAL {
					continue
				}
				t.Run(fmt.Sprintf("schema %d, journal mode %s, %s", version, mode, left), func(t *testing.T) {
					made, folder := t.TempDir(), t.TempDir()
					db := execute(t, "sqlite", filepath.Join(made, "claviger.db"), "PRAGMA journal_mode = "+mode)
					if _, err := db.Exec(fmt.Sprintf(oldSchema, version)); err != nil {
						t.Fatal(err)
					}
					if left == noWAL {
						db.Close()
					}
					// The copy is what a process leaves that was killed: with a log, nothing of this is in the file
					// itself.
					for name, content := range contents(t, made) {
						if strings.HasSuffix(name, "-shm") && left == walAlone {
							continue
						}
						if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					before := contents(t, folder)
					if _, log := before["claviger.db-wal"]; log == (left == noWAL) {
						t.Fatalf("the folder has %d files", len(before))
					}
					file := filepath.Join(folder, "claviger.db")
					refusesOld(t, file, file, fmt.Sprintf("number %d,", version), "CLAVIGER_DATA")
					after := contents(t, folder)
					delete(before, "claviger.db-shm") // the index of the log: no data, and SQLite makes it again
					delete(after, "claviger.db-shm")
					if !maps.Equal(after, before) {
						t.Errorf("the folder had %v and has %v, or their content changed", names(before), names(after))
					}
				})
			}
		}
	}
}

func names(files map[string]string) (all []string) {
	for name, content := range files {
		all = append(all, fmt.Sprintf("%s (%d bytes)", name, len(content)))
	}
	return all
}

func TestAPostgresFromBeforeTheFirstReleaseIsRefusedAndNotTouched(t *testing.T) {
	for _, version := range []int{1, 9} {
		url := testkit.Postgres(t)
		db := execute(t, "pgx", url, fmt.Sprintf(oldSchema, version))
		state := func() (text string) {
			t.Helper()
			err := db.QueryRow(`
				SELECT CONCAT(
					(SELECT STRING_AGG(v::text, ' ' ORDER BY v.id) FROM goose_db_version v),
					(SELECT STRING_AGG(i::text || i.xmin, ' ') FROM instance i),
					(SELECT STRING_AGG(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
						WHERE c.relnamespace = current_schema()::regnamespace)
				)`).Scan(&text)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		before := state()
		refusesOld(
			t, url, "(schema "+testkit.Schema(t, url)+")", fmt.Sprintf("number %d,", version), "CLAVIGER_DATABASE_URL",
		)
		if after := state(); after != before {
			t.Errorf("schema %d: the database had\n%s\nand has\n%s", version, before, after)
		}
	}
}

func TestAMessageAboutAnOldPostgresNamesHostAndDatabaseButNoPassword(t *testing.T) {
	address := testkit.Postgres(t)
	execute(t, "pgx", address, fmt.Sprintf(oldSchema, 9))
	store, err := app.ConnectStore(t.Context(), app.StoreOptions{
		URL: address + "&password=s3same-open", Options: models.Options{Pepper: testkit.Pepper(t)},
	})
	if err == nil {
		store.Close()
		t.Fatal("the database was opened")
	}
	if !strings.Contains(err.Error(), "/test (schema ") || strings.Contains(err.Error(), "s3same") {
		t.Errorf("the message is: %v", err)
	}
}

func TestANewDatabaseHasTheFirstSchemaOfARelease(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		store, err := app.ConnectStore(
			t.Context(), app.StoreOptions{URL: url, Options: models.Options{Pepper: testkit.Pepper(t)}},
		)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		version, err := store.Migrate(t.Context())
		if err != nil || version < 10 {
			t.Errorf("the schema is number %d (%v), and the first one of a release is 10", version, err)
		}
		if err := store.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
		testkit.Store(t, url, testkit.NewClock(), nil) // beside the first, whose log is not in the file yet
	})
}
