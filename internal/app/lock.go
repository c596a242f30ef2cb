package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/claviger/claviger/internal/config"
)

// lockData keeps a second server off the same SQLite file: it would not learn what this one changes. On Postgres there
// may be many.
func lockData(c config.Config) (unlock func() error, err error) {
	if c.DatabaseURL != "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	lock := flock.New(filepath.Join(c.Data, "lock"), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data folder: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("another server works with the data folder %s. Set CLAVIGER_DATA to another one", c.Data)
	}
	return lock.Unlock, nil
}

// lockStart lets one process at a time open a SQLite file and migrate it: of a server and a setup that start at the
// same moment, one waits. Neither the migrations nor SQLite's switch to a write-ahead log would. On Postgres Migrate
// sees to that.
func lockStart(ctx context.Context, c config.Config) (unlock func() error, err error) {
	if c.DatabaseURL != "" {
		return func() error { return nil }, nil
	}
	lock := flock.New(filepath.Join(c.Data, "start.lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, fmt.Errorf("cannot lock the data folder: %w", err)
	}
	return lock.Unlock, nil
}
