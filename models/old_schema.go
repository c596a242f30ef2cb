package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// lastOldSchema is the version of the last schema from before the first release. The first migration has the next
// number.
const lastOldSchema = 9

// RefuseOldFile returns an error if the SQLite file at path has a schema from before the first release. Call it before
// the file is opened. It changes neither the file nor its write-ahead log.
func RefuseOldFile(ctx context.Context, path string) error {
	version, err := peekSchema(ctx, path)
	if err != nil || !isOldSchema(version) {
		return nil // opening says what is wrong with the file
	}
	return oldSchemaError(path, version, "set CLAVIGER_DATA to another folder")
}

// peekSchema reads the schema version of a SQLite file without changing it.
func peekSchema(ctx context.Context, path string) (version int64, err error) {
	// A connection that only reads still makes the files of a write-ahead log. So a database without one is read as a
	// file that nobody changes. One with a log is read under SQLite's locks, as a server may be using it.
	query := "mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		query += "&immutable=1"
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&version)
	return version, err
}

func isOldSchema(version int64) bool { return version >= 1 && version <= lastOldSchema }

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
	if !isOldSchema(version) {
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
