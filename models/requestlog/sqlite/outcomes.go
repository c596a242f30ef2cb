package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"sync"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// outcome is what the index stores about a request as one number: the version of the key's secret, and the code.
type outcome struct {
	version int
	code    requestlog.Code
}

// outcomes numbers the outcomes that occurred, from 1.
type outcomes struct {
	mu     sync.RWMutex
	list   []outcome // the outcome with number n is at n-1
	number map[outcome]int64
}

func readOutcomes(ctx context.Context, tx *sql.Tx) (list []outcome, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT version, code FROM key_outcomes ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var o outcome
		if err := rows.Scan(&o.version, &o.code); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

func (o *outcomes) replace(list []outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list, o.number = list, map[outcome]int64{}
	for i, x := range list {
		o.number[x] = int64(i + 1)
	}
}

func (o *outcomes) count() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.list)
}

// truncate removes all outcomes but the first n, after the transaction that stored the others has failed.
func (o *outcomes) truncate(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.list[n:] {
		delete(o.number, x)
	}
	o.list = o.list[:n]
}

// get returns the outcome with that number, or errDamaged if there is none.
func (o *outcomes) get(number int64) (outcome, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if number < 1 || number > int64(len(o.list)) {
		return outcome{}, errDamaged
	}
	return o.list[number-1], nil
}

// entriesOf returns the index entries of rows, sorted by key and id. It stores new outcomes in tx.
func (o *outcomes) entriesOf(tx *sqldb.Tx, rows []requestlog.Row) ([]entry, error) {
	entries := make([]entry, len(rows))
	last, lastNumber := outcome{}, int64(0)
	for i := range rows {
		r := &rows[i]
		if this := (outcome{r.Version, r.Code}); lastNumber == 0 || this != last {
			n, err := o.numberOf(tx, this)
			if err != nil {
				return nil, err
			}
			last, lastNumber = this, n
		}
		entries[i] = entry{r.KeyID, r.ID, lastNumber, r.Credits}
	}
	slices.SortFunc(entries, compareEntries)
	return entries, nil
}

func (o *outcomes) numberOf(tx *sqldb.Tx, x outcome) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, known := o.number[x]; known {
		return n, nil
	}
	n := int64(len(o.list) + 1)
	err := tx.Exec("INSERT INTO key_outcomes (id, version, code) VALUES (?, ?, ?)", n, x.version, string(x.code))
	if err != nil {
		return 0, err
	}
	o.list, o.number[x] = append(o.list, x), n
	return n, nil
}
