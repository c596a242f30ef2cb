package models

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"sync"

	"github.com/claviger/claviger/models/requestlog"
)

// keyEntry says that a key made a request.
type keyEntry struct {
	key     int64
	id      requestlog.ID
	outcome int64 // number of an [outcome]
	credits int64
}

func compareEntries(a, b keyEntry) int {
	if a.key != b.key { // cmp.Or would make both comparisons each time
		return cmp.Compare(a.key, b.key)
	}
	return cmp.Compare(a.id, b.id)
}

// keyCount counts the requests of a key that came in one slot of time, with one outcome.
type keyCount struct {
	key, slot, outcome int64 // slot: a minute since 1970, or 0 for all that are too old for a window
	requests, credits  int64
	newest             requestlog.ID
}

// outcome is the version of the key's secret and the code of the verdict.
type outcome struct {
	version int
	code    requestlog.Code
}

// tailFan is how many parts of the tail are merged at a time.
const tailFan = 8

// keyTail holds in memory what the keys did in the batches that are in no run yet: a few dozen parts at most, each in key order.
// Parts never change; who has the list of them reads without a lock.
type keyTail struct {
	mu    sync.RWMutex
	parts []tailPart // oldest first
}

type tailPart struct {
	lastSeq int64 // of the newest batch in it
	batches int
	level   int  // how often it was merged
	frozen  bool // it is being written to a run and is not merged with newer ones
	entries []keyEntry
}

// add takes the entries of a batch, in key order. Where there are tailFan parts that were merged equally often, they become one.
// Large parts stay as they are: who adds would wait for their merge.
func (t *keyTail) add(seq int64, entries []keyEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := append(slices.Clone(t.parts), tailPart{lastSeq: seq, batches: 1, entries: entries}) // who reads has the old list
	for {
		first, level, total := len(parts), parts[len(parts)-1].level, 0
		for first > 0 && len(parts)-first < tailFan && parts[first-1].level == level && !parts[first-1].frozen {
			first--
			total += len(parts[first].entries)
		}
		if len(parts)-first < tailFan || total > limits.tail/tailFan {
			break
		}
		merged := mergeParts(parts[first:])
		merged.level = level + 1
		parts = append(parts[:first], merged)
	}
	t.parts = parts
}

// mergeParts gives one part with all that is in parts, of which there is at least one.
func mergeParts(parts []tailPart) tailPart {
	merged := tailPart{lastSeq: parts[len(parts)-1].lastSeq}
	total, left := 0, make([][]keyEntry, 0, len(parts))
	for _, p := range parts {
		merged.batches += p.batches
		total, left = total+len(p.entries), append(left, p.entries)
	}
	merged.entries = make([]keyEntry, 0, total)
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

// snapshot is what the tail holds now.
func (t *keyTail) snapshot() []tailPart {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.parts
}

// waiting counts what is not being written to a run.
func (t *keyTail) waiting() (entries, batches int) {
	for _, p := range t.snapshot() {
		if !p.frozen {
			entries, batches = entries+len(p.entries), batches+p.batches
		}
	}
	return entries, batches
}

// freeze makes one part of all parts and returns it: what goes to a run next. One at a time calls it.
func (t *keyTail) freeze() tailPart {
	t.mu.Lock()
	frozen := slices.Clone(t.parts)
	for i := range frozen {
		frozen[i].frozen = true
	}
	t.parts = frozen
	t.mu.Unlock()
	if len(frozen) == 0 {
		return tailPart{}
	}
	all := mergeParts(frozen) // others read and add meanwhile
	all.frozen = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append([]tailPart{all}, t.parts[len(frozen):]...)
	return all
}

// drop forgets what is in a run now, or with 0 everything.
func (t *keyTail) drop(upTo int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []tailPart
	for _, p := range t.parts {
		if upTo != 0 && p.lastSeq > upTo {
			left = append(left, p)
		}
	}
	t.parts = left
}

// of gives a key's entries with ids in [from, to), oldest first.
func (p tailPart) of(key int64, from, to requestlog.ID) []keyEntry {
	at := func(id requestlog.ID) int {
		return sort.Search(len(p.entries), func(i int) bool { return compareEntries(p.entries[i], keyEntry{key: key, id: id}) >= 0 })
	}
	return p.entries[at(from):max(at(from), at(to))]
}

// countsOf sums entries in key order up by key, minute and outcome, in that order.
func countsOf(entries []keyEntry, emit func(keyCount) error) error {
	var sums []keyCount // of one key and minute
	flush := func() error {
		slices.SortFunc(sums, func(a, b keyCount) int { return cmp.Compare(a.outcome, b.outcome) })
		for _, c := range sums {
			if err := emit(c); err != nil {
				return err
			}
		}
		sums = sums[:0]
		return nil
	}
	for _, e := range entries {
		minute := e.id.Minute()
		if len(sums) > 0 && (sums[0].key != e.key || sums[0].slot != minute) {
			if err := flush(); err != nil {
				return err
			}
		}
		sums = addCount(sums, keyCount{e.key, minute, e.outcome, 1, e.credits, e.id})
	}
	return flush()
}

// addCount adds to the sum of the same outcome.
func addCount(sums []keyCount, c keyCount) []keyCount {
	for i := range sums {
		if s := &sums[i]; s.outcome == c.outcome {
			s.requests, s.credits, s.newest = s.requests+c.requests, s.credits+c.credits, max(s.newest, c.newest)
			return sums
		}
	}
	return append(sums, c)
}

// Records of keys in bytes: key and time as the difference to the record before, then what there is to say, all as varints.

var errDamagedIndex = errors.New("the stored index of keys is damaged")

type recordWriter struct {
	data    []byte
	key, at int64
}

func (w *recordWriter) add(key, at int64, numbers ...int64) {
	w.data = binary.AppendVarint(w.data, key-w.key)
	w.data = binary.AppendVarint(w.data, at-w.at)
	for _, n := range numbers {
		w.data = binary.AppendVarint(w.data, n)
	}
	w.key, w.at = key, at
}

func (w *recordWriter) entry(e keyEntry) { w.add(e.key, int64(e.id), e.outcome, e.credits) }

func (w *recordWriter) count(c keyCount) {
	w.add(c.key, c.slot, c.outcome, c.requests, c.credits, int64(c.newest-requestlog.FirstIDOfMinute(c.slot)))
}

type recordReader struct {
	data    []byte
	key, at int64
	err     error
}

func (r *recordReader) number() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.data, r.err = nil, errDamagedIndex
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *recordReader) more() bool { return len(r.data) > 0 }

func (r *recordReader) entry() keyEntry {
	r.key += r.number()
	r.at += r.number()
	return keyEntry{r.key, requestlog.ID(r.at), r.number(), r.number()}
}

func (r *recordReader) count() keyCount {
	r.key += r.number()
	r.at += r.number()
	return keyCount{r.key, r.at, r.number(), r.number(), r.number(), requestlog.FirstIDOfMinute(r.at) + requestlog.ID(r.number())}
}

func encodeEntries(entries []keyEntry) []byte {
	w := recordWriter{data: make([]byte, 0, 12*len(entries))}
	for _, e := range entries {
		w.entry(e)
	}
	return w.data
}

func decodeEntries(data []byte) ([]keyEntry, error) {
	r, entries := recordReader{data: data}, make([]keyEntry, 0, len(data)/8)
	for r.more() {
		entries = append(entries, r.entry())
	}
	return entries, r.err
}

func decodeCounts(data []byte) ([]keyCount, error) {
	r, counts := recordReader{data: data}, make([]keyCount, 0, len(data)/10)
	for r.more() {
		counts = append(counts, r.count())
	}
	return counts, r.err
}

// replace makes part all that the tail holds.
func (t *keyTail) replace(part tailPart) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = nil
	if len(part.entries) > 0 {
		t.parts = []tailPart{part}
	}
}
