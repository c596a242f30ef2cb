package models

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// lastOldSchema is the number of the last schema from before the first release. The first migration is the one after it.
const lastOldSchema = 9

// RefuseOldFile returns an error if the SQLite file at path has a schema from before the first release. Call it before the
// file is opened: it writes nothing, and makes no file beside it. Where the schema cannot be told, it returns nil, and
// opening says what is wrong.
func RefuseOldFile(ctx context.Context, path string) error {
	version, err := peekSQLiteSchema(ctx, path)
	if err != nil || version < 1 || version > lastOldSchema {
		return nil
	}
	return oldSchemaError(path, version, "set CLAVIGER_DATA to another folder")
}

// peekSQLiteSchema reads the schema version of a SQLite file without changing anything.
func peekSQLiteSchema(ctx context.Context, path string) (version int64, err error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, err
	}
	// A connection that only reads would still make the files -wal and -shm beside a database with a write-ahead log. So
	// without a log the database is read as one that nobody changes. With one, its index is made in memory, which SQLite
	// does for an exclusive connection; it locks nothing, so a server beside it goes on.
	how := "mode=ro&immutable=1"
	if _, err := os.Stat(file + "-wal"); err == nil {
		how = "mode=ro&vfs=unix-none&_pragma=locking_mode(EXCLUSIVE)"
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+how)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	// SQLite deletes the log when the last connection closes. Without locks this connection takes itself for the last,
	// and would delete the log of a running server if there is nothing in it yet. The server would go on writing to the
	// deleted file.
	err = conn.Raw(func(driverConn any) error {
		_, err := driverConn.(sqlite.FileControl).FileControlPersistWAL("main", 1)
		return err
	})
	if err != nil {
		return 0, err
	}
	const query = "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version"
	err = conn.QueryRowContext(ctx, query).Scan(&version)
	return version, err
}

// refuseOldPostgres returns an error if the database has a schema from before the first release. It writes nothing.
func (s *Store) refuseOldPostgres(ctx context.Context) error {
	var table *string
	db := s.read.WithContext(ctx)
	if err := db.Raw("SELECT to_regclass('goose_db_version')::text").Row().Scan(&table); err != nil {
		return fmt.Errorf("cannot read the schema version: %w", err)
	}
	if table == nil {
		return nil
	}
	var version int64
	err := db.Raw("SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Row().Scan(&version)
	if err != nil {
		return fmt.Errorf("cannot read the schema version: %w", err)
	}
	if version < 1 || version > lastOldSchema {
		return nil
	}
	return s.oldPostgresError(ctx, version)
}

// oldPostgresError names the database, never its password.
func (s *Store) oldPostgresError(ctx context.Context, version int64) error {
	config, err := pgconn.ParseConfig(s.db.URL)
	if err != nil {
		return err
	}
	name := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	schema, err := s.schema(ctx)
	if err != nil {
		return err
	}
	if schema != "public" {
		name += " (schema " + schema + ")"
	}
	return oldSchemaError(name, version, "set CLAVIGER_DATABASE_URL to another database")
}

func oldSchemaError(name string, version int64, advice string) error {
	return fmt.Errorf("the database %s was made by a program from before the first release and cannot be used: "+
		"its schema is number %d, and the first one of a release is %d. Nothing was changed. "+
		"To start with an empty database, %s", name, version, lastOldSchema+1, advice)
}
