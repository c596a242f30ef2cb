package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// point counts the admitted requests of one slot.
type point struct {
	minute uint32 // since 1970, in which the slot begins
	n      uint32
}

// series counts the admitted requests of a key in the windows of its quotas. Requests of the last day stand in slots of
// a minute; as they leave a window they are folded into the larger slots of the next one, so that the busiest key has
// about 4,000 points and a quiet one as many as it had requests.
type series struct {
	total  int64 // ever
	sum    [len(models.QuotaWindows)]int64
	minute uint32  // at which sum and points are right
	points []point // oldest first
}

const windowCount = len(models.QuotaWindows)

// windowMinutes and slotMinutes are those of [models.QuotaWindows].
var windowMinutes, slotMinutes = func() (length, slot [windowCount]uint32) {
	for i, w := range models.QuotaWindows {
		length[i], slot[i] = uint32(w.Length/time.Minute), uint32(w.Slot/time.Minute)
	}
	return length, slot
}()

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// leaves is the minute at whose beginning the requests of the point's slot are out of the window w.
func leaves(minute uint32, w int) uint32 {
	slot := slotMinutes[w]
	return minute - minute%slot + slot + windowMinutes[w]
}

// newSeries starts with what was admitted before, as of now.
func newSeries(used models.KeyUsage, now uint32) series {
	s := series{total: used.Total, points: make([]point, 0, len(used.Points))}
	for _, p := range used.Points {
		s.points = append(s.points, point{uint32(p.Minute), uint32(p.Requests)})
		s.minute = max(s.minute, uint32(p.Minute))
	}
	s.fold(max(now, s.minute))
	return s
}

// advance brings the series to the minute now. Where the clock was set back it stays: nothing is freed twice.
func (s *series) advance(now uint32) {
	if now > s.minute {
		s.fold(now)
	}
}

// fold drops what has left every window, and folds what has left one. It goes through all points, once a minute at most.
func (s *series) fold(now uint32) {
	s.minute, s.sum = now, [windowCount]int64{}
	kept := s.points[:0]
	for _, p := range s.points {
		finest := -1
		for w := windowCount - 1; w >= 0 && leaves(p.minute, w) > now; w-- {
			s.sum[w] += int64(p.n)
			finest = w
		}
		if finest < 0 {
			continue
		}
		p.minute -= p.minute % slotMinutes[finest]
		if last := len(kept) - 1; last >= 0 && kept[last].minute == p.minute {
			kept[last].n += p.n
		} else {
			kept = append(kept, p)
		}
	}
	s.points = kept
}

// add counts one request in the minute that the series is at.
func (s *series) add() {
	s.total++
	for w := range s.sum {
		s.sum[w]++
	}
	if last := len(s.points) - 1; last >= 0 && s.points[last].minute == s.minute {
		s.points[last].n++
		return
	}
	if len(s.points) == cap(s.points) { // there may be a million series: grow by little
		grown := make([]point, len(s.points), len(s.points)+len(s.points)/4+2)
		copy(grown, s.points)
		s.points = grown
	}
	s.points = append(s.points, point{s.minute, 1})
}

// used is how much of the quota is used up.
func (s *series) used(q models.Quota) int64 {
	if q == models.QuotaTotal {
		return s.total
	}
	return s.sum[q]
}

// frees is the moment at which less than limit is used of the quota, provided that nothing is added; the zero time where
// that is never. It is for quotas that are used up.
func (s *series) frees(q models.Quota, limit int64) time.Time {
	if q == models.QuotaTotal {
		return time.Time{}
	}
	left := s.sum[q]
	for _, p := range s.points {
		end := leaves(p.minute, int(q))
		if end <= s.minute {
			continue
		}
		if left -= int64(p.n); left < limit {
			return time.Unix(int64(end)*60, 0).UTC()
		}
	}
	return time.Time{}
}
