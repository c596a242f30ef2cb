package requestlog

import (
	"math"
	"sync/atomic"
	"time"
)

// ID identifies a request. It has 42 bits for the milliseconds since 1970, then 10 bits for the process and 11 bits for
// a count. So ids sort by time, a row needs no column for its time, and two processes do not make the same id. The text
// form is "req_" and 13 characters of Crockford's base 32, and sorts in the same order.
type ID int64

const (
	idCountBits   = 11
	idProcessBits = 10
	idTimeShift   = idCountBits + idProcessBits
	idPrefix      = "req_"
	idDigits      = 13
	crockford     = "0123456789abcdefghjkmnpqrstvwxyz"
)

// FirstIDAt returns the smallest id that a request at t or later can have: the bound of a time range.
func FirstIDAt(t time.Time) ID {
	return ID(max(0, t.UnixMilli()) << idTimeShift)
}

// EndOfIDs is larger than every id: the open end of a range.
const EndOfIDs ID = math.MaxInt64

// FirstIDOfMinute returns the smallest id that a request of the minute, counted since 1970, can have.
func FirstIDOfMinute(minute int64) ID { return ID(minute * 60_000 << idTimeShift) }

// Minute returns the minute in which the request came, counted since 1970.
func (id ID) Minute() int64 { return int64(id) >> idTimeShift / 60_000 }

// Time returns when the request came, in UTC, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(id) >> idTimeShift).UTC()
}

// String returns the text form.
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

// ParseID parses the text form. ok is false for anything else.
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

// IDs makes the ids of one process. It is safe for use by many goroutines and takes no lock.
type IDs struct {
	now     func() time.Time
	process int64
	last    atomic.Int64 // milliseconds and count of the newest id: the id without the bits of the process
}

// NewIDs returns a source of ids for the process with that number (0 to 1023). All ids are larger than newest. now
// returns the time.
func NewIDs(now func() time.Time, process int64, newest ID) *IDs {
	ids := &IDs{now: now, process: process}
	if newest > 0 {
		ids.last.Store((int64(newest)>>idTimeShift + 1) << idCountBits)
	}
	return ids
}

// Next returns a new id. Its time is now, or that of the last id if that is later.
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

// Ahead returns how far the newest id is ahead of the clock. It is more than a moment if the clock was set back.
func (r *IDs) Ahead() time.Duration {
	last := time.UnixMilli(r.last.Load() >> idCountBits)
	return max(0, last.Sub(r.now()))
}
