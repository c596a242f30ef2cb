package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcHeadroom is how many bytes of garbage may accumulate before a collection, whatever the size of the live heap.
	// By default, as much garbage as live heap may accumulate. With a small heap that means dozens of collections a
	// second, and with a million keys it doubles the memory.
	gcHeadroom = 48 << 20
	gcInterval = time.Second
)

// keepHeadroom sets the garbage collector's percentage each second so that [gcHeadroom] holds, until ctx ends.
func keepHeadroom(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(gcInterval)
	defer ticker.Stop()
	for {
		metrics.Read(sample)
		live := max(sample[0].Value.Uint64(), 4<<20) // the collector never starts below a heap of 4 MB
		debug.SetGCPercent(int(gcHeadroom * 100 / live))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
