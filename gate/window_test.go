package gate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A limit is never exceeded in any second or minute, double bursts at a boundary included, and frees at most 1/12 late.
func TestLimitsAreNeverExceededAndFreedInTime(t *testing.T) {
	t.Parallel()
	for _, a := range []axis{projectSecond, keyMinute} {
		length := axes[a].length
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 2))
			limit := uint32(1 + random.IntN(30))
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			all, w := newWindows(100, now), window{}
			var ref reference
			for range 4000 {
				now = now.Add(time.Duration(random.ExpFloat64() * float64(length) / 40))
				w.advance(all.slot(a, now))
				exact, late := ref.within(length, now), ref.within(length+a.slotLength()+windowSlots, now)
				if int64(w.sum) < exact || int64(w.sum) > late {
					t.Fatalf("%d are counted; exact are %d, and %d with what may be late", w.sum, exact, late)
				}
				if w.sum >= limit {
					frees := w.frees(limit)
					before, after := w, w
					before.advance(frees - 1)
					after.advance(frees)
					if before.sum < limit || after.sum >= limit {
						t.Fatalf("said to be free at slot %d: %d used before, %d at it, of %d", frees, before.sum, after.sum, limit)
					}
					continue
				}
				w.add()
				ref.admitted = append(ref.admitted, now)
			}
		}
	}
}

func TestTheMemoryOfWindowsIsBoundedAndProjectsStay(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	all := newWindows(6400, now)
	project := all.lock(windowKey{axis: projectMinute, project: 1}, now)
	project.add()
	project.mu.Unlock()
	for i := range 50_000 {
		w := all.lock(windowKey{axis: addressMinute, project: 1, id: all.hash(fmt.Sprint(i))}, now)
		w.add()
		w.mu.Unlock()
	}
	n := 0
	for i := range all.shard {
		n += len(all.shard[i].m)
	}
	if n > 6400+1 {
		t.Errorf("%d windows are kept", n)
	}
	if project = all.lock(windowKey{axis: projectMinute, project: 1}, now); project.sum != 1 {
		t.Errorf("a flood of addresses made the project's count begin anew: %d", project.sum)
	}
}
