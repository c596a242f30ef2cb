package requestlog

import (
	"math"
	"sync/atomic"
	"time"
)

// ID names one request. Its upper 42 bits are the milliseconds since 1970, then come 10 bits for the process
// and an 11-bit count, so that ids sort by time, a row's id is its time, and processes never make the same one.
// In text it is "req_" and 13 characters of Crockford's base 32, which sort the same way.
type ID int64

const (
	idCountBits   = 11
	idProcessBits = 10
	idTimeShift   = idCountBits + idProcessBits
	idPrefix      = "req_"
	idDigits      = 13
	crockford     = "0123456789abcdefghjkmnpqrstvwxyz"
)

// FirstIDAt is the smallest id a request at t or later can have: the bound of a time range.
func FirstIDAt(t time.Time) ID {
	return ID(max(0, t.UnixMilli()) << idTimeShift)
}

// EndOfIDs is larger than every id: the open end of a range.
const EndOfIDs ID = math.MaxInt64

// FirstIDOfMinute is the smallest id that a request of the minute, counted since 1970, can have.
func FirstIDOfMinute(minute int64) ID { return ID(minute * 60_000 << idTimeShift) }

// Minute is the minute in which the request came, counted since 1970.
func (id ID) Minute() int64 { return int64(id) >> idTimeShift / 60_000 }

// Time is when the request came, in UTC, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(id) >> idTimeShift).UTC()
}

func (id ID) String() string {
	var text [len(idPrefix) + idDigits]byte
	return string(id.AppendTo(text[:0]))
}

// AppendTo appends the text form.
func (id ID) AppendTo(text []byte) []byte {
	text = append(text, idPrefix...)
	for shift := 5 * (idDigits - 1); shift >= 0; shift -= 5 {
		text = append(text, crockford[id>>shift&31])
	}
	return text
}

// ParseID reads the text form; ok is false for anything else.
func ParseID(text string) (id ID, ok bool) {
	if len(text) != len(idPrefix)+idDigits || text[:len(idPrefix)] != idPrefix {
		return 0, false
	}
	for i := len(idPrefix); i < len(text); i++ {
		digit := crockfordValue(text[i])
		if digit < 0 || id > (1<<63-1)>>5 {
			return 0, false
		}
		id = id<<5 | ID(digit)
	}
	return id, true
}

func crockfordValue(c byte) int {
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}

// IDs makes the ids of one process. It takes no lock.
type IDs struct {
	now     func() time.Time
	process int64
	last    atomic.Int64 // milliseconds and count of the newest id, without the process
}

// NewIDs makes the ids of the process with the given number (0 to 1023), all of them larger than newest. now gives the
// time.
func NewIDs(now func() time.Time, process int64, newest ID) *IDs {
	ids := &IDs{now: now, process: process}
	if newest > 0 {
		ids.last.Store((int64(newest)>>idTimeShift + 1) << idCountBits)
	}
	return ids
}

// Next is a new id: the present, or just after the last one where that is later.
func (r *IDs) Next() ID {
	for {
		last := r.last.Load()
		next := max(last+1, r.now().UnixMilli()<<idCountBits)
		if r.last.CompareAndSwap(last, next) {
			millis, count := next>>idCountBits, next&(1<<idCountBits-1)
			return ID(millis<<idTimeShift | r.process<<idCountBits | count)
		}
	}
}

// Ahead is how far the next id is ahead of the clock: more than a moment where the clock was set back.
func (r *IDs) Ahead() time.Duration {
	last := time.UnixMilli(r.last.Load() >> idCountBits)
	return max(0, last.Sub(r.now()))
}
