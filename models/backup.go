package models

import (
	"context"
	"errors"
	"path/filepath"
)

// Backup writes the database as it is at one moment to a new SQLite file at path, which must not exist or be empty. Others may
// read and write meanwhile. Only a SQLite database can be copied so.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	defer doing(&err, "back up database")
	if s.isPostgres() {
		return errors.New("only a SQLite database can be copied to a file")
	}
	path, err = filepath.Abs(path) // one that begins with "file:" would be read as more than a path
	if err != nil {
		return err
	}
	// On the writing side, because the connections of the other one may write to no file at all.
	return s.write.WithContext(ctx).Exec("VACUUM INTO ?", path).Error
}
