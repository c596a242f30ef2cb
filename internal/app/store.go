// Package app is the program: its commands, and how its parts are put together.
package app

import (
	"context"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/models/requestlog/postgres"
	"github.com/claviger/claviger/models/requestlog/sqlite"
)

// StoreOptions is what [OpenStore] opens a database with. It fills in DB and Log of the embedded options, and the
// clock of the log.
type StoreOptions struct {
	models.Options
	URL      string // postgres://…, or the path of a SQLite file
	SQLite   sqlite.Options
	Postgres postgres.Options
}

// OpenStore connects to a database, with the log of requests that belongs to it. It does not migrate.
func OpenStore(ctx context.Context, o StoreOptions) (*models.Store, error) {
	if !sqldb.IsPostgresURL(o.URL) {
		if err := models.RefuseOldFile(ctx, o.URL); err != nil {
			return nil, err
		}
	}
	db, err := sqldb.Open(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	o.SQLite.Now, o.Postgres.Now = o.Now, o.Now
	var log requestlog.Log
	if db.Dialect == sqldb.SQLite {
		log = sqlite.New(db, o.SQLite)
	} else {
		log = postgres.New(db, o.Postgres)
	}
	o.DB, o.Log = db, log
	store, err := models.New(ctx, o.Options)
	if err != nil {
		log.Close()
		db.Close()
		return nil, err
	}
	return store, nil
}
