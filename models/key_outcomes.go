package models

import (
	"context"
	"database/sql"
	"slices"
	"sync"

	"github.com/claviger/claviger/models/requestlog"
)

// outcomes numbers the pairs of version and code that occurred.
type outcomes struct {
	mu     sync.RWMutex
	known  []outcome // the one with number n at n-1
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
	o.known, o.number = list, map[outcome]int64{}
	for i, x := range list {
		o.number[x] = int64(i + 1)
	}
}

func (o *outcomes) count() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.known)
}

// forgetFrom drops those beyond the first n: the transaction that was to store them failed.
func (o *outcomes) forgetFrom(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.known[n:] {
		delete(o.number, x)
	}
	o.known = o.known[:n]
}

// of is the outcome with that number.
func (o *outcomes) of(number int64) (outcome, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if number < 1 || number > int64(len(o.known)) {
		return outcome{}, errDamagedIndex
	}
	return o.known[number-1], nil
}

// entriesOf gives what the index says of rows, in key order. New outcomes get their numbers in tx.
func (o *outcomes) entriesOf(tx *writeTx, rows []requestlog.Row) ([]keyEntry, error) {
	entries := make([]keyEntry, len(rows))
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
		entries[i] = keyEntry{r.KeyID, r.ID, lastNumber, r.Credits}
	}
	slices.SortFunc(entries, compareEntries)
	return entries, nil
}

func (o *outcomes) numberOf(tx *writeTx, x outcome) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, known := o.number[x]; known {
		return n, nil
	}
	n := int64(len(o.known) + 1)
	if err := tx.exec("INSERT INTO key_outcomes (id, version, code) VALUES (?, ?, ?)", n, x.version, string(x.code)); err != nil {
		return 0, err
	}
	o.known, o.number[x] = append(o.known, x), n
	return n, nil
}
