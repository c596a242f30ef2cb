package ui

import (
	"strconv"
	"time"
)

const (
	day   = 24 * time.Hour
	month = 30 * day
	year  = 365 * day
)

// Relative returns the distance of t from now in the largest whole unit: "just now", "3 minutes ago", "in 2 days".
// Months have 30 days and years 365. static/src/app.js has the same wording; change both together.
func Relative(t, now time.Time) string {
	ahead := t.After(now)
	d := now.Sub(t).Abs()
	if d < time.Minute {
		if ahead {
			return "in a moment"
		}
		return "just now"
	}
	units := []struct {
		size time.Duration
		name string
	}{{year, "year"}, {month, "month"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	text := ""
	for _, u := range units {
		if n := int64(d / u.size); n > 0 {
			text = strconv.FormatInt(n, 10) + " " + u.name
			if n > 1 {
				text += "s"
			}
			break
		}
	}
	if ahead {
		return "in " + text
	}
	return text + " ago"
}

// Short returns a moment in loc without its zone, and with its date if that is not the date of now: "14:03",
// "22 Nov, 14:03", or "22 Nov 2024, 14:03" in another year; seconds adds the seconds. A nil loc means UTC.
// static/src/app.js has the same format; change both together.
func Short(t, now time.Time, loc *time.Location, seconds bool) string {
	if loc == nil {
		loc = time.UTC
	}
	t, now = t.In(loc), now.In(loc)
	layout := "15:04"
	if seconds {
		layout = "15:04:05"
	}
	switch {
	case t.Year() != now.Year():
		layout = "2 Jan 2006, " + layout
	case t.YearDay() != now.YearDay():
		layout = "2 Jan, " + layout
	}
	return t.Format(layout)
}

// Exact returns a moment in full, in loc and with the zone: "22 Nov 2025, 14:03:09 CET". A nil loc means UTC.
func Exact(t time.Time, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc).Format("2 Jan 2006, 15:04:05 MST")
}

// DateTimeLocal returns a moment as the value of a DateTimeField, in loc. For the zero time it returns "".
func DateTimeLocal(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return ""
	}
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc).Format("2006-01-02T15:04")
}
