package models

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"

	sqlitedriver "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"modernc.org/sqlite"
)

// sqliteDialect is GORM's SQLite dialect with error translation for the driver in use, which needs no C compiler.
type sqliteDialect struct{ sqlitedriver.Dialector }

// The extended result codes of https://sqlite.org/rescode.html that mean a broken constraint.
const (
	sqliteConstraintCheck      = 275
	sqliteConstraintForeignKey = 787
	sqliteConstraintPrimaryKey = 1555
	sqliteConstraintUnique     = 2067
)

func (sqliteDialect) Translate(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqliteConstraintPrimaryKey, sqliteConstraintUnique:
		return gorm.ErrDuplicatedKey
	case sqliteConstraintForeignKey:
		return gorm.ErrForeignKeyViolated
	case sqliteConstraintCheck:
		return gorm.ErrCheckConstraintViolated
	}
	return err
}

func (s *Store) openSQLite(path string, config *gorm.Config) error {
	// SQLite would make the file readable by everybody; the files beside it take over this one's mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the database file: %w", err)
	}
	file.Close()
	// Immediate transactions take the write lock at once: one that reads first and writes later cannot fail half-way. The
	// write-ahead log is cut to 64 MB again where a long reader or a backup made it longer.
	write, err := sql.Open("sqlite", sqliteDSN(path, "_txlock=immediate&_pragma=journal_size_limit(67108864)"))
	if err != nil {
		return err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", sqliteDSN(path, "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	readers := max(4, runtime.NumCPU())
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)

	for _, side := range []struct {
		db   **gorm.DB
		conn *sql.DB
	}{{&s.write, write}, {&s.read, read}} {
		c := *config
		*side.db, err = gorm.Open(sqliteDialect{sqlitedriver.Dialector{Conn: side.conn}}, &c)
		if err != nil {
			return err
		}
	}
	s.requests = newSQLiteRequests(read, write)
	return nil
}

func sqliteDSN(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_time_integer_format=unix_milli&_inttotime=1" +
		"&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)&" + extra
}
