// Package testkit gives tests real databases, a clock that they move, and the whole service on a local port.
package testkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // for making schemas

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog/postgres"
	"github.com/claviger/claviger/models/requestlog/sqlite"
)

// localPostgres is where a Postgres usually listens on the machine of a developer.
const localPostgres = "postgres://127.0.0.1:5432/test?sslmode=disable"

// EachDatabase runs a test on SQLite and on Postgres, each time with an empty database of its own. Without Postgres
// that half is skipped and says so; with REQUIRE_SERVICES=1, as in CI, it fails.
func EachDatabase(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "claviger.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// Postgres makes an empty schema and gives a URL that works in it.
func Postgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("TEST_POSTGRES_URL")
	if base == "" {
		base = localPostgres
	}
	admin, err := sql.Open("pgx", base)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		err = admin.PingContext(ctx)
	}
	if err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatalf("Postgres is required and cannot be reached: %v", err)
		}
		t.Skipf("Postgres cannot be reached, so this ran on SQLite alone: %v", err)
	}
	schema := "test_" + randomHex()
	if _, err := admin.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		admin.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", schema)
	query.Set("synchronous_commit", "off") // no test takes the power from Postgres
	u.RawQuery = query.Encode()
	return u.String()
}

// Schema is the one that an address from [Postgres] works in: a name that no other test has.
func Schema(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}

func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Clock is a time that stands still until a test moves it.
type Clock struct {
	mu   sync.Mutex
	at   time.Time
	real bool
}

// NewClock starts at a moment that is the same in every test.
func NewClock() *Clock { return &Clock{at: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real {
		return time.Now()
	}
	return c.at
}

// Follow makes the clock show the real time from now on, for tests with a browser, which has a clock of its own.
func (c *Clock) Follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.real = true
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Pepper is the one that tests use.
func Pepper(t testing.TB) models.Pepper {
	t.Helper()
	pepper, err := models.NewPepper([]byte(strings.Repeat("pepper of tests ", 2)))
	if err != nil {
		t.Fatal(err)
	}
	return pepper
}

// CheapPasswords make a hash cost next to nothing.
var CheapPasswords = models.PasswordCost{MemoryKiB: 64, Iterations: 1, Parallel: 4}

// Store opens the database at url, migrated.
func Store(t testing.TB, url string, clock *Clock, onQuery func()) *models.Store {
	t.Helper()
	return OpenStore(t, url, clock, onQuery, app.StoreOptions{})
}

// SmallLog makes the pieces in which the log of requests is stored so small that a test of some thousand rows reaches
// all of its limits.
var SmallLog = app.StoreOptions{
	SQLite: sqlite.Options{
		ChunkRows: 40, GroupChunks: 3, HeadChunks: 4, MemtableEntries: 700, MemtableBatches: 9, BlockBytes: 200,
		RunsPerLevel: 2, BlocksPerStep: 3, ChunksPerStep: 2,
	},
	Postgres: postgres.Options{ScanRows: 10, RowsPerStep: 100},
}

// OpenStore is [Store] with sizes for the log.
func OpenStore(t testing.TB, url string, clock *Clock, onQuery func(), o app.StoreOptions) *models.Store {
	t.Helper()
	o.URL = url
	o.Options = models.Options{Pepper: Pepper(t), Now: clock.Now, PasswordCost: CheapPasswords, OnQuery: onQuery}
	store, err := app.OpenStore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// Tidy tidies the log until nothing is left to do.
func Tidy(t testing.TB, store *models.Store) {
	t.Helper()
	for more, steps := true, 0; more; steps++ {
		var err error
		if more, err = store.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if steps > 100_000 {
			t.Fatal("tidying does not come to an end")
		}
	}
}
