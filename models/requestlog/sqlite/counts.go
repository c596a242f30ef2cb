package sqlite

import (
	"cmp"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// keyCount counts the requests of a key in one slot of time with one outcome.
type keyCount struct {
	key      int64
	slot     int64 // the minute since 1970 in which the slot starts; 0 for requests that are too old for a slot
	outcome  int64 // the number of an [outcome]
	requests int64
	credits  int64
	newest   requestlog.ID
}

func compareCounts(a, b keyCount) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.slot, b.slot), cmp.Compare(a.outcome, b.outcome))
}

// countEntries counts entries, which must be sorted by key and id, by key, minute and outcome. It calls emit for each
// count, in the order of these three.
func countEntries(entries []entry, emit func(keyCount) error) error {
	var sums []keyCount // of one key and minute
	flush := func() error {
		slices.SortFunc(sums, compareCounts)
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
		sums = addCount(sums, keyCount{
			key: e.key, slot: minute, outcome: e.outcome, requests: 1, credits: e.credits, newest: e.id,
		})
	}
	return flush()
}

// addCount adds c to the count of the same outcome in sums, or appends it if there is none.
func addCount(sums []keyCount, c keyCount) []keyCount {
	for i := range sums {
		if s := &sums[i]; s.outcome == c.outcome {
			s.requests, s.credits, s.newest = s.requests+c.requests, s.credits+c.credits, max(s.newest, c.newest)
			return sums
		}
	}
	return append(sums, c)
}
