package gate

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// BenchmarkBlocked measures the check of an address, which every request makes.
func BenchmarkBlocked(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			blocks := newBlocks(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, &blockTable{})
			for i := range n {
				row := models.AddressBlock{
					ID:        int64(i + 1),
					ProjectID: 1,
					Address:   fmt.Sprintf("10.0.%d.%d", i>>8, i&255),
					Strikes:   1,
					EndsAt:    time.Now().Add(time.Hour),
				}
				blocks.apply(&row, 0)
			}
			for _, ip := range []string{"203.0.113.7", "2001:db8:85a3:8d3:1319:8a2e:370:7348"} {
				b.Run(ip, func(b *testing.B) {
					b.ReportAllocs()
					b.RunParallel(func(p *testing.PB) {
						for p.Next() {
							if blocks.blocked(1, ip) != 0 {
								b.Fail()
							}
						}
					})
				})
			}
		})
	}
}

// BenchmarkNoteBad measures the extra work for a bad key: the same one again and again, and one from each of many
// addresses.
func BenchmarkNoteBad(b *testing.B) {
	blocks := newBlocks(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, &blockTable{})
	b.Run("the same", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			blocks.noteBad(1, "203.0.113.7", "clv_prod_0000000000000000000000000000000000000000000000000")
		}
	})
	b.Run("many addresses", func(b *testing.B) {
		ips := make([]string, 1<<18)
		for i := range ips {
			ips[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			blocks.noteBad(1, ips[i&(1<<18-1)], "clv_prod_0000000000000000000000000000000000000000000000000")
		}
	})
}
