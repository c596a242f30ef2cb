package gate

import (
	"math/rand/v2"
	"testing"
)

// It is compared with a map, with many numbers that have the same slot.
func TestIndexBehavesLikeAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, numbers := range []uint64{3, 12, 100, 5_000} {
		var x index
		want := map[uint64]uint32{}
		for step := uint32(1); step <= 20_000; step++ {
			number := random.Uint64N(numbers) * (1 + 1<<uint(random.IntN(3)*20)) // many have the same lower bits
			switch random.IntN(5) {
			case 0, 1:
				x.put(number, step, 2*step)
				want[number] = step
			case 2:
				x.drop(number)
				delete(want, number)
			case 3:
				if len(want) > 0 {
					number, place := x.next()
					if known, found := want[number]; !found || known != place {
						t.Fatalf("next returned %d at %d, want one of %v", number, place, want)
					}
				}
			}
			if entry, meter := x.get(number); entry != want[number] || meter != 2*entry {
				t.Fatalf("%d is at %d and %d, want %d", number, entry, meter, want[number])
			}
			if x.used != len(want) || x.used > 0 && 4*x.used > 3*len(x.slots) {
				t.Fatalf("used is %d of %d slots, want %d", x.used, len(x.slots), len(want))
			}
		}
		for number, place := range want {
			if entry, _ := x.get(number); entry != place {
				t.Errorf("%d is at %d, want %d", number, entry, place)
			}
		}
	}
}

// Otherwise a full cache would evict the same number again and again.
func TestIndexNextGoesThroughAllNumbers(t *testing.T) {
	var x index
	for number := range uint64(12) {
		x.put(number, 1, 1)
	}
	seen := map[uint64]bool{}
	for range 12 {
		number, _ := x.next()
		seen[number] = true
	}
	if len(seen) != 12 {
		t.Errorf("12 calls of next returned %d numbers, want 12", len(seen))
	}
}
