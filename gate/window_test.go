package gate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A limit is never exceeded in any second or minute, even by bursts on both sides of a boundary, and a request leaves
// the window at most 1/12 of its length late.
func TestLimitsAreNeverExceededAndBecomeFreeInTime(t *testing.T) {
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
				least, most := ref.within(length, now), ref.within(length+a.slotLength()+windowSlots, now)
				if int64(w.sum) < least || int64(w.sum) > most {
					t.Fatalf("%d are counted, want %d to %d", w.sum, least, most)
				}
				if w.sum >= limit {
					frees := w.frees(limit)
					before, after := w, w
					before.advance(frees - 1)
					after.advance(frees)
					if before.sum < limit || after.sum >= limit {
						t.Fatalf("frees returned slot %d: %d are used before it and %d at it, limit is %d",
							frees, before.sum, after.sum, limit)
					}
					continue
				}
				w.add()
				ref.admitted = append(ref.admitted, now)
			}
		}
	}
}

func TestWindowsAreBoundedAndThoseOfProjectsAreNotEvicted(t *testing.T) {
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
		t.Errorf("%d windows are in memory, want at most 6401", n)
	}
	if project = all.lock(windowKey{axis: projectMinute, project: 1}, now); project.sum != 1 {
		t.Errorf("after a flood of addresses the project's count is %d, want 1", project.sum)
	}
}
