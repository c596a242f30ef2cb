package ui

import (
	"math"
	"testing"
)

func TestFormatCountSeparatesThousands(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567",
		-1:            "-1",
		-999:          "-999",
		-1000:         "-1,000",
		math.MaxInt64: "9,223,372,036,854,775,807",
		math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := FormatCount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestFormatShortFitsAnAxis(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 2: "2", 950: "950", 1000: "1k", 1200: "1.2k", 2500: "2.5k", 12800: "13k", 250_000: "250k",
		999_950: "1M", 1_234_567: "1.2M", 4e9: "4B", 25e9: "25B",
	} {
		if got := FormatShort(v); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}
