// Package sqldb opens the database: an embedded SQLite file or Postgres. It holds SQLite's one writing connection,
// which the log of requests and everything else share, and knows what errors of either database mean.
package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Dialect is the kind of database.
type Dialect string

const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// DB is an open database.
type DB struct {
	Dialect Dialect
	// URL is what it was opened with: postgres://…, or the path of a SQLite file.
	URL string
	// Read and Write are the same pool on Postgres. SQLite has one writing connection and several that only read.
	Read, Write *sql.DB
	// Writer runs transactions on SQLite's writing connection. It is nil on Postgres.
	Writer *Writer
}

// IsPostgresURL reports whether a database URL names Postgres. Everything else is the path of a SQLite file.
func IsPostgresURL(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// Open connects to the database at url. It returns an error where the database cannot be reached.
func Open(ctx context.Context, url string) (*DB, error) {
	open := openSQLite
	if IsPostgresURL(url) {
		open = openPostgres
	}
	db, err := open(url)
	if err != nil {
		return nil, err
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("cannot reach the database: %w", err)
	}
	return db, nil
}

// Ping asks both sides of the database for an answer.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range []*sql.DB{db.Read, db.Write} {
		if err := pool.PingContext(ctx); err != nil {
			return err
		}
		if db.Dialect == SQLite { // whose ping does not touch the file
			var tables int
			if err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeTime is how long Close waits for connections in use.
const closeTime = 5 * time.Second

// Close ends all connections. It waits up to 5 s for those in use, such as that of a transaction whose context has just
// ended, which database/sql rolls back in the background. SQLite puts its write-ahead log into the file when the last
// connection closes.
func (db *DB) Close() {
	for _, pool := range []*sql.DB{db.Read, db.Write} {
		pool.Close()
		for end := time.Now().Add(closeTime); pool.Stats().OpenConnections > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
}
