package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcHeadroom is how much garbage may gather before it is collected, whatever the size of what lives. The default,
	// as much as lives, collects dozens of times a second while little does, and doubles the memory of a million keys.
	gcHeadroom = 48 << 20
	gcInterval = time.Second
)

// keepHeadroom keeps the collector at [gcHeadroom] until ctx ends.
func keepHeadroom(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(gcInterval)
	defer ticker.Stop()
	for {
		metrics.Read(sample)
		live := max(sample[0].Value.Uint64(), 4<<20) // below it the collector waits for 4 MB anyway
		debug.SetGCPercent(int(gcHeadroom * 100 / live))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
