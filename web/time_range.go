package web

import "time"

// CustomRange is the value of a range whose start and end are typed.
const CustomRange = "custom"

// TimeRange is a span of time up to now that filters offer.
type TimeRange struct {
	Value, Label string
	length       time.Duration
}

// TimeRanges are the ranges that filters offer.
var TimeRanges = []TimeRange{
	{"15m", "Last 15 minutes", 15 * time.Minute},
	{"1h", "Last hour", time.Hour},
	{"24h", "Last 24 hours", 24 * time.Hour},
	{"7d", "Last 7 days", 7 * 24 * time.Hour},
	{"30d", "Last 30 days", 30 * 24 * time.Hour},
}

// RangeStart returns the start of the range with the value, or the zero time for any other value.
func RangeStart(value string, now time.Time) time.Time {
	for _, r := range TimeRanges {
		if r.Value == value {
			return now.Add(-r.length)
		}
	}
	return time.Time{}
}

// ParseLocalTime reads the value of a field of type datetime-local, which browsers send with or without seconds.
func ParseLocalTime(text string, zone *time.Location) (time.Time, error) {
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
	if err != nil {
		at, err = time.ParseInLocation("2006-01-02T15:04:05", text, zone)
	}
	return at, err
}
