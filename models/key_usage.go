package models

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// UsagePoint counts the admitted requests of a key that came in a stretch of time.
type UsagePoint struct {
	Minute   int64 // since 1970: where the stretch starts
	Requests int64
}

// KeyUsage is what a key has used up so far: what the gate's meters start from.
type KeyUsage struct {
	Total int64 // admitted requests ever
	// Points are those of the last [UsageDays], oldest first: by minute for a day, by 6 minutes for a week, and by 30 beyond.
	Points []UsagePoint
}

// UsageDays is how far back [KeyUsage.Points] reach: the longest window of a quota. The stretch that it begins in is whole.
const UsageDays = 30

// KeyUsage reads what a key has used. Every request that was stored before the call is in it.
func (s *Store) KeyUsage(ctx context.Context, keyID int64) (KeyUsage, error) {
	return s.requests.keyUsage(ctx, keyID, s.Now().Unix()/60)
}

// Counts by key are kept by the minute for a day, so that a day's window is exact to 1/1440 of its length; the windows of 7
// and 30 days need but slots of 6 and 30 minutes.
const (
	minutesADay  = 24 * 60
	slotOfWeek   = 6
	slotOfMonth  = 30
	countedAfter = (UsageDays + 1) * minutesADay // how old a count must be to be part of the total alone
)

// slotOf is the start of the slot that a count of that minute belongs to by now. Total is true where it is too old for one.
func slotOf(minute, now int64) (slot int64, total bool) {
	switch age := now - minute; {
	case age >= countedAfter:
		return 0, true
	case age >= 7*minutesADay+slotOfMonth:
		return minute - minute%slotOfMonth, false
	case age >= minutesADay+slotOfWeek:
		return minute - minute%slotOfWeek, false
	}
	return minute, false
}

// wholeSlots is the first minute after since at which slots of every length begin.
func wholeSlots(since time.Time) int64 {
	return (since.Unix()/60 + slotOfMonth) / slotOfMonth * slotOfMonth
}

// usageSum adds counts of admitted requests up to a [KeyUsage].
type usageSum struct {
	now    int64 // minute
	total  int64
	bySlot map[int64]int64
}

func (u *usageSum) add(minute, requests int64) {
	u.total += requests
	slot, tooOld := slotOf(minute, u.now)
	if tooOld || slot+slotOfMonth <= u.now-UsageDays*minutesADay {
		return
	}
	if u.bySlot == nil {
		u.bySlot = map[int64]int64{}
	}
	u.bySlot[slot] += requests
}

func (u *usageSum) usage() KeyUsage {
	result := KeyUsage{Total: u.total}
	for slot, n := range u.bySlot {
		result.Points = append(result.Points, UsagePoint{slot, n})
	}
	slices.SortFunc(result.Points, func(a, b UsagePoint) int { return cmp.Compare(a.Minute, b.Minute) })
	return result
}
