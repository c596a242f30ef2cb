package ui

import (
	"testing"
	"time"
)

func TestRelativeUsesTheLargestWholeUnit(t *testing.T) {
	now := time.Date(2025, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		offset time.Duration
		want   string
	}{
		{0, "just now"},
		{-59 * time.Second, "just now"},
		{59 * time.Second, "in a moment"},
		{-time.Minute, "1 minute ago"},
		{-119 * time.Second, "1 minute ago"},
		{-3 * time.Minute, "3 minutes ago"},
		{time.Minute, "in 1 minute"},
		{-time.Hour, "1 hour ago"},
		{-23*time.Hour - 59*time.Minute, "23 hours ago"},
		{-24 * time.Hour, "1 day ago"},
		{48 * time.Hour, "in 2 days"},
		{-29 * 24 * time.Hour, "29 days ago"},
		{-30 * 24 * time.Hour, "1 month ago"},
		{364 * 24 * time.Hour, "in 12 months"},
		{-365 * 24 * time.Hour, "1 year ago"},
		{3 * 365 * 24 * time.Hour, "in 3 years"},
	} {
		if got := Relative(now.Add(c.offset), now); got != c.want {
			t.Errorf("%v from now: got %q, want %q", c.offset, got, c.want)
		}
	}
}

func TestTimesAreFormattedInTheGivenZone(t *testing.T) {
	at := time.Date(2025, 11, 22, 23, 30, 5, 0, time.UTC)
	zone := time.FixedZone("CET", 3600)
	for _, c := range []struct{ got, want string }{
		{Exact(at, zone), "23 Nov 2025, 00:30:05 CET"},
		{Exact(at, nil), "22 Nov 2025, 23:30:05 UTC"},
		{Short(at, at.Add(time.Hour), zone, false), "00:30"},
		{Short(at, at.Add(time.Hour), zone, true), "00:30:05"},
		{Short(at, at.Add(time.Hour), nil, false), "22 Nov, 23:30"},
		{Short(at, at.AddDate(0, 0, -1), zone, false), "23 Nov, 00:30"},
		{Short(at, at.AddDate(1, 0, 0), zone, true), "23 Nov 2025, 00:30:05"},
		{DateTimeLocal(at, zone), "2025-11-23T00:30"},
		{DateTimeLocal(at, nil), "2025-11-22T23:30"},
		{DateTimeLocal(time.Time{}, zone), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
