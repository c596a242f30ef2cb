package sqldb

import (
	"errors"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// WhyNotWritten returns in a few words why a write failed with err. The words contain no paths and no SQL, so they are
// safe to show to anybody.
func WhyNotWritten(err error) string {
	if why := WriteProblem(err); why != "" {
		return why
	}
	if errors.As(err, new(*sqlite.Error)) || errors.As(err, new(*pgconn.PgError)) {
		return "the database refuses the rows"
	}
	return "the database does not answer"
}

// WriteProblem returns why the database cannot write anything at all, or "" if err has another cause.
func WriteProblem(err error) string {
	const full, readOnly = "the disk is full", "the data folder cannot be written"
	var onSQLite *sqlite.Error
	var onPostgres *pgconn.PgError
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return full
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return readOnly
	case errors.As(err, &onSQLite):
		switch onSQLite.Code() & 0xff { // the primary code: https://sqlite.org/rescode.html
		case sqliteFull:
			return full
		case sqliteReadOnly, sqliteCannotOpen:
			return readOnly
		case sqliteIOError:
			return "the disk reports errors"
		case sqliteBusy, sqliteLocked:
			return "the database is busy"
		}
	case errors.As(err, &onPostgres):
		switch onPostgres.Code { // https://www.postgresql.org/docs/current/errcodes-appendix.html
		case "53100":
			return "the database's disk is full"
		case "25006":
			return "the database takes no changes"
		}
		switch onPostgres.Code[:min(2, len(onPostgres.Code))] {
		case "08", "53", "57", "58": // connection, resources, operators, system
			return "the database does not answer"
		}
	}
	return ""
}

const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
	sqliteIOError    = 10
	sqliteFull       = 13
	sqliteCannotOpen = 14
)
