package sqldb

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"runtime"

	_ "modernc.org/sqlite" // the driver "sqlite", which needs no C compiler
)

func openSQLite(path string) (*DB, error) {
	// Create the file here, because SQLite would make it readable by everybody. The -wal and -shm files get its mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the database file: %w", err)
	}
	file.Close()
	// Immediate transactions take the write lock when they begin, so that one that reads first and writes later
	// cannot fail at its first write. journal_size_limit cuts the write-ahead log to 64 MB after a long reader or a
	// backup made it longer.
	write, err := sql.Open("sqlite", sqliteDSN(path, "_txlock=immediate&_pragma=journal_size_limit(67108864)"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the database file: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", sqliteDSN(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the database file: %w", err)
	}
	readers := max(4, runtime.NumCPU())
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return &DB{Dialect: SQLite, URL: path, Read: read, Write: write, Writer: newWriter(write)}, nil
}

func sqliteDSN(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_time_integer_format=unix_milli&_inttotime=1" +
		"&_pragma=busy_timeout(5000)" +
		"&_pragma=journal_mode(WAL)" +
		"&_pragma=foreign_keys(1)" +
		"&_pragma=synchronous(NORMAL)" +
		"&" + extra
}
