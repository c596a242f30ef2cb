package models

import (
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/claviger/claviger/models/requestlog"
)

// A filter tells of a value whether some row of a group may have it, or none has: a Bloom filter of 10 bits for each value, so
// that one in a hundred is a false alarm. It is cut into pieces, each with its share of the values.
const (
	filterPiece  = 512 // bytes
	filterHashes = 7
	valuesAPiece = filterPiece * 8 / 10
)

// rowValue is a value of a column, as a filter knows it.
type rowValue uint64

// The columns whose values are in filters.
const (
	valueCode     = 'c'
	valueCategory = 'g'
	valueType     = 't'
	valueStatus   = 's' // its class
	valuePath     = 'p'
	valueIP       = 'i'
)

func valueOf(column byte, value string) rowValue {
	var buffer [1 + requestlog.MaxPath]byte
	return rowValue(xxhash.Sum64(append(append(buffer[:0], column), value...)))
}

func valueOfStatus(status int) rowValue { return valueOf(valueStatus, strconv.Itoa(status/100)) }

// valuesOf are the values of a row.
func valuesOf(r *requestlog.Row) map[rowValue]struct{} {
	values := map[rowValue]struct{}{
		valueOf(valueCode, string(r.Code)): {}, valueOf(valueCategory, r.Category): {}, valueOf(valueType, r.Type): {},
		valueOfStatus(r.Status): {}, valueOf(valuePath, r.Path): {}, valueOf(valueIP, r.IP): {},
	}
	return values
}

// valuesAsked are those that each row asked for has.
func valuesAsked(q *requestlog.Query) []rowValue {
	var values []rowValue
	add := func(column byte, value string) {
		if value != "" {
			values = append(values, valueOf(column, value))
		}
	}
	add(valueCode, string(q.Code))
	add(valueCategory, q.Category)
	add(valueType, q.Type)
	add(valuePath, q.Path)
	add(valueIP, q.IP)
	if q.StatusClass != 0 {
		values = append(values, valueOfStatus(q.StatusClass*100))
	}
	return values
}

// place is what tells the piece of the value: the remainder of this by their number. The bits of the hash that are in it decide
// little of what is set in the piece, or values of a piece would resemble each other there.
func (v rowValue) place() int64 { return int64(v >> 44) }

// addTo sets the bits of the value in its piece, and tells whether one was not set before.
func (v rowValue) addTo(piece []byte) (changed bool) {
	for i := range uint32(filterHashes) {
		at, bit := v.bit(i)
		changed = changed || piece[at]&bit == 0
		piece[at] |= bit
	}
	return changed
}

// maybeIn tells whether the value may be in its piece.
func (v rowValue) maybeIn(piece []byte) bool {
	for i := range uint32(filterHashes) {
		if at, bit := v.bit(i); len(piece) != filterPiece || piece[at]&bit == 0 {
			return len(piece) != filterPiece // damaged: nothing is known
		}
	}
	return true
}

// bit is double hashing with halves of the hash (Kirsch and Mitzenmacher, 2006).
func (v rowValue) bit(i uint32) (at int, bit byte) {
	n := (uint32(v) + i*(uint32(v>>32)|1)) % (filterPiece * 8)
	return int(n / 8), 1 << (n % 8)
}

// newFilter has all the values, in pieces.
func newFilter(values map[rowValue]struct{}) [][]byte {
	n := max(1, int64(math.Ceil(float64(len(values))/valuesAPiece)))
	pieces := make([][]byte, n)
	for i := range pieces {
		pieces[i] = make([]byte, filterPiece)
	}
	for v := range values {
		v.addTo(pieces[v.place()%n])
	}
	return pieces
}
