package models

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func randomEntries(random *rand.Rand, n int) []keyEntry {
	entries := make([]keyEntry, n)
	for i := range entries {
		entries[i] = keyEntry{random.Int64N(50), RequestID(random.Int64()), 1 + random.Int64N(5), random.Int64N(100)}
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
	countsOf(entries, func(c keyCount) error {
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

func FuzzDecodeIndex(f *testing.F) {
	f.Add(encodeEntries(randomEntries(rand.New(rand.NewPCG(2, 2)), 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := decodeEntries(data); err == nil && len(entries) > len(data) {
			t.Errorf("%d bytes became %d entries", len(data), len(entries))
		}
		decodeCounts(data)
	})
}
