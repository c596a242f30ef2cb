// Package models holds what Claviger knows: the rows, the rules about them, every query and every transaction.
// Rules that need no database are pure functions, so that the dashboard and the gate give the same answer.
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

// Options is what a [Store] is made with. Zero values are the defaults given.
type Options struct {
	// DB is the database, and Log the log of requests in it. [Store.Close] closes both.
	DB  *sqldb.DB
	Log requestlog.Log
	// Pepper keys every stored digest. The database remembers which one it was made with.
	Pepper Pepper
	// Now gives the time; time.Now if nil.
	Now func() time.Time
	// Random gives the bytes of secrets; crypto/rand if nil.
	Random io.Reader
	// PasswordCost is how much work a password hash takes; [DefaultPasswordCost] if zero.
	PasswordCost PasswordCost
	// OnQuery is called for every statement but those of the log of requests, to count them. It may be nil, and is called
	// from many goroutines.
	OnQuery func()
}

// Store is the database with the rules that guard it. It is safe for use by many goroutines.
type Store struct {
	db  *sqldb.DB
	log requestlog.Log
	// read and write are the same pool on Postgres. SQLite has one writing connection and several readers.
	read, write *gorm.DB
	pepper      Pepper
	now         func() time.Time
	random      io.Reader
	passwords   *passwords
	subscribers []func(Change)
	// channel and sender are for notices between processes: see notify and Listen.
	channel string
	sender  atomic.Pointer[string]

	tidying sync.Mutex
	round   *tidyRound // nil between rounds
	tidied  int64      // the day on which old counts of unknown keys were removed last
}

// IsPostgresURL reports whether a database URL names Postgres. Everything else is the path of a SQLite file.
func IsPostgresURL(url string) bool { return sqldb.IsPostgresURL(url) }

// New makes a store. Call [Store.Migrate] before anything else. It returns an error where the schema of the database is from
// before the first release.
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
		s.channel = noticeChannel(schema)
	}
	return s, nil
}

func dialector(dialect sqldb.Dialect, pool *sql.DB) gorm.Dialector {
	if dialect == sqldb.Postgres {
		return postgres.New(postgres.Config{Conn: pool})
	}
	return sqlite.New(sqlite.Config{Conn: pool})
}

// Log is the log of requests in the same database.
func (s *Store) Log() requestlog.Log { return s.log }

// Now is the present in UTC, cut to milliseconds: what both databases keep.
func (s *Store) Now() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// Dialect is the kind of database.
func (s *Store) Dialect() sqldb.Dialect { return s.db.Dialect }

func (s *Store) isPostgres() bool { return s.db.Dialect == sqldb.Postgres }

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) (err error) {
	defer doing(&err, "ask the database for an answer")
	return s.db.Ping(ctx)
}

// Close ends what runs in the background and all connections.
func (s *Store) Close() {
	s.log.Close()
	s.db.Close()
}

// schema is the one that the connections work in.
func (s *Store) schema(ctx context.Context) (schema string, err error) {
	if err := s.read.WithContext(ctx).Raw("SELECT current_schema()").Row().Scan(&schema); err != nil {
		return "", fmt.Errorf("cannot tell which schema to work in: %w", err)
	}
	return schema, nil
}

// tx runs fn in one transaction on the writing side.
func (s *Store) tx(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return s.write.WithContext(ctx).Transaction(fn)
}

// snapshot runs fn on the reading side in a transaction that sees one state of the database throughout.
func (s *Store) snapshot(ctx context.Context, fn func(tx *gorm.DB) error) error {
	if s.isPostgres() {
		return s.read.WithContext(ctx).Transaction(fn, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	}
	return s.read.WithContext(ctx).Transaction(fn)
}

// checkPepper compares the pepper with the one that the database's digests were made with, and remembers it if it is
// the first. A wrong pepper would make every key unknown, so the caller must not serve then.
func (s *Store) checkPepper(ctx context.Context) error {
	fingerprint := s.pepper.fingerprint()
	result := s.write.WithContext(ctx).Exec(
		"UPDATE instance SET pepper_fingerprint = ? WHERE id = 1 AND pepper_fingerprint IS NULL", fingerprint)
	if result.Error != nil {
		return result.Error
	}
	var known []byte
	if err := s.read.WithContext(ctx).Raw("SELECT pepper_fingerprint FROM instance WHERE id = 1").Row().Scan(&known); err != nil {
		return err
	}
	if string(known) != string(fingerprint) {
		return fmt.Errorf("this database was made with another pepper: its keys would all be unknown. " +
			"Give the pepper file (or CLAVIGER_PEPPER) that belongs to it")
	}
	return nil
}
