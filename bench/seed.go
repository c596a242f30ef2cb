//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"hash/crc32"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// fill creates the account, the project with every limit, the keys and the rows. One key is created through models; the
// others are copies of its row, so that a million take seconds.
func (d *dataset) fill(ctx context.Context) error {
	store, pepper, err := d.open(ctx, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	setup, err := store.Setup(ctx, email, password, slug)
	if err != nil {
		return err
	}
	d.projectID = setup.Project.ID
	actor := setup.User.Actor("")
	limit, quota := int64(noLimit), int64(noQuotaLimit)
	limits := models.Overrides{}
	for _, planLimit := range models.NumberLimits {
		limits[planLimit] = &limit
	}
	limits[models.LimitLogDays] = nil
	if _, err := store.ChangeProjectPlan(ctx, actor, d.projectID, setup.Project.PlanID, limits); err != nil {
		return err
	}
	template, _, err := store.CreateKey(ctx, d.projectID, actor, models.KeyInput{
		Name: "template", Type: models.TypeProduction, Category: models.BuiltInCategories[0],
		Quotas: models.Quotas{Total: &quota, Daily: &quota, Weekly: &quota, Monthly: &quota},
	})
	if err != nil {
		return err
	}
	d.firstKey = template.ID + 1
	store.Close() // SQLite has one writer
	if err := d.copyKeys(ctx, pepper, template.ID, setup.Project.KeyPrefix); err != nil {
		return err
	}
	if err := d.writeRows(ctx); err != nil {
		return err
	}
	return d.finish(ctx)
}

// finish brings the database into the state that a running server would leave: with nothing to tidy.
func (d *dataset) finish(ctx context.Context) error {
	store, _, err := d.open(ctx, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	if d.before, err = d.counted(ctx, store); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = store.Tidy(ctx); err != nil {
			return err
		}
	}
	store.Close()
	db, err := d.raw()
	if err != nil {
		return err
	}
	defer db.Close()
	statement := "PRAGMA wal_checkpoint(TRUNCATE)"
	if d.postgres != "" {
		statement = "VACUUM ANALYZE"
	}
	_, err = db.ExecContext(ctx, statement)
	d.filled = time.Now()
	return err
}

// secret is a new secret and its digest, which is what the database stores.
type secret struct {
	plain  string
	digest models.Digest
}

// makeSecrets makes the secrets and writes their file. They are sorted by their digests, so that the index of digests
// is filled in order.
func (d *dataset) makeSecrets(pepper models.Pepper, prefix string) ([]secret, error) {
	const alphabet, randomLength = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 43
	secrets := make([]secret, d.keys)
	random := make([]byte, randomLength)
	for i := range secrets {
		rand.Read(random)
		for j := range random {
			random[j] = alphabet[random[j]%62]
		}
		body := prefix + "_" + string(models.SecretProduction) + "_" + string(random)
		sum, digits := crc32.ChecksumIEEE([]byte(body)), [6]byte{}
		for j := len(digits) - 1; j >= 0; j-- {
			digits[j], sum = alphabet[sum%62], sum/62
		}
		parsed, ok := models.ParseSecret(body + string(digits[:]))
		if !ok {
			return nil, fmt.Errorf("secrets have another form than %s", parsed)
		}
		secrets[i] = secret{parsed.Plain(), pepper.Digest(parsed)}
	}
	slices.SortFunc(secrets, func(a, b secret) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	file, err := os.OpenFile(d.secretsFile, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewWriter(file)
	for _, s := range secrets {
		fmt.Fprintln(lines, s.plain)
	}
	return secrets, lines.Flush()
}

// copyKeys makes d.keys copies of the template's rows, each with its own name and secret.
func (d *dataset) copyKeys(ctx context.Context, pepper models.Pepper, template int64, prefix string) error {
	secrets, err := d.makeSecrets(pepper, prefix)
	if err != nil {
		return err
	}
	db, err := d.raw()
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	own := ""
	if d.postgres != "" {
		own = "OVERRIDING SYSTEM VALUE "
	}
	columns, _, err := templateRow(ctx, tx, "keys", "id", template)
	if err != nil {
		return err
	}
	values := slices.Clone(columns)
	values[slices.Index(columns, "id")] = fmt.Sprintf("%d + i", d.firstKey)
	values[slices.Index(columns, "name")] = fmt.Sprintf("'key_' || (%d + i)", keyNameBase)
	for _, statement := range []string{
		fmt.Sprintf(`
			INSERT INTO keys (%s) %s
			WITH RECURSIVE n (i) AS (
				SELECT 0
				UNION ALL
				SELECT i + 1 FROM n WHERE i + 1 < %d
			)
			SELECT %s
			FROM n, keys
			WHERE keys.id = %d`,
			strings.Join(columns, ", "), own, d.keys, strings.Join(values, ", "), template),
		fmt.Sprintf(`
			INSERT INTO key_names (project_id, name, key_id)
			SELECT project_id, name, id
			FROM keys
			WHERE id >= %d
			ORDER BY id`,
			d.firstKey),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := d.copyVersions(ctx, tx, own, template, secrets); err != nil {
		return err
	}
	if d.postgres != "" {
		for _, table := range []string{"keys", "key_versions"} {
			statement := fmt.Sprintf(`
				SELECT setval(
					pg_get_serial_sequence('%[1]s', 'id'),
					(SELECT MAX(id) FROM %[1]s)
				)`, table)
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// copyVersions makes a version with its secret for each key. template is the ID of the key that is copied.
func (d *dataset) copyVersions(ctx context.Context, tx *sql.Tx, own string, template int64, secrets []secret) error {
	const perStatement = 200
	columns, row, err := templateRow(ctx, tx, "key_versions", "key_id", template)
	if err != nil {
		return err
	}
	at := func(column string) int { return slices.Index(columns, column) }
	id := row[at("id")].(int64)
	var statement *sql.Stmt
	arguments := make([]any, 0, perStatement*len(columns))
	for first := 0; first < len(secrets); first += perStatement {
		part := secrets[first:min(first+perStatement, len(secrets))]
		if first == 0 || len(part) < perStatement {
			text := fmt.Sprintf("INSERT INTO key_versions (%s) %sVALUES %s",
				strings.Join(columns, ", "), own, d.places(len(part), len(columns)))
			if statement, err = tx.PrepareContext(ctx, text); err != nil {
				return err
			}
		}
		arguments = arguments[:0]
		for i := range part {
			row[at("id")] = id + int64(first+i) + 1
			row[at("key_id")] = d.firstKey + int64(first+i)
			row[at("digest")] = part[i].digest[:]
			row[at("last4")] = part[i].plain[len(part[i].plain)-4:]
			arguments = append(arguments, row...)
		}
		if _, err := statement.ExecContext(ctx, arguments...); err != nil {
			return err
		}
	}
	return nil
}

// places returns the placeholders of so many rows: "($1,$2),($3,$4)", or with question marks, which SQLite parses
// faster.
func (d *dataset) places(rows, columns int) string {
	var text []byte
	for i := range rows * columns {
		text = append(text, "(,"[min(i%columns, 1)])
		if d.postgres != "" {
			text = fmt.Appendf(text, "$%d", i+1)
		} else {
			text = append(text, '?')
		}
		if i%columns == columns-1 {
			text = append(text, "),"...)
		}
	}
	return string(text[:len(text)-1])
}

// templateRow reads the row of the table with that value in the column, and returns the names of its columns as well.
func templateRow(
	ctx context.Context, tx *sql.Tx, table, column string, value int64,
) (columns []string, row []any, err error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT * FROM %s WHERE %s = %d", table, column, value))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	row = make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	if !rows.Next() {
		return nil, nil, fmt.Errorf("%s has no row with %s %d", table, column, value)
	}
	return columns, row, rows.Scan(into...)
}

// The keys of a log that is not inTurn. The first rareKeys have the same few rows each however long the log is, so that
// their page has to be found among all rows. The next busyKeys together have a fixed share of all rows. The other keys
// share the rest.
const (
	rareKeys, rowsOfRareKey = 10, 60
	busyKeys                = 10
	busyShare               = 0.03 // of all rows, for all busy keys together
)

// rowKeys returns a function that returns the key (from 0) of a row. It is called for each row, from oldest to newest.
func (d *dataset) rowKeys() func(row int) int {
	if d.inTurn {
		return func(row int) int { return row % d.keys }
	}
	random := mathrand.New(mathrand.NewPCG(1, 2)) // the same log in each run
	every := max(1, d.rows/(rareKeys*rowsOfRareKey))
	return func(row int) int {
		switch {
		case row%every == 0:
			return row / every % rareKeys
		case random.Float64() < busyShare:
			return rareKeys + random.IntN(busyKeys)
		}
		return (rareKeys + busyKeys + random.IntN(d.keys)) % d.keys
	}
}

// writeRows fills the log and the counts through models, spread evenly over d.span up to now.
func (d *dataset) writeRows(ctx context.Context) error {
	const batch = 20_000
	if d.rows == 0 {
		return nil
	}
	var clock atomic.Int64 // nanoseconds since 1970
	store, _, err := d.open(ctx, func() time.Time { return time.Unix(0, clock.Load()) })
	if err != nil {
		return err
	}
	defer store.Close()
	ids, err := store.Log().NewIDs(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	start := begin.Add(-d.span)
	keyOf := d.rowKeys()
	rows := make([]requestlog.Row, 0, batch)
	for i := range d.rows {
		clock.Store(start.Add(time.Duration(float64(d.span) * float64(i) / float64(d.rows))).UnixNano())
		row := requestlog.Row{
			ID:         ids.Next(),
			ProjectID:  d.projectID,
			KeyID:      d.firstKey + int64(keyOf(i)),
			Version:    1,
			Type:       string(models.TypeProduction),
			Category:   models.BuiltInCategories[0],
			Method:     "GET",
			Path:       paths[i%len(paths)],
			IP:         addressOf(i),
			Status:     requestlog.CodeValid.Status(),
			DurationUs: int64(40 + i%100),
			Credits:    1,
			Code:       requestlog.CodeValid,
		}
		if i%rareStatus == rareStatus/2 {
			row.Status = 503
		}
		rows = append(rows, row)
		if len(rows) == batch || i == d.rows-1 {
			if err := store.Log().Write(ctx, rows); err != nil {
				return err
			}
			rows = rows[:0]
			if i/batch%50 == 0 {
				progress("  %s: %s of %s rows, %s rows/s",
					d.name, count(i+1), count(d.rows), count(int(float64(i+1)/time.Since(begin).Seconds())))
			}
		}
	}
	return nil
}

// One in rareStatus rows has the status 503.
const rareStatus = 400_000

// addressOf returns the address of a row, one of 5,000.
func addressOf(row int) string {
	n := row * 7919 % 5000
	return fmt.Sprintf("198.51.%d.%d", n/250, n%250)
}

var paths = []string{"/v2/orders", "/v2/products", "/v2/stock", "/forecast/berlin", "/invoices"}
