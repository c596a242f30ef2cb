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

// Relative says how far t is from now, in the largest whole unit: "just now", "3 minutes ago", "in 2 days". Months are
// 30 days and years 365. static/src/app.js keeps the same wording; a change here belongs there too.
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

// Exact writes a moment in full, in loc, with the zone: "22 Nov 2025, 14:03:09 CET". A nil loc means UTC.
func Exact(t time.Time, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc).Format("2 Jan 2006, 15:04:05 MST")
}

// DateTimeLocal writes a moment as the value of a DateTimeField, in loc; the zero time gives an empty field.
func DateTimeLocal(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return ""
	}
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc).Format("2006-01-02T15:04")
}
