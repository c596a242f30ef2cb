package requestlog

import (
	"cmp"
	"slices"
	"time"
)

// KeyUsage is what a key has used up so far: what its meter in the gate starts from.
type KeyUsage struct {
	Total int64 // admitted requests ever
	// Points are those of the last [UsageDays], oldest first: by minute for a day, by 6 minutes for a week, and by 30
	// minutes beyond.
	Points []UsagePoint
}

// UsagePoint counts the admitted requests of a key in one slot of time.
type UsagePoint struct {
	Minute   int64 // since 1970, in which the slot starts
	Requests int64
}

// VersionUsage counts the requests made with one version of a key since a moment.
type VersionUsage struct {
	Version    int
	Requests   int64
	LastUsedAt time.Time
}

// UsageDays is how far back [KeyUsage.Points] reach: the longest window of a quota. The slot in which it starts is
// whole.
const UsageDays = 30

// Counts by key are kept by the minute for a day, so that a day's window is exact to 1/1440 of its length. For the
// windows of 7 and 30 days, slots of 6 and 30 minutes do the same. All lengths are in minutes.
const (
	MinutesPerDay = 24 * 60
	WeekSlot      = 6
	MonthSlot     = 30
	// SlotLifetime is the age at which a count is part of the key's total alone.
	SlotLifetime = (UsageDays + 1) * MinutesPerDay
)

// SlotOf returns the start of the slot to which a count of the minute belongs at the minute now. total is true where
// the count is too old for a slot.
func SlotOf(minute, now int64) (slot int64, total bool) {
	switch age := now - minute; {
	case age >= SlotLifetime:
		return 0, true
	case age >= 7*MinutesPerDay+MonthSlot:
		return minute - minute%MonthSlot, false
	case age >= MinutesPerDay+WeekSlot:
		return minute - minute%WeekSlot, false
	}
	return minute, false
}

// NextWholeSlot returns the first minute after since in which slots of every length start.
func NextWholeSlot(since time.Time) int64 {
	return (since.Unix()/60 + MonthSlot) / MonthSlot * MonthSlot
}

// UsageSum adds counts of admitted requests up to a [KeyUsage].
type UsageSum struct {
	now    int64 // minute
	total  int64
	bySlot map[int64]int64
}

// NewUsageSum starts a sum at the minute now.
func NewUsageSum(now int64) *UsageSum { return &UsageSum{now: now, bySlot: map[int64]int64{}} }

// Add counts requests of a minute, or of a slot that starts in it.
func (u *UsageSum) Add(minute, requests int64) {
	u.total += requests
	slot, tooOld := SlotOf(minute, u.now)
	if tooOld || slot+MonthSlot <= u.now-UsageDays*MinutesPerDay {
		return
	}
	u.bySlot[slot] += requests
}

// Usage is what was added so far.
func (u *UsageSum) Usage() KeyUsage {
	result := KeyUsage{Total: u.total}
	for slot, n := range u.bySlot {
		result.Points = append(result.Points, UsagePoint{slot, n})
	}
	slices.SortFunc(result.Points, func(a, b UsagePoint) int { return cmp.Compare(a.Minute, b.Minute) })
	return result
}
