// Package sqldb opens the database: a SQLite file or Postgres. It has SQLite's one writing connection, which the
// request log and everything else share, and classifies the errors of both databases.
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
	// URL is the argument of [Open]: postgres://…, or the path of a SQLite file.
	URL string
	// Read and Write are the same pool on Postgres. On SQLite, Write has one connection, and Read has several that
	// cannot write.
	Read, Write *sql.DB
	// Writer runs transactions on SQLite's writing connection. It is nil on Postgres.
	Writer *Writer
}

// IsPostgresURL reports whether a database URL names Postgres. Any other value is the path of a SQLite file.
func IsPostgresURL(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// Open connects to the database at url. It returns an error if the database cannot be reached.
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

// Ping returns an error if one of the pools gets no answer from the database.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range []*sql.DB{db.Read, db.Write} {
		if err := pool.PingContext(ctx); err != nil {
			return err
		}
		if db.Dialect == SQLite { // the driver's ping does not read the file
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

// Close closes all connections. It waits up to 5 s for connections in use, such as that of a transaction whose
// context has just ended, which database/sql rolls back in the background. SQLite writes its write-ahead log into the
// database file when the last connection is closed.
func (db *DB) Close() {
	for _, pool := range []*sql.DB{db.Read, db.Write} {
		pool.Close()
		for end := time.Now().Add(closeTime); pool.Stats().OpenConnections > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
}
