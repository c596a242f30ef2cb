package models

import (
	"errors"

	sqlitedriver "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"modernc.org/sqlite"
)

// sqliteDialect is GORM's SQLite dialect with error translation for the driver in use, which needs no C compiler.
type sqliteDialect struct{ sqlitedriver.Dialector }

// The extended result codes of https://sqlite.org/rescode.html that mean a broken constraint.
const (
	sqliteConstraintCheck      = 275
	sqliteConstraintForeignKey = 787
	sqliteConstraintPrimaryKey = 1555
	sqliteConstraintUnique     = 2067
)

func (sqliteDialect) Translate(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqliteConstraintPrimaryKey, sqliteConstraintUnique:
		return gorm.ErrDuplicatedKey
	case sqliteConstraintForeignKey:
		return gorm.ErrForeignKeyViolated
	case sqliteConstraintCheck:
		return gorm.ErrCheckConstraintViolated
	}
	return err
}
