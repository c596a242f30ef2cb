package models

import (
	"context"
	"embed"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Migrate brings the schema to what this binary expects and returns the version it is at then. A database that a newer
// binary has migrated, or whose digests were made with another pepper, is left alone and is an error. [New] has refused
// databases from before the first release.
func (s *Store) Migrate(ctx context.Context) (_ int64, err error) {
	defer doing(&err, "migrate database")
	provider, err := s.migrations(ctx)
	if err != nil {
		return 0, err
	}
	current, newest, err := schemaVersions(ctx, provider)
	if err != nil {
		return current, err
	}
	if current > 0 {
		// A start with the wrong pepper must not change a database that it will refuse.
		if err := s.checkPepper(ctx); err != nil {
			return current, err
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return current, err
	}
	if err := s.checkPepper(ctx); err != nil {
		return newest, err
	}
	return newest, nil
}

// CheckSchema is an error unless schema and pepper are those that this binary expects. It changes nothing, so that commands that
// only look may run beside a server of another version.
func (s *Store) CheckSchema(ctx context.Context) (err error) {
	defer doing(&err, "check schema")
	provider, err := s.migrations(ctx)
	if err != nil {
		return err
	}
	current, newest, err := schemaVersions(ctx, provider)
	if err == nil && current < newest {
		err = fmt.Errorf("the database is older than this program: its schema is version %d, this program needs %d. "+
			"Start the server, or run claviger migrate; nothing was changed", current, newest)
	}
	if err != nil {
		return err
	}
	return s.checkPepper(ctx)
}

// schemaVersions are those of the database and of this binary; an error where the former is newer.
func schemaVersions(ctx context.Context, provider *goose.Provider) (current, newest int64, err error) {
	sources := provider.ListSources()
	newest = sources[len(sources)-1].Version
	current, err = provider.GetDBVersion(ctx)
	if err != nil {
		return 0, newest, fmt.Errorf("cannot read the schema version: %w", err)
	}
	if current > newest {
		return current, newest, fmt.Errorf("the database is newer than this program: its schema is version %d, this program knows %d. "+
			"Start the newer program; nothing was changed", current, newest)
	}
	return current, newest, nil
}

func (s *Store) migrations(ctx context.Context) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+string(s.db.Dialect))
	if err != nil {
		return nil, err
	}
	pool, err := s.write.DB()
	if err != nil {
		return nil, err
	}
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{}
	if s.isPostgres() {
		// Several processes may start at once: one migrates, the others wait for it. Instances in other schemas do not.
		schema, err := s.schema(ctx)
		if err != nil {
			return nil, err
		}
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(int64(crc32.ChecksumIEEE([]byte("claviger "+schema)))),
			lock.WithLockTimeout(1, 120)) // asks every second, for two minutes
		if err != nil {
			return nil, err
		}
		dialect, options = goose.DialectPostgres, append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, pool, files, options...)
}
