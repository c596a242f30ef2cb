package models

import (
	"context"
	"errors"
	"path/filepath"
)

// Backup writes the database as it is at one moment to a SQLite file at path, which must be empty or not exist. Other
// connections may read and write meanwhile. It returns an error for Postgres.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	defer doing(&err, "back up database")
	if s.isPostgres() {
		return errors.New("only a SQLite database can be copied to a file")
	}
	path, err = filepath.Abs(path) // SQLite would take a path that begins with "file:" for a URI
	if err != nil {
		return err
	}
	// On the write pool, because connections of the read pool cannot write to any file.
	return s.write.WithContext(ctx).Exec("VACUUM INTO ?", path).Error
}
