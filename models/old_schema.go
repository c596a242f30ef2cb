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

// lastOldSchema is the version of the last schema from before the first release. The first migration has the next
// number.
const lastOldSchema = 9

// RefuseOldFile returns an error if the SQLite file at path has a schema from before the first release. Call it before
// opening the file: it writes nothing and creates no files. If the version cannot be read, it returns nil; opening the
// file will report what is wrong.
func RefuseOldFile(ctx context.Context, path string) error {
	version, err := readSQLiteSchema(ctx, path)
	if err != nil || version < 1 || version > lastOldSchema {
		return nil
	}
	return oldSchemaError(path, version, "set CLAVIGER_DATA to another folder")
}

// readSQLiteSchema reads the schema version of a SQLite file without changing anything.
func readSQLiteSchema(ctx context.Context, path string) (version int64, err error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, err
	}
	// In WAL mode, even a read-only connection creates the files -wal and -shm. So without a -wal file the database
	// is opened as immutable. With one, the connection is exclusive, for which SQLite keeps the index of the log in
	// memory; the VFS unix-none takes no locks, so a running server is not disturbed.
	options := "mode=ro&immutable=1"
	if _, err := os.Stat(file + "-wal"); err == nil {
		options = "mode=ro&vfs=unix-none&_pragma=locking_mode(EXCLUSIVE)"
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+options)
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

// oldPostgresError returns the error for a Postgres with an old schema. It names host, port, database and schema, but
// not the password.
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
