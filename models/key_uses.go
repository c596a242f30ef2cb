package models

import (
	"context"
	"database/sql"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// keyUses is when each key was used last, as far as the database tells: 4 bytes a key, in pages of keys whose ids follow each
// other. To write that into the rows of keys would cost more than all else, where a million keys are in use.
type keyUses struct {
	mu    sync.Mutex
	pages map[int64]*usePage
}

type usePage [keysPerPage]uint32 // seconds since 1970; 0 for never

const keysPerPage = 960 // a page of the database holds one of these

func readUses(ctx context.Context, tx *sql.Tx) (map[int64]*usePage, error) {
	rows, err := tx.QueryContext(ctx, "SELECT page, seconds FROM key_uses")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pages := map[int64]*usePage{}
	for rows.Next() {
		var number int64
		var data sql.RawBytes
		if err := rows.Scan(&number, &data); err != nil {
			return nil, err
		}
		page := new(usePage)
		for i := range min(len(data)/4, keysPerPage) {
			page[i] = binary.LittleEndian.Uint32(data[4*i:])
		}
		pages[number] = page
	}
	return pages, rows.Err()
}

func (u *keyUses) replace(pages map[int64]*usePage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pages = pages
}

// placeOf is the page of a key and its place there.
func placeOf(key int64) (page int64, place uint64) {
	return int64(uint64(key) / keysPerPage), uint64(key) % keysPerPage
}

// get is the zero time for a key that was not used.
func (u *keyUses) get(key int64) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	number, place := placeOf(key)
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

// lastUses gives the last use of each key in entries, which are in key order.
func lastUses(entries []keyEntry) (uses []keyUse) {
	for i, e := range entries {
		if i+1 == len(entries) || entries[i+1].key != e.key {
			uses = append(uses, keyUse{e.key, e.id.Time()})
		}
	}
	return uses
}

// changed gives new copies of the pages that the uses change, and their numbers in order. Uses are in key order.
func (u *keyUses) changed(uses []keyUse) (numbers []int64, pages map[int64]*usePage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pages = map[int64]*usePage{}
	for _, use := range uses {
		number, place := placeOf(use.key)
		page := pages[number]
		if page == nil {
			page = new(usePage)
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

func (u *keyUses) put(number int64, page *usePage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pages[number] = page
}

func (p *usePage) bytes() []byte {
	data := make([]byte, 0, 4*keysPerPage)
	for _, seconds := range p {
		data = binary.LittleEndian.AppendUint32(data, seconds)
	}
	return data
}

// fewKeys is up to how many keys their rows are brought up to date, too, for lists that are sorted by last use.
const fewKeys = 20_000

// writeUses stores the last uses that entries tell of, in steps.
func (q *sqliteRequests) writeUses(ctx context.Context, entries []keyEntry) error {
	uses := lastUses(entries)
	numbers, pages := q.uses.changed(uses)
	for part := range slices.Chunk(numbers, limits.blocksPerStep) {
		err := q.writer.tx(ctx, func(tx *writeTx) error {
			for _, n := range part {
				if err := tx.exec("INSERT INTO key_uses (page, seconds) VALUES (?, ?) ON CONFLICT DO UPDATE SET seconds = excluded.seconds", n, pages[n].bytes()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, n := range part {
			q.uses.put(n, pages[n])
		}
	}
	if len(uses) > fewKeys {
		return nil
	}
	for part := range slices.Chunk(uses, 1000) {
		err := q.writer.tx(ctx, func(tx *writeTx) error {
			for _, use := range part {
				err := tx.exec("UPDATE keys SET last_used_at = ?1 WHERE id = ?2 AND (last_used_at IS NULL OR last_used_at < ?1)", use.at.UnixMilli(), use.key)
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

// lastUsed gives what the tail says, and what runs said before.
func (q *sqliteRequests) lastUsed(ctx context.Context, keyIDs []int64) (map[int64]time.Time, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	return q.usesOf(keyIDs), nil
}

func (q *sqliteRequests) usesOf(keyIDs []int64) map[int64]time.Time {
	parts := q.tail.snapshot() // before the pages, to which the tail goes
	used := map[int64]time.Time{}
	for _, id := range keyIDs {
		if at := q.uses.get(id); !at.IsZero() {
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

func (q *sqliteRequests) holdUse(ctx context.Context, keyID int64, fn func(used bool) error) error {
	q.writing.Lock()
	defer q.writing.Unlock()
	if err := q.load(ctx); err != nil {
		return err
	}
	_, used := q.usesOf([]int64{keyID})[keyID]
	return fn(used)
}
