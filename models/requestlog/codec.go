package requestlog

import (
	"encoding/binary"
	"errors"
	"sync"
)

// Rows are encoded column by column, because the values of a column resemble each other, and because a reader needs
// only a few columns to find the rows that it wants. The format is:
//
//	version, number of rows, then for each column: its length in bytes, its bytes
//
// Numbers are varints. A column of numbers has the differences to the row before (ids), the values (keys, durations),
// or pairs of a count and a value that repeats that often (columns that seldom change). A column of texts is stored as
// two columns: the list of different texts, and for each row the position of its text in that list.

const (
	codecVersion = 2
	// maxCodecRows limits how much memory a reader allocates for damaged input.
	maxCodecRows = 1 << 20
)

// ErrDamaged is returned for bytes that [AppendRows] did not write.
var ErrDamaged = errors.New("the stored rows of requests are damaged")

// Column is one column of encoded rows.
type Column int

// The columns, in the order in which they are stored. A list of texts (plural) comes before the positions in it.
const (
	ColumnID Column = iota
	ColumnProject
	ColumnKey
	ColumnVersion
	ColumnStatus
	ColumnDuration
	ColumnCredits
	ColumnCategories
	ColumnCategory
	ColumnMethods
	ColumnMethod
	ColumnCodes
	ColumnCode
	ColumnPaths
	ColumnPath
	ColumnIPs
	ColumnIP
	ColumnSessions
	ColumnSession
	ColumnTypes
	ColumnType
	ColumnTTFB // 0 if it is not known, otherwise the value plus 1
	columnCount
)

// AppendRows encodes rows, of which there may be at most 1,048,576, and appends the bytes to dst. [DecodeRows] reads
// the bytes of exactly one call.
func AppendRows(dst []byte, rows []Row) []byte {
	e := encoders.Get().(*rowEncoder)
	defer encoders.Put(e)
	return e.append(dst, rows)
}

// rowEncoder has the buffers of AppendRows, which are reused.
type rowEncoder struct {
	column                                                        []byte
	categories, methods, codes, paths, addresses, sessions, types textList
}

var encoders = sync.Pool{New: func() any { return new(rowEncoder) }}

func (e *rowEncoder) append(dst []byte, rows []Row) []byte {
	dst = append(dst, codecVersion)
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	finish := func() {
		dst = binary.AppendUvarint(dst, uint64(len(e.column)))
		dst = append(dst, e.column...)
		e.column = e.column[:0]
	}
	before := int64(0)
	for i := range rows {
		e.column = binary.AppendVarint(e.column, int64(rows[i].ID)-before)
		before = int64(rows[i].ID)
	}
	finish()
	e.column = appendRepeated(e.column, rows, func(r *Row) int64 { return r.ProjectID })
	finish()
	for i := range rows {
		e.column = binary.AppendVarint(e.column, rows[i].KeyID)
	}
	finish()
	e.column = appendRepeated(e.column, rows, func(r *Row) int64 { return int64(r.Version) })
	finish()
	e.column = appendRepeated(e.column, rows, func(r *Row) int64 { return int64(r.Status) })
	finish()
	for i := range rows {
		e.column = binary.AppendVarint(e.column, rows[i].DurationUs)
	}
	finish()
	e.column = appendRepeated(e.column, rows, func(r *Row) int64 { return r.Credits })
	finish()
	e.texts(rows, &e.categories, finish, func(r *Row) string { return r.Category })
	e.texts(rows, &e.methods, finish, func(r *Row) string { return r.Method })
	e.texts(rows, &e.codes, finish, func(r *Row) string { return string(r.Code) })
	e.texts(rows, &e.paths, finish, func(r *Row) string { return r.Path })
	e.texts(rows, &e.addresses, finish, func(r *Row) string { return r.IP })
	e.texts(rows, &e.sessions, finish, func(r *Row) string { return string(r.SessionHash) })
	e.texts(rows, &e.types, finish, func(r *Row) string { return r.Type })
	e.column = appendRepeated(e.column, rows, func(r *Row) int64 {
		if !r.TTFBUs.Valid {
			return 0
		}
		return r.TTFBUs.Int64 + 1
	})
	finish()
	return dst
}

// appendRepeated appends pairs of a count and the value that repeats that often.
func appendRepeated(column []byte, rows []Row, value func(*Row) int64) []byte {
	for i := 0; i < len(rows); {
		v, n := value(&rows[i]), 1
		for i+n < len(rows) && value(&rows[i+n]) == v {
			n++
		}
		column = binary.AppendUvarint(column, uint64(n))
		column = binary.AppendVarint(column, v)
		i += n
	}
	return column
}

// texts writes two columns: the list of different texts, and each row's position in it, as pairs of a count and a
// position.
func (e *rowEncoder) texts(rows []Row, list *textList, finish func(), text func(*Row) string) {
	list.reset()
	for i := range rows {
		list.numbers = append(list.numbers, list.number(text(&rows[i])))
	}
	for _, t := range list.texts {
		e.column = binary.AppendUvarint(e.column, uint64(len(t)))
		e.column = append(e.column, t...)
	}
	finish()
	for i := 0; i < len(list.numbers); {
		n := 1
		for i+n < len(list.numbers) && list.numbers[i+n] == list.numbers[i] {
			n++
		}
		e.column = binary.AppendUvarint(e.column, uint64(n))
		e.column = binary.AppendVarint(e.column, int64(list.numbers[i]))
		i += n
	}
	finish()
}

// textList numbers different texts in the order in which they occur.
type textList struct {
	texts   []string
	byText  map[string]uint32
	numbers []uint32 // of each row
	last    uint32   // the number returned last, which is often the next one, too
}

// fewTexts is the number of texts up to which comparing with each is quicker than the map.
const fewTexts = 8

func (l *textList) reset() {
	if l.byText == nil || len(l.byText) > 4096 {
		l.byText = map[string]uint32{}
	}
	clear(l.byText)
	clear(l.texts) // so that the garbage collector can free texts beyond the end of the next list
	l.texts, l.numbers, l.last = l.texts[:0], l.numbers[:0], 0
}

func (l *textList) number(text string) uint32 {
	if len(l.texts) > 0 && l.texts[l.last] == text {
		return l.last
	}
	if len(l.texts) <= fewTexts {
		for i, t := range l.texts {
			if t == text {
				l.last = uint32(i)
				return l.last
			}
		}
	} else if n, known := l.byText[text]; known {
		l.last = n
		return n
	}
	l.last = uint32(len(l.texts))
	l.texts = append(l.texts, text)
	l.byText[text] = l.last
	return l.last
}
