package app

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
	"github.com/claviger/claviger/models/requestlog/postgres"
	"github.com/claviger/claviger/models/requestlog/sqlite"
)

// StoreOptions are the options of a store. [ConnectStore] sets DB and Log of the embedded options, and Now of SQLite
// and Postgres.
type StoreOptions struct {
	models.Options
	URL      string // postgres://…, or the path of a SQLite file
	SQLite   sqlite.Options
	Postgres postgres.Options
}

// ConnectStore connects to a database and the request log in it. It does not migrate. The caller closes the store.
func ConnectStore(ctx context.Context, o StoreOptions) (*models.Store, error) {
	isPostgres := sqldb.IsPostgresURL(o.URL)
	if !isPostgres {
		if err := models.RefuseOldFile(ctx, o.URL); err != nil {
			return nil, err
		}
	}
	store, err := connectStore(ctx, o)
	if err != nil && isPostgres {
		err = fmt.Errorf("cannot open the database at CLAVIGER_DATABASE_URL: %w", err)
	}
	return store, err
}

func connectStore(ctx context.Context, o StoreOptions) (*models.Store, error) {
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

// OpenStore is [ConnectStore], and then brings the schema up to date: see [models.Store.Migrate].
func OpenStore(ctx context.Context, o StoreOptions) (*models.Store, error) {
	store, err := ConnectStore(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := store.Migrate(ctx); err != nil {
		store.Close()
		return nil, err
	}
	return store, nil
}

// openStore opens and migrates the database of c, and loads the instance's secrets, which it creates if they do not
// exist. Several processes may call it at the same moment.
func openStore(ctx context.Context, c config.Config, o StoreOptions) (*models.Store, config.Secrets, error) {
	secrets, err := c.LoadSecrets()
	if err != nil {
		return nil, secrets, err
	}
	unlock, err := lockStart(ctx, c)
	if err != nil {
		return nil, secrets, err
	}
	defer unlock()
	o.URL, o.Pepper = c.Database(), secrets.Pepper
	store, err := OpenStore(ctx, o)
	return store, secrets, err
}

func migrate(ctx context.Context, c config.Config, out io.Writer) error {
	store, _, err := openStore(ctx, c, StoreOptions{})
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = fmt.Fprintln(out, "The database is up to date.")
	return err
}

// databaseExists returns an error if the SQLite file does not exist. Opening it would create it.
func databaseExists(c config.Config) error {
	if c.DatabaseURL != "" {
		return nil
	}
	if _, err := os.Stat(c.Database()); err != nil {
		return fmt.Errorf("there is no database in the folder of CLAVIGER_DATA: %w", err)
	}
	return nil
}
