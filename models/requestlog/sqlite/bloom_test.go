package sqlite

import (
	"fmt"
	"testing"
)

func TestAFilterHasEachValueAndHardlyAnother(t *testing.T) {
	for _, n := range []int{0, 1, 300, 5000} {
		values := map[value]struct{}{}
		for i := range n {
			values[valueOf(valueIP, fmt.Sprint("192.0.2.", i))] = struct{}{}
		}
		shards := newBloom(values)
		maybe := func(v value) bool { return v.mayBeIn(shards[v.shard(int64(len(shards)))]) }
		for v := range values {
			if !maybe(v) {
				t.Fatalf("one of %d values is not in the filter", n)
			}
		}
		wrong := 0
		for i := range 10_000 {
			if maybe(valueOf(valuePath, fmt.Sprint("192.0.2.", i))) {
				wrong++
			}
		}
		if wrong > 200 {
			t.Errorf("of 10,000 values that are not in a filter of %d, it may have %d", n, wrong)
		}
	}
}

func TestAFilterThatIsDamagedMayHaveAnything(t *testing.T) {
	if v := valueOf(valueIP, "192.0.2.1"); !v.mayBeIn(nil) || !v.mayBeIn(make([]byte, 3)) {
		t.Error("a damaged filter tells of a value that no row has it")
	}
}
