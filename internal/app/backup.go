package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// backup copies the SQLite database to a new file, also while a server works with it. It neither migrates nor needs the
// pepper, so that it can run before a new version does.
func backup(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("backup needs the FILE to write, and takes nothing else")
	}
	file := args[0]
	if c.DatabaseURL != "" {
		return errors.New("backup copies SQLite databases, and this instance has Postgres. " +
			`Use its own tool, such as: pg_dump --format=custom --file=FILE "$CLAVIGER_DATABASE_URL"`)
	}
	if err := databaseExists(c); err != nil {
		return err
	}
	store, err := ConnectStore(ctx, StoreOptions{URL: c.Database()})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := writeBackup(ctx, store, file); err != nil {
		return err
	}
	pepper := "the file " + filepath.Join(c.Data, "pepper")
	if c.Pepper != "" {
		pepper = "CLAVIGER_PEPPER"
	}
	_, err = fmt.Fprintf(out, "The database is copied to %s. "+
		"Keep a copy of %s too: without it the keys in there are unknown.\n", file, pepper)
	return err
}

// writeBackup writes aside and renames, so that file is a whole copy or not there. It never replaces one.
func writeBackup(ctx context.Context, store *models.Store, file string) (err error) {
	aside := file + ".tmp"
	// Made first, because SQLite would make it readable by everybody, and so that two backups do not write one file.
	made, err := os.OpenFile(aside, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: another backup is writing it, or one was killed. Remove it if none is", aside)
	}
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, made.Close())
		if err != nil {
			os.Remove(aside)
		}
	}()
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists, and a backup replaces nothing. Choose another name or remove it", file)
	}
	if err := store.Backup(ctx, aside); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	if err := made.Sync(); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return moveIntoPlace(aside, file)
}

// moveIntoPlace renames a file whose content is on disk, and has the folder's entry written, too.
func moveIntoPlace(aside, file string) error {
	if err := os.Rename(aside, file); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
