package sqlite

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

func randomEntries(random *rand.Rand, n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{random.Int64N(50), requestlog.ID(random.Int64()), 1 + random.Int64N(5), random.Int64N(100)}
	}
	slices.SortFunc(entries, compareEntries)
	return entries
}

func TestRecordsOfTheIndexAreReadBack(t *testing.T) {
	entries := randomEntries(rand.New(rand.NewPCG(1, 1)), 1000)
	if got, err := decodeEntries(encodeEntries(entries)); err != nil || !slices.Equal(got, entries) {
		t.Errorf("%d of %d came back, changed (%v)", len(got), len(entries), err)
	}
	var counts []keyCount
	var w recordWriter
	countEntries(entries, func(c keyCount) error {
		counts = append(counts, c)
		w.count(c)
		return nil
	})
	if got, err := decodeCounts(w.data); err != nil || !slices.Equal(got, counts) {
		t.Errorf("%d of %d came back, changed (%v)", len(got), len(counts), err)
	}
	if _, err := decodeEntries(encodeEntries(entries)[:len(encodeEntries(entries))-1]); err == nil {
		t.Error("a cut index was read")
	}
}

// However many batches come, few parts are left, with all entries in order; large parts are not merged while somebody
// waits.
func TestTheMemtableHasFewParts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for _, size := range []int{1, 24, 1000} {
		limits := Options{}.withDefaults()
		table := memtable{mergeBelow: limits.MemtableEntries / memtableFan}
		var all []entry
		batches, most := min(limits.MemtableEntries/size, limits.MemtableBatches), 0
		for i := range batches {
			entries := randomEntries(random, size)
			all = append(all, entries...)
			table.add(int64(i+1), entries)
			most = max(most, len(table.snapshot()))
		}
		if most > 70 {
			t.Errorf("batches of %d: %d parts", size, most)
		}
		for _, p := range table.snapshot() {
			if len(p.entries) > limits.MemtableEntries/memtableFan {
				t.Errorf("batches of %d: a merge of %d entries", size, len(p.entries))
			}
		}
		if entries, n := table.unflushed(); entries != len(all) || n != batches {
			t.Errorf("batches of %d: %d entries of %d batches wait, want %d of %d", size, entries, n, len(all), batches)
		}
		slices.SortFunc(all, compareEntries)
		if frozen := table.freeze(); !slices.Equal(frozen.entries, all) || frozen.lastSeq != int64(batches) {
			t.Errorf("batches of %d: the frozen part has %d entries up to batch %d, want %d up to %d", size,
				len(frozen.entries), frozen.lastSeq, len(all), batches)
		}
	}
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(encodeEntries(randomEntries(rand.New(rand.NewPCG(2, 2)), 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := decodeEntries(data); err == nil && len(entries) > len(data) {
			t.Errorf("%d bytes became %d entries", len(data), len(entries))
		}
		decodeCounts(data)
	})
}
