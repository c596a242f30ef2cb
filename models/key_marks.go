package models

import (
	"sync"
	"time"
)

// keyMarks remembers for each key the last use that its row tells of, so that rows of keys are not written with each
// batch: at the first use, because a key that was used cannot be deleted, and then when a run is written.
type keyMarks struct {
	mu    sync.Mutex
	pages map[int64]*[1024]uint32 // by key: seconds since 1970, 0 where it is not known
}

// keyMark is the last use of a key.
type keyMark struct {
	key int64
	at  time.Time
}

// usedBefore stands for a use at a time that is not known.
var usedBefore = time.Unix(1, 0)

// get is the last use that the key's row tells of, the zero time where that is not known.
func (m *keyMarks) get(key int64) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if page := m.pages[key>>10]; page != nil && page[key&1023] != 0 {
		return time.Unix(int64(page[key&1023]), 0)
	}
	return time.Time{}
}

func (m *keyMarks) set(marks []keyMark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pages == nil {
		m.pages = map[int64]*[1024]uint32{}
	}
	for _, mark := range marks {
		page := m.pages[mark.key>>10]
		if page == nil {
			page = new([1024]uint32)
			m.pages[mark.key>>10] = page
		}
		page[mark.key&1023] = uint32(mark.at.Unix())
	}
}

func (m *keyMarks) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pages = nil
}

// lastUses gives the last use of each key in entries, which are in key order.
func lastUses(entries []keyEntry, yield func(keyMark)) {
	for i, e := range entries {
		if i+1 == len(entries) || entries[i+1].key != e.key {
			yield(keyMark{e.key, e.id.Time()})
		}
	}
}

// firstUses marks keys as used of which it is not known that they are, and returns them.
func (m *keyMarks) firstUses(tx *writeTx, entries []keyEntry) (marks []keyMark, err error) {
	lastUses(entries, func(mark keyMark) {
		if err != nil || !m.get(mark.key).IsZero() {
			return
		}
		var first int64
		first, err = tx.changed("UPDATE keys SET last_used_at = ? WHERE id = ? AND last_used_at IS NULL", mark.at.UnixMilli(), mark.key)
		if first == 0 {
			mark.at = usedBefore
		}
		marks = append(marks, mark)
	})
	return marks, err
}

const (
	// markEvery is how far the row of a key that is used all the time may be behind, where very many are.
	markEvery = 10 * time.Minute
	manyKeys  = 20_000
)

// due gives the last uses that the rows of keys should tell of by now.
func (m *keyMarks) due(entries []keyEntry) (due []keyMark) {
	var all []keyMark
	lastUses(entries, func(mark keyMark) { all = append(all, mark) })
	for _, mark := range all {
		if behind := mark.at.Sub(m.get(mark.key)); len(all) <= manyKeys && behind >= time.Second || behind >= markEvery {
			due = append(due, mark)
		}
	}
	return due
}

// writeMarks brings the rows of keys up to date.
func writeMarks(tx *writeTx, marks []keyMark) error {
	for _, mark := range marks {
		err := tx.exec("UPDATE keys SET last_used_at = ?1 WHERE id = ?2 AND (last_used_at IS NULL OR last_used_at < ?1)", mark.at.UnixMilli(), mark.key)
		if err != nil {
			return err
		}
	}
	return nil
}
