package process_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// openDatabase opens the database without the program.
func (i instance) openDatabase() *sql.DB {
	i.t.Helper()
	driver, name := "sqlite", i.database
	if models.IsPostgresURL(i.database) {
		driver = "pgx"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() })
	return db
}

// number returns the result of a query for one number.
func number(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// openStore opens the database as the program does, with the pepper in the data folder.
func (i instance) openStore() *models.Store {
	i.t.Helper()
	file, err := os.ReadFile(filepath.Join(i.Data, "pepper"))
	if err != nil {
		i.t.Fatal(err)
	}
	pepper, err := models.NewPepper(bytes.TrimSpace(file))
	if err != nil {
		i.t.Fatal(err)
	}
	store, err := app.ConnectStore(i.t.Context(), app.StoreOptions{
		URL: i.database, Options: models.Options{Pepper: pepper},
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return store
}

// eachRequest calls yield for all rows of the log, read as a new process reads them.
func (i instance) eachRequest(yield func(*requestlog.Row)) {
	i.t.Helper()
	store := i.openStore()
	defer store.Close()
	projects, _, err := store.ProjectUses(i.t.Context(), models.ProjectFilter{Limit: 100})
	if err != nil {
		i.t.Fatal(err)
	}
	for _, p := range projects {
		filter := models.LogFilter{Limit: 1000}
		for more := true; more; {
			page, err := store.RequestLogs(i.t.Context(), p.ID, filter)
			if err != nil {
				i.t.Fatal(err)
			}
			for n := range page.Entries {
				yield(&page.Entries[n].Row)
				filter.Before = page.Entries[n].ID
			}
			more = page.HasOlder
		}
	}
}

// rowsByRequest returns the number of rows of each request id.
func (i instance) rowsByRequest() map[string]int {
	i.t.Helper()
	counts := map[string]int{}
	i.eachRequest(func(r *requestlog.Row) { counts[r.ID.String()]++ })
	return counts
}

// requestLog waits until the row of a request is written, and returns its address, method and path.
func (i instance) requestLog(requestID string) string {
	i.t.Helper()
	id, ok := requestlog.ParseID(requestID)
	if !ok {
		i.t.Fatalf("%q is not a request id", requestID)
	}
	var row *requestlog.Row
	eventually(i.t, "the row of "+requestID, func() bool {
		i.eachRequest(func(r *requestlog.Row) {
			if r.ID == id {
				row = r
			}
		})
		return row != nil
	})
	return row.IP + " " + row.Method + " " + row.Path
}

// wantEachOnce fails the test if an answer has no row although it must have one, if a row exists twice, or if the
// counts by minute or by key differ from the rows.
func (i instance) wantEachOnce(projectID int64, answers []answer) {
	i.t.Helper()
	rows, counted := i.recorded(projectID)
	lost, missing, oldest := 0, 0, time.Duration(0)
	for _, a := range answers {
		switch {
		case rows[a.id]:
		case a.mayBeLost:
			lost++
			oldest = max(oldest, a.before)
		default:
			missing++
			oldest = max(oldest, a.before)
		}
	}
	if missing > 0 {
		i.t.Errorf("of %d answered requests, %d have no row; the oldest was answered %s before the end", len(answers),
			missing, oldest)
	}
	if counted != len(rows) {
		i.t.Errorf("the counts by minute have %d requests, want %d as there are rows", counted, len(rows))
	}
	i.t.Logf("%d answers, %d rows, %d lost within what is allowed, the oldest %s before the end", len(answers),
		len(rows), lost, oldest)
}

// recorded returns the request ids in a project's log, and the number of requests in its counts by minute. On SQLite,
// the server must not run.
func (i instance) recorded(projectID int64) (rows map[string]bool, counted int) {
	i.t.Helper()
	store := i.openStore()
	defer store.Close()
	rows = map[string]bool{}
	admitted := map[int64]int64{} // by key
	for filter := (models.LogFilter{Limit: 5000}); ; {
		page, err := store.RequestLogs(i.t.Context(), projectID, filter)
		if err != nil {
			i.t.Fatal(err)
		}
		for _, entry := range page.Entries {
			if rows[entry.ID.String()] {
				i.t.Errorf("the request %s has two rows", entry.ID)
			}
			rows[entry.ID.String()] = true
			if entry.Code == requestlog.CodeValid {
				admitted[entry.KeyID]++
			}
			filter.Before = entry.ID
		}
		if !page.HasOlder {
			break
		}
	}
	usage, err := store.UsageByMinute(i.t.Context(), projectID, 60)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, minute := range usage {
		counted += int(minute.Admitted + minute.Rejected)
	}
	for key, n := range admitted { // the usage by which a new process checks the key's quotas
		if used, err := store.Log().KeyUsage(i.t.Context(), key); err != nil || used.Total != n {
			i.t.Errorf("the usage of key %d is %d (%v), want %d as there are rows", key, used.Total, err, n)
		}
	}
	return rows, counted
}

// madeKey is a key with its secret.
type madeKey struct {
	id     int64
	secret string
}

// createKeys creates n production keys with the settings of in, without the program, which must not run.
func (i instance) createKeys(projectID int64, n int, in models.KeyInput) (keys []madeKey) {
	i.t.Helper()
	store := i.openStore()
	defer store.Close()
	in.Type, in.Category = models.TypeProduction, "production"
	for range n {
		in.Name = fmt.Sprintf("key_%d", len(keys))
		key, secret, err := store.CreateKey(i.t.Context(), projectID, testkit.Actor(1), in)
		if err != nil {
			i.t.Fatal(err)
		}
		keys = append(keys, madeKey{key.ID, secret.Plain()})
	}
	return keys
}

// dump returns the schema as text. It does not include which migrations were applied.
func (i instance) dump() string {
	i.t.Helper()
	query := "SELECT type, name, COALESCE(sql, '') FROM sqlite_master ORDER BY 1, 2"
	if models.IsPostgresURL(i.database) {
		query = `SELECT table_name, column_name, data_type FROM information_schema.columns
			WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`
	}
	rows, err := i.openDatabase().Query(query)
	if err != nil {
		i.t.Fatal(err)
	}
	defer rows.Close()
	var text strings.Builder
	for rows.Next() {
		var a, b, c string
		if err := rows.Scan(&a, &b, &c); err != nil {
			i.t.Fatal(err)
		}
		fmt.Fprintln(&text, a, b, c)
	}
	if err := rows.Err(); err != nil {
		i.t.Fatal(err)
	}
	return text.String()
}

// forgetMigration removes the record of the newest migration, so that the database looks older than the program.
func (i instance) forgetMigration() {
	i.t.Helper()
	_, err := i.openDatabase().Exec(`DELETE FROM goose_db_version
		WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)`)
	if err != nil {
		i.t.Fatal(err)
	}
}
