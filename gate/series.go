package gate

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// point is the number of admitted requests in one slot.
type point struct {
	minute uint32 // minutes from 1970 to the slot's beginning
	n      uint32
}

// series counts the admitted requests of a key in the windows of its quotas. Requests of the last day are in slots of a
// minute. When they leave a window, they are folded into the larger slots of the next one. So the busiest key has about
// 4,000 points, and a quiet one has at most as many as requests.
type series struct {
	sum    [windowCount]int64
	minute uint32  // the minute for which sum and points are right
	points []point // oldest first
}

const windowCount = len(models.QuotaWindows)

// windowMinutes and slotMinutes are the lengths in [models.QuotaWindows], in minutes.
var windowMinutes, slotMinutes = func() (length, slot [windowCount]uint32) {
	for i, w := range models.QuotaWindows {
		length[i], slot[i] = uint32(w.Length/time.Minute), uint32(w.Slot/time.Minute)
	}
	return length, slot
}()

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// leaves returns the minute at whose beginning the requests of a slot have left the window w. The slot of w that
// contains minute counts as a whole.
func leaves(minute uint32, w int) uint32 {
	slot := slotMinutes[w]
	return minute - minute%slot + slot + windowMinutes[w]
}

// load replaces the points with those of a key's usage.
func (s *series) load(used requestlog.KeyUsage) {
	s.points = s.points[:0]
	for _, p := range used.Points {
		s.points = append(s.points, point{uint32(p.Minute), uint32(p.Requests)})
	}
}

// fold brings the series to the minute now: it drops the points that have left every window, and merges those that
// have left one into larger slots. A point later than now, from a time when the clock was ahead, counts as of now, so
// that it makes no other point leave too early.
func (s *series) fold(now uint32) {
	s.minute, s.sum = now, [windowCount]int64{}
	kept := s.points[:0]
	for _, p := range s.points {
		p.minute = min(p.minute, now)
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

// frees returns the minute at whose beginning less than limit is used in the window w, provided that no request is
// added. At least limit must be used.
func (s *series) frees(w int, limit int64) uint32 {
	left := s.sum[w]
	for _, p := range s.points {
		end := leaves(p.minute, w)
		if end <= s.minute {
			continue
		}
		if left -= int64(p.n); left < limit {
			return end
		}
	}
	return s.minute
}

// pack appends the points to to: of each the distance in minutes from the one before it, and its count, as varints.
func (s *series) pack(to []byte) []byte {
	previous := uint32(0)
	for _, p := range s.points {
		to = binary.AppendUvarint(to, uint64(p.minute-previous))
		to = binary.AppendUvarint(to, uint64(p.n))
		previous = p.minute
	}
	return to
}

// unpack appends the points that pack wrote.
func (s *series) unpack(from []byte) {
	previous := uint32(0)
	for len(from) > 0 {
		distance, n := binary.Uvarint(from)
		count, more := binary.Uvarint(from[n:])
		from = from[n+more:]
		previous += uint32(distance)
		s.points = append(s.points, point{previous, uint32(count)})
	}
}

// unpacked is a pool of series, so that reading a meter's points allocates nothing.
var unpacked = sync.Pool{New: func() any { return new(series) }}
