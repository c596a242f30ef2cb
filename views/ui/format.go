package ui

import (
	"math"
	"strconv"
	"strings"
)

// FormatCount writes a whole number with thousands separators: 1234567 is "1,234,567".
func FormatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// FormatShort writes a number for places with little space: 950, 1.2k, 13k, 1.2M, 4B. It rounds; use FormatCount if the
// exact value matters.
func FormatShort(v float64) string {
	abs := math.Abs(v)
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "k"}} {
		// 999,950 would round to 1000.0k, so it is written in the next unit.
		if abs >= unit.size*0.99995 {
			return trimZero(v/unit.size) + unit.name
		}
	}
	return trimZero(v)
}

func trimZero(v float64) string {
	decimals := 1
	if math.Abs(v) >= 10 && v != math.Trunc(v) {
		decimals = 0
	}
	if math.Abs(v) >= 99.95 {
		decimals = 0
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', decimals, 64), ".0")
}
