package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// lastUsed has the last use of each key according to the entries in sorted runs: 4 bytes for each key, in pages of
// keys with consecutive ids. With a million keys in use, updating the keys' own rows instead would cost more than all
// other writing.
type lastUsed struct {
	mu    sync.Mutex
	pages map[int64]*usedPage
}

type usedPage [keysPerPage]uint32 // seconds since 1970; 0 for never

const keysPerPage = 960 // so that a usedPage fits a page of the database

func readLastUsed(ctx context.Context, tx *sql.Tx) (map[int64]*usedPage, error) {
	rows, err := tx.QueryContext(ctx, "SELECT page, seconds FROM key_last_used")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pages := map[int64]*usedPage{}
	for rows.Next() {
		var number int64
		var data sql.RawBytes
		if err := rows.Scan(&number, &data); err != nil {
			return nil, err
		}
		page := new(usedPage)
		for i := range min(len(data)/4, keysPerPage) {
			page[i] = binary.LittleEndian.Uint32(data[4*i:])
		}
		pages[number] = page
	}
	return pages, rows.Err()
}

func (u *lastUsed) replace(pages map[int64]*usedPage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pages = pages
}

// pageOf returns the number of a key's page and the key's place in it.
func pageOf(key int64) (number int64, place uint64) {
	return int64(uint64(key) / keysPerPage), uint64(key) % keysPerPage
}

// get returns the last use of a key, or the zero time if there is none.
func (u *lastUsed) get(key int64) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	number, place := pageOf(key)
	if page := u.pages[number]; page != nil && page[place] != 0 {
		return time.Unix(int64(page[place]), 0).UTC()
	}
	return time.Time{}
}

// keyUse is the last use of a key.
type keyUse struct {
	key int64
	at  time.Time
}

// lastUses returns the last use of each key in entries, which must be sorted by key and id.
func lastUses(entries []entry) (uses []keyUse) {
	for i, e := range entries {
		if i+1 == len(entries) || entries[i+1].key != e.key {
			uses = append(uses, keyUse{e.key, e.id.Time()})
		}
	}
	return uses
}

// changed returns copies of the pages that uses change, with the changes made, and the numbers of these pages in
// order. uses must be sorted by key.
func (u *lastUsed) changed(uses []keyUse) (numbers []int64, pages map[int64]*usedPage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pages = map[int64]*usedPage{}
	for _, use := range uses {
		number, place := pageOf(use.key)
		page := pages[number]
		if page == nil {
			page = new(usedPage)
			if known := u.pages[number]; known != nil {
				*page = *known
			}
			pages[number] = page
			numbers = append(numbers, number)
		}
		page[place] = max(page[place], uint32(use.at.Unix()))
	}
	return numbers, pages
}

func (u *lastUsed) put(number int64, page *usedPage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pages[number] = page
}

func (p *usedPage) bytes() []byte {
	data := make([]byte, 0, 4*keysPerPage)
	for _, seconds := range p {
		data = binary.LittleEndian.AppendUint32(data, seconds)
	}
	return data
}

// fewKeys is the number of keys in a flush up to which their own rows are updated, too: lists of keys can be sorted by
// last_used_at.
const fewKeys = 20_000

// writeLastUsed stores the last uses in entries, in small transactions.
func (l *Log) writeLastUsed(ctx context.Context, entries []entry) error {
	uses := lastUses(entries)
	numbers, pages := l.lastUsed.changed(uses)
	for part := range slices.Chunk(numbers, l.options.BlocksPerStep) {
		err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
			for _, n := range part {
				err := tx.Exec(`
					INSERT INTO key_last_used (page, seconds)
					VALUES (?, ?)
					ON CONFLICT DO UPDATE SET seconds = excluded.seconds`, n, pages[n].bytes())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, n := range part {
			l.lastUsed.put(n, pages[n])
		}
	}
	if len(uses) > fewKeys {
		return nil
	}
	for part := range slices.Chunk(uses, 1000) {
		err := l.writer.Tx(ctx, func(tx *sqldb.Tx) error {
			for _, use := range part {
				err := tx.Exec(`
					UPDATE keys SET last_used_at = ?1
					WHERE id = ?2 AND (last_used_at IS NULL OR last_used_at < ?1)`, use.at.UnixMilli(), use.key)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// LastUsed returns the last uses of the keys according to the memtable and the sorted runs.
func (l *Log) LastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error) {
	if err := l.ready(ctx); err != nil {
		return nil, fmt.Errorf("read when keys were used last: %w", err)
	}
	return l.usesOf(keyIDs), nil
}

func (l *Log) usesOf(keyIDs []int64) map[int64]time.Time {
	parts := l.memtable.snapshot() // read before the pages, so that a flush in between hides no use
	used := map[int64]time.Time{}
	for _, id := range keyIDs {
		if at := l.lastUsed.get(id); !at.IsZero() {
			used[id] = at
		}
		for _, p := range parts {
			if entries := p.of(id, 0, requestlog.EndOfIDs); len(entries) > 0 {
				if at := entries[len(entries)-1].id.Time(); at.After(used[id]) {
					used[id] = at
				}
			}
		}
	}
	return used
}

// HoldUse calls fn while no row of any key can be written.
func (l *Log) HoldUse(ctx context.Context, keyID int64, fn func(used bool) error) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.load(ctx); err != nil {
		return fmt.Errorf("read whether the key was used: %w", err)
	}
	_, used := l.usesOf([]int64{keyID})[keyID]
	return fn(used)
}
