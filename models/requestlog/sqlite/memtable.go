package sqlite

import (
	"cmp"
	"slices"
	"sort"
	"sync"

	"github.com/claviger/claviger/models/requestlog"
)

// entry is a request in the index by key.
type entry struct {
	key     int64
	id      requestlog.ID
	outcome int64 // the number of an [outcome]
	credits int64
}

func compareEntries(a, b entry) int {
	if a.key != b.key { // unlike cmp.Or, this makes the second comparison only if it is needed
		return cmp.Compare(a.key, b.key)
	}
	return cmp.Compare(a.id, b.id)
}

// memtableFan is how many parts of the memtable are merged at a time.
const memtableFan = 8

// memtable has the entries of the batches that are in no sorted run yet, in a few dozen parts at most. Parts and the
// list of them are never changed but replaced, so a reader that has the list needs no lock.
type memtable struct {
	mergeBelow int // parts are merged if they have at most that many entries together; 0 merges none
	mu         sync.RWMutex
	parts      []memtablePart // oldest first
}

type memtablePart struct {
	lastSeq int64 // the number of the newest batch in it
	batches int
	level   int     // how often it was merged
	frozen  bool    // it is being flushed to a sorted run, and is not merged with newer parts
	entries []entry // sorted by key and id
}

// add adds a part with the entries of a batch, which must be sorted by key and id. If the newest memtableFan parts were
// merged equally often, add merges them into one. It does not merge large parts, because that would take too long.
func (t *memtable) add(seq int64, entries []entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := append(slices.Clone(t.parts), memtablePart{lastSeq: seq, batches: 1, entries: entries})
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

// mergeParts returns one part with the entries of all parts. There must be at least one.
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

// snapshot returns the present parts, oldest first. The caller must not change the list.
func (t *memtable) snapshot() []memtablePart {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.parts
}

// replace replaces all parts by one.
func (t *memtable) replace(part memtablePart) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = nil
	if len(part.entries) > 0 {
		t.parts = []memtablePart{part}
	}
}

// size returns the number of entries.
func (t *memtable) size() (entries int) {
	for _, p := range t.snapshot() {
		entries += len(p.entries)
	}
	return entries
}

// unflushed returns the numbers of entries and batches that are not being flushed to a sorted run.
func (t *memtable) unflushed() (entries, batches int) {
	for _, p := range t.snapshot() {
		if !p.frozen {
			entries, batches = entries+len(p.entries), batches+p.batches
		}
	}
	return entries, batches
}

// freeze merges all parts into one and returns it, for a flush. It must not be called by two goroutines at once.
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
	all := mergeParts(frozen) // without the lock, because it takes long
	all.frozen = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append([]memtablePart{all}, t.parts[len(frozen):]...)
	return all
}

// dropFlushed removes the parts whose newest batch has the number upTo or a smaller one.
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
