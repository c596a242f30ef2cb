package process_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// everyFile returns the content of each file in the data folder, by name.
func (i instance) everyFile() map[string]string {
	i.t.Helper()
	files, err := filepath.Glob(filepath.Join(i.Data, "*"))
	if err != nil {
		i.t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			i.t.Fatal(err)
		}
		all[filepath.Base(file)] = string(content)
	}
	return all
}

func TestADatabaseFromBeforeTheFirstReleaseIsRefusedAndNotChanged(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		// Make a data folder with the files that a server leaves.
		if p, code := i.run("migrate"); code != 0 {
			t.Fatal(p.Stderr.String())
		}
		if err := os.WriteFile(filepath.Join(i.Data, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		db := i.openDatabase()
		if _, err := db.Exec("UPDATE goose_db_version SET version_id = 9 WHERE version_id > 0"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("UPDATE instance SET pepper_fingerprint = NULL"); err != nil {
			t.Fatal(err)
		}
		name, advice := i.database, "CLAVIGER_DATA "
		if models.IsPostgresURL(url) {
			name, advice = testkit.Schema(t, url), "CLAVIGER_DATABASE_URL "
		} else if err := db.Close(); err != nil { // which moves the write-ahead log to the database file
			t.Fatal(err)
		}

		before, schema := i.everyFile(), ""
		if models.IsPostgresURL(url) {
			schema = i.dump()
		}
		for _, args := range [][]string{
			{"serve"}, {"migrate"}, {"audit", "verify"}, {"setup", "--email", "ada@example.com", "--project", "first"},
		} {
			i.refuses(args, name, "number 9,", "before the first release", "Nothing was changed", advice)
		}
		if !models.IsPostgresURL(url) {
			i.refuses([]string{"backup", filepath.Join(t.TempDir(), "copy")}, name, "number 9,", advice)
		}

		after := i.everyFile()
		if !maps.Equal(after, before) {
			t.Errorf("the data folder had %d files and has %d, want the same files with the same content", len(before),
				len(after))
		}
		if models.IsPostgresURL(url) {
			if now := i.dump(); now != schema {
				t.Errorf("the schema is\n%s\nwant\n%s", now, schema)
			}
			if n := number(t, db, "SELECT COUNT(*) FROM instance WHERE pepper_fingerprint IS NOT NULL"); n != 0 {
				t.Error("the fingerprint of a pepper was stored")
			}
		}
	})
}
