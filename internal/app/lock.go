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

// lockData returns an error if another server uses the same SQLite file. The servers would not learn of each other's
// changes. On Postgres there may be several servers, and lockData does nothing.
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
		return nil, fmt.Errorf("another server uses the data folder %s. Set CLAVIGER_DATA to another folder", c.Data)
	}
	return lock.Unlock, nil
}

// lockStart makes sure that only one process at a time opens and migrates a SQLite file, for example when a server and
// setup start at the same moment. Neither the migrations nor SQLite's switch to WAL mode wait for another process. On
// Postgres, Migrate takes a lock, and lockStart does nothing.
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
