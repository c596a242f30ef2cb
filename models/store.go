// Package models has the database rows of Claviger except those of the request log, the rules for them, and all their
// queries and transactions. Rules that need no database are pure functions, which both the dashboard and the gate use.
package models

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/libtnb/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// Options are the options of [New]. DB, Log and Pepper are required.
type Options struct {
	// DB is the database, and Log the request log in it. [Store.Close] closes both.
	DB  *sqldb.DB
	Log requestlog.Log
	// Pepper keys every stored digest. The database stores the fingerprint of the pepper that it was made with.
	Pepper Pepper
	// Now returns the time; time.Now if nil.
	Now func() time.Time
	// Random is the source of the random bytes of secrets; crypto/rand if nil.
	Random io.Reader
	// PasswordCost is the work of a password hash; [DefaultPasswordCost] if zero.
	PasswordCost PasswordCost
	// OnQuery, if not nil, is called for every statement except those of the request log, to count them. It is called
	// from many goroutines.
	OnQuery func()
}

// Store reads and writes the database and enforces the rules. It is safe for concurrent use.
type Store struct {
	db  *sqldb.DB
	log requestlog.Log
	// read and write are pools of connections, as those of [sqldb.DB].
	read, write *gorm.DB
	pepper      Pepper
	now         func() time.Time
	random      io.Reader
	passwords   *passwords
	subscribers []func(Change)
	// channel and sender are for notifications between processes: see notify and Listen.
	channel string
	sender  atomic.Pointer[string] // name under which this store sends

	tidyMu sync.Mutex
	round  *tidyRound // nil between rounds
	tidied int64      // day on which old counts of unknown keys were last removed, as [UnknownKeyDay]
}

// IsPostgresURL reports whether a database URL names Postgres. Any other value is the path of a SQLite file.
func IsPostgresURL(url string) bool { return sqldb.IsPostgresURL(url) }

// New makes a store. Call [Store.Migrate] or [Store.CheckSchema] before other methods. New returns an error if the
// schema of a Postgres database is from before the first release; for SQLite, see [RefuseOldFile].
func New(ctx context.Context, o Options) (*Store, error) {
	s := &Store{db: o.DB, log: o.Log, pepper: o.Pepper, now: o.Now, random: o.Random}
	s.renameSender()
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	s.passwords = newPasswords(o.PasswordCost)
	for side, pool := range map[**gorm.DB]*sql.DB{&s.read: o.DB.Read, &s.write: o.DB.Write} {
		var err error
		*side, err = gorm.Open(dialector(o.DB.Dialect, pool), &gorm.Config{
			TranslateError:         true,
			SkipDefaultTransaction: true,
			Logger:                 queryLogger{onQuery: o.OnQuery},
			NowFunc:                s.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("cannot use the database: %w", err)
		}
	}
	if s.isPostgres() {
		if err := s.refuseOldPostgres(ctx); err != nil {
			return nil, err
		}
		schema, err := s.schema(ctx)
		if err != nil {
			return nil, err
		}
		s.channel = notificationChannel(schema)
	}
	return s, nil
}

func dialector(dialect sqldb.Dialect, pool *sql.DB) gorm.Dialector {
	if dialect == sqldb.Postgres {
		return postgres.New(postgres.Config{Conn: pool})
	}
	return sqlite.New(sqlite.Config{Conn: pool})
}

// Log returns the request log in the same database.
func (s *Store) Log() requestlog.Log { return s.log }

// Now returns the time in UTC, cut to milliseconds, as SQLite stores it.
func (s *Store) Now() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// Dialect returns the kind of database.
func (s *Store) Dialect() sqldb.Dialect { return s.db.Dialect }

func (s *Store) isPostgres() bool { return s.db.Dialect == sqldb.Postgres }

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) (err error) {
	defer doing(&err, "ping database")
	return s.db.Ping(ctx)
}

// Close stops the background work of the request log and closes all connections.
func (s *Store) Close() {
	s.log.Close()
	s.db.Close()
}

// schema returns the Postgres schema that the connections use.
func (s *Store) schema(ctx context.Context) (schema string, err error) {
	if err := s.read.WithContext(ctx).Raw("SELECT current_schema()").Row().Scan(&schema); err != nil {
		return "", fmt.Errorf("cannot read the name of the schema: %w", err)
	}
	return schema, nil
}

// tx runs fn in a transaction on the write pool.
func (s *Store) tx(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return s.write.WithContext(ctx).Transaction(fn)
}

// snapshot runs fn in a transaction on the read pool. All its queries see the same state of the database.
func (s *Store) snapshot(ctx context.Context, fn func(tx *gorm.DB) error) error {
	db := s.read.WithContext(ctx)
	if s.isPostgres() {
		return db.Transaction(fn, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	}
	return db.Transaction(fn)
}

// checkPepper returns an error unless the pepper is the one that the database's digests were made with. In a new
// database it stores the pepper's fingerprint. With a wrong pepper every key would be unknown, so the server must not
// start.
func (s *Store) checkPepper(ctx context.Context) error {
	fingerprint := s.pepper.fingerprint()
	result := s.write.WithContext(ctx).Exec(`
		UPDATE instance
		SET pepper_fingerprint = ?
		WHERE id = 1 AND pepper_fingerprint IS NULL
	`, fingerprint)
	if result.Error != nil {
		return result.Error
	}
	var stored []byte
	row := s.read.WithContext(ctx).Raw("SELECT pepper_fingerprint FROM instance WHERE id = 1").Row()
	if err := row.Scan(&stored); err != nil {
		return err
	}
	if string(stored) != string(fingerprint) {
		return fmt.Errorf("this database was made with another pepper: its keys would all be unknown. " +
			"Give the pepper file (or CLAVIGER_PEPPER) that belongs to it")
	}
	return nil
}
