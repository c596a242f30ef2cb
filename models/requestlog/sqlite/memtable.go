package sqlite

import (
	"cmp"
	"slices"
	"sort"
	"sync"

	"github.com/claviger/claviger/models/requestlog"
)

// entry says that a key made a request.
type entry struct {
	key     int64
	id      requestlog.ID
	outcome int64 // number of an [outcome]
	credits int64
}

func compareEntries(a, b entry) int {
	if a.key != b.key { // cmp.Or would make both comparisons each time
		return cmp.Compare(a.key, b.key)
	}
	return cmp.Compare(a.id, b.id)
}

// memtableFan is how many parts of the memtable are merged at a time.
const memtableFan = 8

// memtable holds in memory what the keys did in the batches that are in no sorted run yet: a few dozen parts at most,
// each sorted by key and id. Parts never change, so whoever has the list of them reads without a lock.
type memtable struct {
	mergeBelow int // parts are merged up to that many entries; zero merges none
	mu         sync.RWMutex
	parts      []memtablePart // oldest first
}

type memtablePart struct {
	lastSeq int64 // of the newest batch in it
	batches int
	level   int  // how often it was merged
	frozen  bool // it is being flushed to a sorted run, and is not merged with newer parts
	entries []entry
}

// add takes the entries of a batch, sorted by key and id. Where there are memtableFan parts that were merged equally
// often, they become one. Large parts stay as they are, because add would wait for their merge.
func (t *memtable) add(seq int64, entries []entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := append(slices.Clone(t.parts), memtablePart{lastSeq: seq, batches: 1, entries: entries}) // readers have the old list
	for {
		first, level, total := len(parts), parts[len(parts)-1].level, 0
		for first > 0 && len(parts)-first < memtableFan && parts[first-1].level == level && !parts[first-1].frozen {
			first--
			total += len(parts[first].entries)
		}
		if len(parts)-first < memtableFan || total > t.mergeBelow {
			break
		}
		merged := mergeParts(parts[first:])
		merged.level = level + 1
		parts = append(parts[:first], merged)
	}
	t.parts = parts
}

// mergeParts returns one part with the entries of parts, of which there is at least one.
func mergeParts(parts []memtablePart) memtablePart {
	merged := memtablePart{lastSeq: parts[len(parts)-1].lastSeq}
	total, left := 0, make([][]entry, 0, len(parts))
	for _, p := range parts {
		merged.batches += p.batches
		total, left = total+len(p.entries), append(left, p.entries)
	}
	merged.entries = make([]entry, 0, total)
	for len(left) > 1 {
		least := 0
		for i := 1; i < len(left); i++ { // there are few
			if compareEntries(left[i][0], left[least][0]) < 0 {
				least = i
			}
		}
		merged.entries = append(merged.entries, left[least][0])
		if left[least] = left[least][1:]; len(left[least]) == 0 {
			left = slices.Delete(left, least, least+1)
		}
	}
	merged.entries = append(merged.entries, left[0]...)
	return merged
}

// snapshot returns the present parts.
func (t *memtable) snapshot() []memtablePart {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.parts
}

// replace makes part the whole content.
func (t *memtable) replace(part memtablePart) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = nil
	if len(part.entries) > 0 {
		t.parts = []memtablePart{part}
	}
}

// size counts all entries.
func (t *memtable) size() (entries int) {
	for _, p := range t.snapshot() {
		entries += len(p.entries)
	}
	return entries
}

// unflushed counts what is not being flushed to a sorted run.
func (t *memtable) unflushed() (entries, batches int) {
	for _, p := range t.snapshot() {
		if !p.frozen {
			entries, batches = entries+len(p.entries), batches+p.batches
		}
	}
	return entries, batches
}

// freeze makes one part of all parts and returns it: what is flushed next. One caller at a time.
func (t *memtable) freeze() memtablePart {
	t.mu.Lock()
	frozen := slices.Clone(t.parts)
	for i := range frozen {
		frozen[i].frozen = true
	}
	t.parts = frozen
	t.mu.Unlock()
	if len(frozen) == 0 {
		return memtablePart{}
	}
	all := mergeParts(frozen) // others read and add meanwhile
	all.frozen = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append([]memtablePart{all}, t.parts[len(frozen):]...)
	return all
}

// dropFlushed removes the parts whose batches are all in sorted runs, those up to the number given.
func (t *memtable) dropFlushed(upTo int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = slices.DeleteFunc(slices.Clone(t.parts), func(p memtablePart) bool { return p.lastSeq <= upTo })
}

// of returns a key's entries with ids in [from, to), oldest first.
func (p memtablePart) of(key int64, from, to requestlog.ID) []entry {
	at := func(id requestlog.ID) int {
		return sort.Search(len(p.entries), func(i int) bool {
			return compareEntries(p.entries[i], entry{key: key, id: id}) >= 0
		})
	}
	return p.entries[at(from):max(at(from), at(to))]
}
