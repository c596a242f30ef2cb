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

// Migrate brings the schema up to date and returns its version. It returns an error and changes nothing if a newer
// version of the program has migrated the database, or if its digests were made with another pepper. [New] has refused
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
		// Check first: a start with the wrong pepper must not change the database.
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

// CheckSchema returns an error unless schema and pepper are those that this program expects. It changes nothing, so
// that commands that only read may run beside a server of another version.
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

// schemaVersions returns the schema version of the database and the newest that this program knows. It returns an error
// if the database's is newer.
func schemaVersions(ctx context.Context, provider *goose.Provider) (current, newest int64, err error) {
	sources := provider.ListSources()
	newest = sources[len(sources)-1].Version
	current, err = provider.GetDBVersion(ctx)
	if err != nil {
		return 0, newest, fmt.Errorf("cannot read the schema version: %w", err)
	}
	if current > newest {
		return current, newest, fmt.Errorf("the database is newer than this program: "+
			"its schema is version %d, this program knows %d. "+
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
		// Several processes may start at once: one migrates, the others wait. Instances in other schemas do not wait.
		schema, err := s.schema(ctx)
		if err != nil {
			return nil, err
		}
		locker, err := lock.NewPostgresSessionLocker(
			lock.WithLockID(int64(crc32.ChecksumIEEE([]byte("claviger "+schema)))),
			lock.WithLockTimeout(1, 120), // tries every second, for two minutes
		)
		if err != nil {
			return nil, err
		}
		dialect, options = goose.DialectPostgres, append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, pool, files, options...)
}
