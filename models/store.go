// Package models holds what Claviger knows: the rows, the rules about them, every query and every transaction.
// Rules that need no database are pure functions, so that the dashboard and the gate give the same answer.
package models

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

// Options is what a [Store] is opened with. Zero values are the defaults given.
type Options struct {
	// URL is postgres://… or the path of a SQLite file.
	URL string
	// Pepper keys every stored digest. The database remembers which one it was made with.
	Pepper Pepper
	// Now gives the time; time.Now if nil.
	Now func() time.Time
	// Random gives the bytes of secrets; crypto/rand if nil.
	Random io.Reader
	// PasswordCost is how much work a password hash takes; [DefaultPasswordCost] if zero.
	PasswordCost PasswordCost
	// OnQuery is told of every statement, for counting, but not of those that look into pieces of the log of requests. May be
	// nil; called from many goroutines.
	OnQuery func()
}

// Store is the database with the rules that guard it. It is safe for use by many goroutines.
type Store struct {
	// read and write are the same pool on Postgres. SQLite has one writing connection and several readers.
	read, write *gorm.DB
	dialect     string
	pepper      Pepper
	now         func() time.Time
	random      io.Reader
	passwords   *passwords
	subscribers []func(Change)
	// url, channel and sender are for notices between processes: see notify and Listen.
	url, channel string
	sender       atomic.Pointer[string]
	requests     requestRows

	tidying sync.Mutex
	round   *tidyRound // nil between rounds
	tidied  int64      // the day on which old counts of unknown keys were removed last
}

// Open connects to the database. Call [Store.Migrate] before anything else.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{pepper: o.Pepper, now: o.Now, random: o.Random, url: o.URL}
	s.renameSender()
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	s.passwords = newPasswords(o.PasswordCost)

	config := &gorm.Config{
		TranslateError:         true,
		SkipDefaultTransaction: true,
		Logger:                 queryLogger{onQuery: o.OnQuery},
		NowFunc:                s.Now,
	}
	var err error
	if IsPostgresURL(o.URL) {
		s.dialect = "postgres"
		err = s.openPostgres(o.URL, config)
	} else {
		s.dialect = "sqlite"
		err = s.openSQLite(o.URL, config)
	}
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot reach the database: %w", err)
	}
	if s.dialect == "postgres" {
		schema, err := s.schema(ctx)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.channel = noticeChannel(schema)
	}
	return s, nil
}

// IsPostgresURL tells whether a database URL names Postgres; everything else is a SQLite file.
func IsPostgresURL(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// Now is the present in UTC, cut to milliseconds: what both databases keep.
func (s *Store) Now() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// Dialect is "sqlite" or "postgres".
func (s *Store) Dialect() string { return s.dialect }

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	for _, db := range []*gorm.DB{s.read, s.write} {
		pool, err := db.DB()
		if err != nil {
			return err
		}
		if err := pool.PingContext(ctx); err != nil {
			return err
		}
		if s.dialect == "sqlite" { // whose ping does not touch the file
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

// Close ends all connections. One in use, such as that of a transaction whose context has just ended, which database/sql
// rolls back on its own time, ends when it is free: Close waits for it, 5 s at most. SQLite puts its write-ahead log into
// the file with the last one.
func (s *Store) Close() {
	if s.requests != nil {
		s.requests.close()
	}
	for _, db := range []*gorm.DB{s.read, s.write} {
		if db == nil {
			continue
		}
		pool, err := db.DB()
		if err != nil {
			continue
		}
		pool.Close()
		for end := time.Now().Add(closeTime); pool.Stats().OpenConnections > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
}

// tx runs fn in one transaction on the writing side.
func (s *Store) tx(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return s.write.WithContext(ctx).Transaction(fn)
}

// snapshot runs fn on the reading side in a transaction that sees one state of the database throughout.
func (s *Store) snapshot(ctx context.Context, fn func(tx *gorm.DB) error) error {
	if s.dialect == "postgres" {
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
