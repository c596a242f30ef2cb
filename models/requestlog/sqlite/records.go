package sqlite

import (
	"encoding/binary"
	"errors"

	"github.com/claviger/claviger/models/requestlog"
)

// Records are entries or counts. Each is encoded as varints: the differences of its key and time to those of the record
// before, then its other numbers.

// errDamaged is returned for bytes that a recordWriter did not write.
var errDamaged = errors.New("the stored index of requests by key is damaged")

type recordWriter struct {
	data    []byte
	key, at int64 // of the last record
}

func (w *recordWriter) add(key, at int64, numbers ...int64) {
	w.data = binary.AppendVarint(w.data, key-w.key)
	w.data = binary.AppendVarint(w.data, at-w.at)
	for _, n := range numbers {
		w.data = binary.AppendVarint(w.data, n)
	}
	w.key, w.at = key, at
}

func (w *recordWriter) entry(e entry) { w.add(e.key, int64(e.id), e.outcome, e.credits) }

func (w *recordWriter) count(c keyCount) {
	w.add(c.key, c.slot, c.outcome, c.requests, c.credits, int64(c.newest-requestlog.FirstIDOfMinute(c.slot)))
}

type recordReader struct {
	data    []byte
	key, at int64 // of the last record
	err     error
}

func (r *recordReader) number() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.data, r.err = nil, errDamaged
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *recordReader) more() bool { return len(r.data) > 0 }

func (r *recordReader) entry() entry {
	r.key += r.number()
	r.at += r.number()
	return entry{r.key, requestlog.ID(r.at), r.number(), r.number()}
}

func (r *recordReader) count() keyCount {
	r.key += r.number()
	r.at += r.number()
	return keyCount{
		r.key, r.at, r.number(), r.number(), r.number(), requestlog.FirstIDOfMinute(r.at) + requestlog.ID(r.number()),
	}
}

func encodeEntries(entries []entry) []byte {
	w := recordWriter{data: make([]byte, 0, 12*len(entries))}
	for _, e := range entries {
		w.entry(e)
	}
	return w.data
}

func decodeEntries(data []byte) ([]entry, error) {
	r, entries := recordReader{data: data}, make([]entry, 0, len(data)/8)
	for r.more() {
		entries = append(entries, r.entry())
	}
	return entries, r.err
}

func decodeCounts(data []byte) ([]keyCount, error) {
	r, counts := recordReader{data: data}, make([]keyCount, 0, len(data)/10)
	for r.more() {
		counts = append(counts, r.count())
	}
	return counts, r.err
}
