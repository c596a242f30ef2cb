package models

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Rows in bytes: by columns, because a column's values resemble each other and a reader needs but a few columns to know
// which rows it wants. A number is a varint: the difference to the row before (ids), the value itself (keys, durations), or a
// value with how often it repeats (what seldom changes). Texts are numbers into a list of the different ones.
//
//	version, number of rows, then each column: its length in bytes, its bytes

const (
	codecVersion = 1
	// maxCodecRows bounds what damaged input can make a reader allocate.
	maxCodecRows = 1 << 20
)

var errDamagedRows = errors.New("stored request rows are damaged")

// The columns, in the order in which they are stored. A list of texts stands before its numbers.
const (
	colID = iota
	colProject
	colKey
	colVersion
	colStatus
	colDuration
	colCredits
	colCategories
	colCategory
	colMethods
	colMethod
	colCodes
	colCode
	colPaths
	colPath
	colIPs
	colIP
	colSessions
	colSession
	columnCount
)

// AppendRequestLogs appends rows in bytes to dst, in their order. [DecodeRequestLogs] reads exactly one such piece.
// There may be at most about a million rows.
func AppendRequestLogs(dst []byte, rows []RequestLog) []byte {
	e := encoders.Get().(*rowEncoder)
	defer encoders.Put(e)
	return e.append(dst, rows)
}

// rowEncoder keeps its memory from one call to the next.
type rowEncoder struct {
	column                                                 []byte
	categories, methods, codes, paths, addresses, sessions textList
}

var encoders = sync.Pool{New: func() any { return new(rowEncoder) }}

func (e *rowEncoder) append(dst []byte, rows []RequestLog) []byte {
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
	e.column = appendRepeated(e.column, rows, func(r *RequestLog) int64 { return r.ProjectID })
	finish()
	for i := range rows {
		e.column = binary.AppendVarint(e.column, rows[i].KeyID)
	}
	finish()
	e.column = appendRepeated(e.column, rows, func(r *RequestLog) int64 { return int64(r.Version) })
	finish()
	e.column = appendRepeated(e.column, rows, func(r *RequestLog) int64 { return int64(r.Status) })
	finish()
	for i := range rows {
		e.column = binary.AppendVarint(e.column, rows[i].DurationUs)
	}
	finish()
	e.column = appendRepeated(e.column, rows, func(r *RequestLog) int64 { return r.Credits })
	finish()
	e.texts(rows, &e.categories, finish, func(r *RequestLog) string { return r.Category })
	e.texts(rows, &e.methods, finish, func(r *RequestLog) string { return r.Method })
	e.texts(rows, &e.codes, finish, func(r *RequestLog) string { return string(r.Code) })
	e.texts(rows, &e.paths, finish, func(r *RequestLog) string { return r.Path })
	e.texts(rows, &e.addresses, finish, func(r *RequestLog) string { return r.IP })
	e.texts(rows, &e.sessions, finish, func(r *RequestLog) string { return string(r.SessionHash) })
	return dst
}

// appendRepeated writes values as pairs: how often, and what.
func appendRepeated(column []byte, rows []RequestLog, value func(*RequestLog) int64) []byte {
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

// texts writes the list of different texts, then which one each row has, as pairs.
func (e *rowEncoder) texts(rows []RequestLog, list *textList, finish func(), text func(*RequestLog) string) {
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

// textList numbers different texts in the order in which they come.
type textList struct {
	texts   []string
	byText  map[string]uint32
	numbers []uint32 // of each row
	last    uint32   // what came last comes again, often
}

// fewTexts are found quicker by looking at each.
const fewTexts = 8

func (l *textList) reset() {
	if l.byText == nil || len(l.byText) > 4096 {
		l.byText = map[string]uint32{}
	}
	clear(l.byText)
	clear(l.texts) // texts of callers are not held
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

// DecodeRequestLogs reads what [AppendRequestLogs] wrote. Anything else is an error.
func DecodeRequestLogs(data []byte) ([]RequestLog, error) {
	columns, err := readColumns(data)
	if err != nil {
		return nil, err
	}
	ids, err := columns.ids()
	if err != nil {
		return nil, err
	}
	all := make([]int, columns.count)
	for i := range all {
		all[i] = i
	}
	return columns.rows(ids, all)
}

// rowColumns are rows in bytes, of which a reader decodes what it needs.
type rowColumns struct {
	count   int
	columns [columnCount][]byte
}

func readColumns(data []byte) (*rowColumns, error) {
	if len(data) == 0 || data[0] != codecVersion {
		return nil, fmt.Errorf("%w: unknown version", errDamagedRows)
	}
	data = data[1:]
	count, n := binary.Uvarint(data)
	if n <= 0 || count > maxCodecRows {
		return nil, errDamagedRows
	}
	data = data[n:]
	c := &rowColumns{count: int(count)}
	for i := range c.columns {
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, errDamagedRows
		}
		c.columns[i], data = data[n:n+int(size)], data[n+int(size):]
	}
	if len(data) > 0 || len(c.columns[colID]) < c.count {
		return nil, errDamagedRows
	}
	return c, nil
}

// ids decodes the ids of all rows.
func (c *rowColumns) ids() ([]RequestID, error) {
	ids, at, id := make([]RequestID, c.count), plainColumn{c.columns[colID]}, int64(0)
	for i := range ids {
		difference, err := at.next()
		if err != nil {
			return nil, err
		}
		id += difference
		ids[i] = RequestID(id)
	}
	return ids, nil
}

// keys decodes the key ids of all rows.
func (c *rowColumns) keys() ([]int64, error) {
	keys, at := make([]int64, c.count), plainColumn{c.columns[colKey]}
	var err error
	for i := range keys {
		if keys[i], err = at.next(); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// texts decodes a list of texts.
func (c *rowColumns) texts(column int) ([]string, error) {
	data := c.columns[column]
	list, all, at := make([]string, 0, len(data)/8), string(data), textColumn{data} // one copy, of which each text is a part
	for len(at.rest) > 0 {
		text, err := at.next()
		if err != nil {
			return nil, err
		}
		end := len(data) - len(at.rest)
		list = append(list, all[end-len(text):end])
	}
	return list, nil
}

// text decodes one text of a list.
func (c *rowColumns) text(column int, number int64) (text string, err error) {
	at := textColumn{c.columns[column]}
	for i := int64(0); ; i++ {
		part, err := at.next()
		if err != nil || i == number {
			return string(part), err
		}
	}
}

// rows decodes the rows at positions, which must be in rising order. ids are those of all rows.
func (c *rowColumns) rows(ids []RequestID, positions []int) ([]RequestLog, error) {
	rows := make([]RequestLog, len(positions))
	for i, p := range positions {
		rows[i].ID = ids[p]
	}
	d := rowDecoder{c, rows, positions, nil}
	d.repeated(colProject, func(r *RequestLog, v int64) { r.ProjectID = v })
	d.plain(colKey, func(r *RequestLog, v int64) { r.KeyID = v })
	d.repeated(colVersion, func(r *RequestLog, v int64) { r.Version = int(v) })
	d.repeated(colStatus, func(r *RequestLog, v int64) { r.Status = int(v) })
	d.plain(colDuration, func(r *RequestLog, v int64) { r.DurationUs = v })
	d.repeated(colCredits, func(r *RequestLog, v int64) { r.Credits = v })
	d.text(colCategories, colCategory, func(r *RequestLog, t string) { r.Category = t })
	d.text(colMethods, colMethod, func(r *RequestLog, t string) { r.Method = t })
	d.text(colCodes, colCode, func(r *RequestLog, t string) { r.Code = Code(t) })
	d.text(colPaths, colPath, func(r *RequestLog, t string) { r.Path = t })
	d.text(colIPs, colIP, func(r *RequestLog, t string) { r.IP = t })
	d.text(colSessions, colSession, func(r *RequestLog, t string) {
		if t != "" {
			r.SessionHash = []byte(t)
		}
	})
	if d.err != nil {
		return nil, d.err
	}
	return rows, nil
}

// rowDecoder fills rows column by column; after an error it does nothing.
type rowDecoder struct {
	*rowColumns
	into      []RequestLog
	positions []int
	err       error
}

func (d *rowDecoder) plain(column int, set func(*RequestLog, int64)) {
	at, next := plainColumn{d.columns[column]}, 0
	for i, p := range d.positions {
		if d.err == nil {
			d.err = at.skip(p - next)
		}
		if d.err != nil {
			return
		}
		var v int64
		if v, d.err = at.next(); d.err != nil {
			return
		}
		set(&d.into[i], v)
		next = p + 1
	}
}

func (d *rowDecoder) repeated(column int, set func(*RequestLog, int64)) {
	if d.err != nil {
		return
	}
	at := repeatedColumn{rest: d.columns[column]}
	for i, p := range d.positions {
		var v int64
		if v, d.err = at.at(p); d.err != nil {
			return
		}
		if set(&d.into[i], v); d.err != nil {
			return
		}
	}
}

func (d *rowDecoder) text(list, column int, set func(*RequestLog, string)) {
	if d.err != nil {
		return
	}
	if len(d.positions) < fewTexts {
		d.repeated(column, func(r *RequestLog, v int64) {
			var t string
			if t, d.err = d.rowColumns.text(list, v); d.err == nil {
				set(r, t)
			}
		})
		return
	}
	var texts []string
	if texts, d.err = d.texts(list); d.err != nil {
		return
	}
	d.repeated(column, func(r *RequestLog, v int64) {
		if v < 0 || v >= int64(len(texts)) {
			d.err = errDamagedRows
			return
		}
		set(r, texts[v])
	})
}

// plainColumn reads one number after the other.
type plainColumn struct{ rest []byte }

func (c *plainColumn) next() (int64, error) {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		return 0, errDamagedRows
	}
	c.rest = c.rest[n:]
	return v, nil
}

func (c *plainColumn) skip(numbers int) error {
	i := 0
	for ; numbers > 0 && i < len(c.rest); i++ {
		if c.rest[i] < 0x80 { // the last byte of a number
			numbers--
		}
	}
	c.rest = c.rest[i:]
	if numbers > 0 {
		return errDamagedRows
	}
	return nil
}

// textColumn reads one text after the other.
type textColumn struct{ rest []byte }

func (c *textColumn) next() ([]byte, error) {
	size, n := binary.Uvarint(c.rest)
	if n <= 0 || size > uint64(len(c.rest)-n) {
		return nil, errDamagedRows
	}
	text := c.rest[n : n+int(size)]
	c.rest = c.rest[n+int(size):]
	return text, nil
}

// repeatedColumn reads numbers that are stored with how often they repeat.
type repeatedColumn struct {
	rest  []byte
	value int64
	end   int // first position after the present value's
}

// at gives the number at a position, which is not before that of the last call.
func (c *repeatedColumn) at(position int) (int64, error) {
	for position >= c.end {
		times, n := binary.Uvarint(c.rest)
		if n <= 0 || times == 0 || times > math.MaxInt32 || c.end > maxCodecRows {
			return 0, errDamagedRows
		}
		value, m := binary.Varint(c.rest[n:])
		if m <= 0 {
			return 0, errDamagedRows
		}
		c.value, c.end, c.rest = value, c.end+int(times), c.rest[n+m:]
	}
	return c.value, nil
}
