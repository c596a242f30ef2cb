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

// backup copies the SQLite database to a new file, also while a server uses it. It does not migrate and does not need
// the pepper, so it can run before a new version is started.
func backup(ctx context.Context, c config.Config, args []string, out io.Writer) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("usage: claviger backup FILE")
	}
	file := args[0]
	if c.DatabaseURL != "" {
		return errors.New("backup copies SQLite databases, but this instance uses Postgres. " +
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
	_, err = fmt.Fprintf(out, "Copied the database to %s. "+
		"Keep a copy of %s too: without it the keys in the copy are unknown.\n", file, pepper)
	return err
}

// writeBackup writes a temporary file and renames it, so that file either is a complete copy or does not exist. It
// never replaces an existing file.
func writeBackup(ctx context.Context, store *models.Store, file string) (err error) {
	tempPath := file + ".tmp"
	// Create the file here, because SQLite would make it readable by everybody. O_EXCL prevents two backups from
	// writing to one file.
	temp, err := os.OpenFile(tempPath, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: another backup is running, or one was killed. "+
			"Remove the file if no backup is running", tempPath)
	}
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, temp.Close())
		if err != nil {
			os.Remove(tempPath)
		}
	}()
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists, and a backup never replaces a file. Choose another name or remove the file", file)
	}
	if err := store.Backup(ctx, tempPath); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	if err := temp.Sync(); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return renameDurably(tempPath, file)
}

// renameDurably renames a file whose content is on disk, and syncs the folder so that the rename is on disk too.
func renameDurably(from, file string) error {
	if err := os.Rename(from, file); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
