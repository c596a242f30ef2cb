package models

import (
	"context"
	"sync/atomic"
	"time"
)

// RequestID names one request. Its upper 42 bits are the milliseconds since 1970, then come 10 bits for the process
// and an 11-bit count, so that ids sort by time, a row's id is its time, and processes never make the same one.
// In text it is "req_" and 13 characters of Crockford's base 32, which sort the same way.
type RequestID int64

const (
	requestIDCountBits   = 11
	requestIDProcessBits = 10
	requestIDTimeShift   = requestIDCountBits + requestIDProcessBits
	requestIDPrefix      = "req_"
	requestIDDigits      = 13
	crockford            = "0123456789abcdefghjkmnpqrstvwxyz"
)

// FirstRequestIDAt is the smallest id a request at t or later can have: the bound of a time range.
func FirstRequestIDAt(t time.Time) RequestID {
	return RequestID(max(0, t.UnixMilli()) << requestIDTimeShift)
}

// Time is when the request came, in UTC, to the millisecond.
func (id RequestID) Time() time.Time {
	return time.UnixMilli(int64(id) >> requestIDTimeShift).UTC()
}

func (id RequestID) String() string {
	var text [len(requestIDPrefix) + requestIDDigits]byte
	return string(id.AppendTo(text[:0]))
}

// AppendTo appends the text form.
func (id RequestID) AppendTo(text []byte) []byte {
	text = append(text, requestIDPrefix...)
	for shift := 5 * (requestIDDigits - 1); shift >= 0; shift -= 5 {
		text = append(text, crockford[id>>shift&31])
	}
	return text
}

// ParseRequestID reads the text form; ok is false for anything else.
func ParseRequestID(text string) (id RequestID, ok bool) {
	if len(text) != len(requestIDPrefix)+requestIDDigits || text[:len(requestIDPrefix)] != requestIDPrefix {
		return 0, false
	}
	for i := len(requestIDPrefix); i < len(text); i++ {
		digit := crockfordValue(text[i])
		if digit < 0 || id > (1<<63-1)>>5 {
			return 0, false
		}
		id = id<<5 | RequestID(digit)
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

// RequestIDs makes the ids of one process. It takes no lock.
type RequestIDs struct {
	now     func() time.Time
	process int64
	last    atomic.Int64 // milliseconds and count of the newest id, without the process
}

// NewRequestIDs claims a process number of the database and starts after every id that is already there, so that a
// clock that was set back makes no id twice.
func (s *Store) NewRequestIDs(ctx context.Context) (*RequestIDs, error) {
	ids := &RequestIDs{now: s.now}
	if s.dialect == "postgres" {
		return ids, s.write.WithContext(ctx).Raw("SELECT nextval('process_numbers')").Scan(&ids.process).Error
	}
	newest, err := s.requests.newestID(ctx)
	if err != nil {
		return nil, err
	}
	ids.last.Store(int64(newest) >> requestIDTimeShift << requestIDCountBits)
	ids.last.Add(1 << requestIDCountBits)
	return ids, nil
}

// Next is a new id: the present, or just after the last one where that is later.
func (r *RequestIDs) Next() RequestID {
	for {
		last := r.last.Load()
		next := max(last+1, r.now().UnixMilli()<<requestIDCountBits)
		if r.last.CompareAndSwap(last, next) {
			millis, count := next>>requestIDCountBits, next&(1<<requestIDCountBits-1)
			return RequestID(millis<<requestIDTimeShift | r.process<<requestIDCountBits | count)
		}
	}
}

// Ahead is how far the next id is ahead of the clock: more than a moment where the clock was set back.
func (r *RequestIDs) Ahead() time.Duration {
	last := time.UnixMilli(r.last.Load() >> requestIDCountBits)
	return max(0, last.Sub(r.now()))
}
