//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

const (
	slug     = "bench"
	email    = "bench@example.com"
	password = "bench bench bench"
	// noLimit is so high that no measurement reaches it: every limit is on and counts, and none rejects a request.
	noLimit      = 1_000_000_000
	noQuotaLimit = 1_000_000_000_000 // the same for quotas
)

// plan describes the content of a database.
type plan struct {
	name   string
	keys   int // with four quotas each; the project's own two keys come on top
	rows   int // of the request log, spread over span up to now
	span   time.Duration
	inTurn bool // the keys have equally many rows, spread evenly over span; otherwise see rowKeys
}

// dataset is a database with one project, filled by a plan.
type dataset struct {
	plan
	folder      string
	postgres    string // URL with a schema of its own; empty for SQLite in the folder
	dropSchema  func() error
	projectID   int64
	firstKey    int64         // ID of the first of plan.keys; the IDs are consecutive
	seeding     time.Duration // how long filling took
	filled      time.Time     // when filling ended; servers log at that time or later
	before      int64         // requests counted at that time
	answered    atomic.Uint64 // requests with a known key that servers have answered
	secretsFile string        // one secret per line, in the order of the keys' IDs
}

// newDataset makes a database in a folder below parent, or in a new schema of postgres, and fills it.
func newDataset(ctx context.Context, parent, postgres string, p plan) (*dataset, error) {
	begin := time.Now()
	d := &dataset{plan: p, folder: filepath.Join(parent, p.name), dropSchema: func() error { return nil }}
	d.secretsFile = filepath.Join(d.folder, "secrets")
	if err := os.Mkdir(d.folder, 0o700); err != nil {
		return nil, err
	}
	if postgres != "" {
		if err := d.makeSchema(ctx, postgres); err != nil {
			return nil, err
		}
	}
	if err := d.fill(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("filling the database %s: %w", p.name, err), d.remove())
	}
	d.seeding = time.Since(begin)
	return d, nil
}

// makeSchema makes a schema in the database base, and sets postgres and dropSchema.
func (d *dataset) makeSchema(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", base)
	if err != nil {
		return err
	}
	defer db.Close()
	var random [6]byte
	rand.Read(random[:])
	schema := "bench_" + hex.EncodeToString(random[:])
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return err
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	d.postgres = u.String()
	d.dropSchema = func() error {
		db, err := sql.Open("pgx", base)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Exec("DROP SCHEMA " + schema + " CASCADE")
		return err
	}
	return nil
}

// remove deletes the schema and the folder.
func (d *dataset) remove() error { return errors.Join(d.dropSchema(), os.RemoveAll(d.folder)) }

// environ returns the environment of a server on the dataset: this process's environment without settings of
// Claviger, and the settings that say where the data is.
func (d *dataset) environ() []string {
	var list []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "CLAVIGER_") {
			list = append(list, pair)
		}
	}
	return append(list, "CLAVIGER_DATA="+d.folder, "CLAVIGER_DATABASE_URL="+d.postgres)
}

// open opens and migrates the database as the server does. now is the clock of the store, nil for time.Now.
func (d *dataset) open(ctx context.Context, now func() time.Time) (*models.Store, models.Pepper, error) {
	c, err := config.Load(d.environ())
	if err != nil {
		return nil, models.Pepper{}, err
	}
	secrets, err := c.LoadSecrets()
	if err != nil {
		return nil, models.Pepper{}, err
	}
	store, err := app.OpenStore(ctx, app.StoreOptions{
		URL: c.Database(), Options: models.Options{Pepper: secrets.Pepper, Now: now},
	})
	return store, secrets.Pepper, err
}

// raw opens the database without models, to fill it faster than its rules allow.
func (d *dataset) raw() (*sql.DB, error) {
	if d.postgres != "" {
		return sql.Open("pgx", d.postgres)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(d.folder, "claviger.db")}).EscapedPath()+
		"?_pragma=busy_timeout(60000)&_pragma=foreign_keys(0)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// keyName returns the name of the i-th of the dataset's keys, from 0.
func keyName(i int) string { return fmt.Sprintf("key_%d", keyNameBase+i) }

// keyNameBase gives all names the same length, so that they sort like the IDs.
const keyNameBase = 10_000_000

// check compares the database with the answers: every answered request must be in the log and in the counts, once. The
// server must have stopped. It reads through models, so it does not depend on how rows are stored.
func (d *dataset) check(ctx context.Context) (string, error) {
	const page = 20_000
	store, _, err := d.open(ctx, nil)
	if err != nil {
		return "", err
	}
	defer store.Close()
	counted, err := d.counted(ctx, store)
	if err != nil {
		return "", err
	}
	rows, before := int64(0), requestlog.ID(0)
	for more := true; more; {
		list, err := store.RequestLogs(ctx, d.projectID, models.LogFilter{From: d.filled, Before: before, Limit: page})
		if err != nil {
			return "", err
		}
		for _, entry := range list.Entries { // newest first
			if before != 0 && entry.ID >= before {
				return "", fmt.Errorf("%s: the log has request %s twice or out of order", d.name, entry.ID)
			}
			before = entry.ID
		}
		rows += int64(len(list.Entries))
		more = list.HasOlder && len(list.Entries) > 0
	}
	answered := int64(d.answered.Load())
	text := fmt.Sprintf("%s: %s answered, %s rows in the log, %s counted",
		d.name, count(answered), count(rows), count(counted-d.before))
	if rows != answered || counted-d.before != answered {
		return "", errors.New(text)
	}
	return text, nil
}

// counted returns the sum of the project's counts by minute, over more than the time that any plan spans.
func (d *dataset) counted(ctx context.Context, store *models.Store) (sum int64, err error) {
	const minutes = 32 * 24 * 60
	usage, err := store.UsageByMinute(ctx, d.projectID, minutes)
	for _, minute := range usage {
		sum += minute.Admitted + minute.Rejected
	}
	return sum, err
}
