package gate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// BenchmarkMemoryOfAMillionKeys reports the bytes of heap that a key in memory takes: its entry in the key cache, and a
// meter with 20 requests of the last day.
func BenchmarkMemoryOfAMillionKeys(b *testing.B) {
	const keys = 1_000_000
	digestOf := func(i int) models.Digest {
		return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
	}
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		next := 0
		m := metersOf(2*keys, func(context.Context, int64) (requestlog.KeyUsage, error) {
			used := requestlog.KeyUsage{Total: 20}
			for i := range 20 {
				minute := now.Unix()/60 - 1400 + int64(i)*70
				used.Points = append(used.Points, requestlog.UsagePoint{Minute: minute, Requests: 1})
			}
			return used, nil
		})
		clock := func() time.Time { return now }
		load := func(context.Context, models.Digest) (*models.GateKey, error) {
			return &models.GateKey{
				ProjectID: 1, KeyID: int64(next + 1), Name: "server_prod_00000001", Type: models.TypeProduction,
				Category: "production", State: models.StateActive, Version: 1,
				Caps: models.Caps{1000, 5000, 20000, 1000000},
			}, nil
		}
		c := newKeyCache(2*keys, newStalenessPolicy(false, clock), m, load)
		for ; next < keys; next++ {
			if _, _, err := c.get(b.Context(), digestOf(next)); err != nil {
				b.Fatal(err)
			}
			meter, err := m.lockLoaded(b.Context(), int64(next+1), clock)
			if err != nil {
				b.Fatal(err)
			}
			meter.mu.Unlock()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/keys, "bytes/key")
		start := time.Now()
		runtime.GC()
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "gc-ms")
		runtime.KeepAlive(c)
		runtime.KeepAlive(m)
	}
}
