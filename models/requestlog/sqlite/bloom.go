package sqlite

import (
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/claviger/claviger/models/requestlog"
)

// A Bloom filter says for a value either that no row of a group has it, or that some row may have it. It has 10 bits
// for each value, which gives about 1% false positives. It is cut into shards. A value belongs to one of them, so
// looking for it reads one shard.
const (
	shardBytes     = 512
	bloomHashes    = 7
	valuesPerShard = shardBytes * 8 / 10
)

// value is the hash of a value of a column.
type value uint64

// The columns whose values are in Bloom filters.
const (
	valueCode     = 'c'
	valueCategory = 'g'
	valueType     = 't'
	valueStatus   = 's' // the status class
	valuePath     = 'p'
	valueIP       = 'i'
)

func valueOf(column byte, text string) value {
	var buffer [1 + requestlog.MaxPath]byte
	return value(xxhash.Sum64(append(append(buffer[:0], column), text...)))
}

func valueOfStatus(status int) value { return valueOf(valueStatus, strconv.Itoa(status/100)) }

// valuesOf returns the values of a row.
func valuesOf(r *requestlog.Row) map[value]struct{} {
	return map[value]struct{}{
		valueOf(valueCode, string(r.Code)): {},
		valueOf(valueCategory, r.Category): {},
		valueOf(valueType, r.Type):         {},
		valueOfStatus(r.Status):            {},
		valueOf(valuePath, r.Path):         {},
		valueOf(valueIP, r.IP):             {},
	}
}

// valuesAsked returns the values that a row must have to match the query.
func valuesAsked(q *requestlog.Query) []value {
	var values []value
	add := func(column byte, text string) {
		if text != "" {
			values = append(values, valueOf(column, text))
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

// shard returns the number of the value's shard among n.
func (v value) shard(n int64) int64 { return v.place() % n }

// place returns the number whose remainder is the value's shard. It uses the upper bits of the hash, on which the bits
// within the shard hardly depend. Otherwise the values of one shard would have similar bits.
func (v value) place() int64 { return int64(v >> 44) }

// addTo sets the bits of the value in its shard, and reports whether one was not set before.
func (v value) addTo(shard []byte) (changed bool) {
	for i := range uint32(bloomHashes) {
		at, bit := v.bit(i)
		changed = changed || shard[at]&bit == 0
		shard[at] |= bit
	}
	return changed
}

// mayBeIn reports whether the value may be in its shard. It reports true if the shard is damaged.
func (v value) mayBeIn(shard []byte) bool {
	if len(shard) != shardBytes {
		return true
	}
	for i := range uint32(bloomHashes) {
		if at, bit := v.bit(i); shard[at]&bit == 0 {
			return false
		}
	}
	return true
}

// bit returns the place of the value's bit number i in a shard: the index of the byte, and the bit in it. It is double
// hashing with the two halves of the hash (Kirsch and Mitzenmacher, 2006).
func (v value) bit(i uint32) (at int, bit byte) {
	n := (uint32(v) + i*(uint32(v>>32)|1)) % (shardBytes * 8)
	return int(n / 8), 1 << (n % 8)
}

// newBloom returns the shards of a filter with the values.
func newBloom(values map[value]struct{}) [][]byte {
	n := max(1, int64(math.Ceil(float64(len(values))/valuesPerShard)))
	shards := make([][]byte, n)
	for i := range shards {
		shards[i] = make([]byte, shardBytes)
	}
	for v := range values {
		v.addTo(shards[v.shard(n)])
	}
	return shards
}
