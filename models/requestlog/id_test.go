package requestlog

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestIDsSortByTimeInNumberAndText(t *testing.T) {
	at := time.Date(2026, 3, 14, 9, 26, 53, 589_000_000, time.UTC)
	ids := &IDs{now: func() time.Time { return at }}
	var numbers []ID
	var texts []string
	for range 5000 { // more than one millisecond holds
		id := ids.Next()
		numbers, texts = append(numbers, id), append(texts, id.String())
	}
	at = at.Add(-time.Hour) // a clock that is set back makes no earlier id
	back := ids.Next()
	at = at.Add(3 * time.Hour)
	last := ids.Next()
	numbers, texts = append(numbers, back, last), append(texts, back.String(), last.String())
	if !slices.IsSorted(numbers) || !slices.IsSorted(texts) {
		t.Error("the order of ids is not the order in which they were made")
	}
	if len(slices.Compact(numbers)) != 5002 {
		t.Error("an id was made twice")
	}
	if !last.Time().Equal(at) {
		t.Errorf("the id tells %v, it was made at %v", last.Time(), at)
	}
}

func TestIDsOfManyGoroutinesDiffer(t *testing.T) {
	ids := &IDs{now: time.Now, process: 7}
	var mu sync.Mutex
	seen := map[ID]bool{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			own := make([]ID, 2000)
			for i := range own {
				own[i] = ids.Next()
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range own {
				seen[id] = true
			}
		})
	}
	group.Wait()
	if len(seen) != 16000 {
		t.Errorf("%d different ids of 16000", len(seen))
	}
}

func TestIDsSayHowFarTheyAreAheadOfTheClock(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	ids := &IDs{now: func() time.Time { return now }}
	ids.Next()
	for back, want := range map[time.Duration]time.Duration{0: 0, time.Hour: time.Hour, -time.Hour: 0} {
		now = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC).Add(-back)
		if got := ids.Ahead(); got != want {
			t.Errorf("the clock set back by %s: %s ahead", back, got)
		}
	}
}

func TestIDTextIsReadBack(t *testing.T) {
	for _, id := range []ID{0, 1, 1 << 40, 1<<63 - 1} {
		got, ok := ParseID(id.String())
		if !ok || got != id {
			t.Errorf("%d is written %s and read %d, %v", id, id, got, ok)
		}
	}
	for _, text := range []string{
		"",
		"req_",
		"req_0000000000000x",
		"req_000000000000",
		"req_000000000000u",
		"REQ_0000000000000",
		"req_zzzzzzzzzzzzz",
		"xreq_000000000000",
	} {
		if id, ok := ParseID(text); ok {
			t.Errorf("%q was read as %d", text, id)
		}
	}
}

func TestATimeRangeIsARangeOfIDs(t *testing.T) {
	at := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	ids := &IDs{now: func() time.Time { return at.Add(-time.Millisecond) }, process: 1023}
	if ids.Next() >= FirstIDAt(at) {
		t.Error("an earlier request is inside the range")
	}
	ids = &IDs{now: func() time.Time { return at }}
	if ids.Next() < FirstIDAt(at) {
		t.Error("a request at the first moment is outside the range")
	}
}
