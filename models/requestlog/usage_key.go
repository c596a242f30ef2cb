package requestlog

import (
	"cmp"
	"slices"
	"time"
)

// KeyUsage is what a key has used so far. The gate loads the key's meter from it.
type KeyUsage struct {
	Total int64 // admitted requests since the key was created
	// Points are the admitted requests of the last [UsageDays] days, oldest first: by minute for a day, by 6 minutes
	// for a week, and by 30 minutes before that.
	Points []UsagePoint
}

// UsagePoint counts the admitted requests of a key in one slot of time.
type UsagePoint struct {
	Minute   int64 // in which the slot starts, since 1970
	Requests int64
}

// VersionUsage counts the requests made with one version of a key since a time.
type VersionUsage struct {
	Version    int
	Requests   int64
	LastUsedAt time.Time
}

// UsageDays is how many days [KeyUsage.Points] go back: the longest window of a quota. The slot in which the window
// begins is counted as a whole.
const UsageDays = 30

// Counts by key are kept by minute for a day. Older ones are merged into slots of 6 minutes (WeekSlot), and after a
// week into slots of 30 minutes (MonthSlot). So the windows of 1, 7 and 30 days are exact to 1/1440 of their length or
// better. All lengths are in minutes.
const (
	MinutesPerDay = 24 * 60
	WeekSlot      = 6
	MonthSlot     = 30
	// SlotLifetime is the age from which on a count is only part of the key's total.
	SlotLifetime = (UsageDays + 1) * MinutesPerDay
)

// SlotOf returns the start of the slot to which a count of the minute belongs at the minute now. If the count is too
// old for a slot, total is true and slot is 0. Minutes are counted since 1970.
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

// NextWholeSlot returns the first minute after since in which slots of all lengths start.
func NextWholeSlot(since time.Time) int64 {
	return (since.Unix()/60 + MonthSlot) / MonthSlot * MonthSlot
}

// UsageSum computes a [KeyUsage] from counts of admitted requests.
type UsageSum struct {
	now    int64 // minute
	total  int64
	bySlot map[int64]int64
}

// NewUsageSum returns an empty sum. now is the present minute, since 1970.
func NewUsageSum(now int64) *UsageSum { return &UsageSum{now: now, bySlot: map[int64]int64{}} }

// Add adds the requests of a minute, or of a slot that starts in it.
func (u *UsageSum) Add(minute, requests int64) {
	u.total += requests
	slot, tooOld := SlotOf(minute, u.now)
	if tooOld || slot+MonthSlot <= u.now-UsageDays*MinutesPerDay {
		return
	}
	u.bySlot[slot] += requests
}

// Usage returns the sum of what was added.
func (u *UsageSum) Usage() KeyUsage {
	result := KeyUsage{Total: u.total}
	for slot, n := range u.bySlot {
		result.Points = append(result.Points, UsagePoint{slot, n})
	}
	slices.SortFunc(result.Points, func(a, b UsagePoint) int { return cmp.Compare(a.Minute, b.Minute) })
	return result
}
