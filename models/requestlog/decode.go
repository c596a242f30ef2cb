package requestlog

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
)

// DecodeRows decodes the bytes of one call of [AppendRows]. It returns [ErrDamaged] for anything else.
func DecodeRows(data []byte) ([]Row, error) {
	columns, err := ReadColumns(data)
	if err != nil {
		return nil, err
	}
	return columns.All()
}

// Columns are encoded rows whose columns can be decoded one by one. Its methods return [ErrDamaged] if a column cannot
// be decoded.
type Columns struct {
	count   int
	columns [columnCount][]byte
}

// ReadColumns splits the bytes of one call of [AppendRows] into columns, without decoding them. It keeps data. It
// returns [ErrDamaged] for bytes of another version or length.
func ReadColumns(data []byte) (*Columns, error) {
	if len(data) == 0 || data[0] != codecVersion {
		return nil, fmt.Errorf("%w: unknown version", ErrDamaged)
	}
	data = data[1:]
	count, n := binary.Uvarint(data)
	if n <= 0 || count > maxCodecRows {
		return nil, ErrDamaged
	}
	data = data[n:]
	c := &Columns{count: int(count)}
	for i := range c.columns {
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, ErrDamaged
		}
		c.columns[i], data = data[n:n+int(size)], data[n+int(size):]
	}
	if len(data) > 0 || len(c.columns[ColumnID]) < c.count {
		return nil, ErrDamaged
	}
	return c, nil
}

// HasText reports whether a column that is a list of texts has the text.
func (c *Columns) HasText(column Column, text string) (bool, error) {
	at := textColumn{c.columns[column]}
	for len(at.rest) > 0 {
		if t, err := at.next(); err != nil || string(t) == text {
			return err == nil, err
		}
	}
	return false, nil
}

// EachNumber calls fn for the values of a column that is stored as pairs of a count and a value: once for each pair.
func (c *Columns) EachNumber(column Column, fn func(value int64)) error {
	at := repeatedColumn{rest: c.columns[column]}
	for at.end < c.count {
		v, err := at.at(at.end)
		if err != nil {
			return err
		}
		fn(v)
	}
	return nil
}

// IDs decodes the ids of all rows.
func (c *Columns) IDs() ([]ID, error) {
	ids, at, id := make([]ID, c.count), plainColumn{c.columns[ColumnID]}, int64(0)
	for i := range ids {
		difference, err := at.next()
		if err != nil {
			return nil, err
		}
		id += difference
		ids[i] = ID(id)
	}
	return ids, nil
}

// Texts decodes a column that is a list of texts.
func (c *Columns) Texts(column Column) ([]string, error) {
	data := c.columns[column]
	all := string(data) // the only copy: each text is a part of it
	list, at := make([]string, 0, len(data)/8), textColumn{data}
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

// text decodes the text at a position of a list.
func (c *Columns) text(column Column, number int64) (text string, err error) {
	at := textColumn{c.columns[column]}
	for i := int64(0); ; i++ {
		part, err := at.next()
		if err != nil || i == number {
			return string(part), err
		}
	}
}

// All decodes all rows.
func (c *Columns) All() ([]Row, error) {
	ids, err := c.IDs()
	if err != nil {
		return nil, err
	}
	positions := make([]int, c.count)
	for i := range positions {
		positions[i] = i
	}
	return c.Rows(ids, positions)
}

// Rows decodes the rows at positions, which must be in ascending order. ids must have the ids of all rows: see
// [Columns.IDs].
func (c *Columns) Rows(ids []ID, positions []int) ([]Row, error) {
	rows := make([]Row, len(positions))
	for i, p := range positions {
		rows[i].ID = ids[p]
	}
	d := rowDecoder{c, rows, positions, nil}
	d.repeated(ColumnProject, func(r *Row, v int64) { r.ProjectID = v })
	d.plain(ColumnKey, func(r *Row, v int64) { r.KeyID = v })
	d.repeated(ColumnVersion, func(r *Row, v int64) { r.Version = int(v) })
	d.repeated(ColumnStatus, func(r *Row, v int64) { r.Status = int(v) })
	d.plain(ColumnDuration, func(r *Row, v int64) { r.DurationUs = v })
	d.repeated(ColumnCredits, func(r *Row, v int64) { r.Credits = v })
	d.text(ColumnCategories, ColumnCategory, func(r *Row, t string) { r.Category = t })
	d.text(ColumnMethods, ColumnMethod, func(r *Row, t string) { r.Method = t })
	d.text(ColumnCodes, ColumnCode, func(r *Row, t string) { r.Code = Code(t) })
	d.text(ColumnPaths, ColumnPath, func(r *Row, t string) { r.Path = t })
	d.text(ColumnIPs, ColumnIP, func(r *Row, t string) { r.IP = t })
	d.text(ColumnSessions, ColumnSession, func(r *Row, t string) {
		if t != "" {
			r.SessionHash = []byte(t)
		}
	})
	d.text(ColumnTypes, ColumnType, func(r *Row, t string) { r.Type = t })
	d.repeated(ColumnTTFB, func(r *Row, v int64) {
		if v > 0 {
			r.TTFBUs = sql.NullInt64{Int64: v - 1, Valid: true}
		}
	})
	if d.err != nil {
		return nil, d.err
	}
	return rows, nil
}

// rowDecoder fills rows column by column. After an error its methods do nothing.
type rowDecoder struct {
	*Columns
	into      []Row
	positions []int
	err       error
}

func (d *rowDecoder) plain(column Column, set func(*Row, int64)) {
	if d.err != nil {
		return
	}
	at, next := plainColumn{d.columns[column]}, 0
	for i, p := range d.positions {
		if d.err = at.skip(p - next); d.err != nil {
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

// repeated decodes a column of pairs of a count and a value. set may set d.err.
func (d *rowDecoder) repeated(column Column, set func(*Row, int64)) {
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

func (d *rowDecoder) text(list, column Column, set func(*Row, string)) {
	if d.err != nil {
		return
	}
	if len(d.positions) < fewTexts {
		d.repeated(column, func(r *Row, v int64) {
			var t string
			if t, d.err = d.Columns.text(list, v); d.err == nil {
				set(r, t)
			}
		})
		return
	}
	var texts []string
	if texts, d.err = d.Texts(list); d.err != nil {
		return
	}
	d.repeated(column, func(r *Row, v int64) {
		if v < 0 || v >= int64(len(texts)) {
			d.err = ErrDamaged
			return
		}
		set(r, texts[v])
	})
}

// plainColumn reads a column of numbers, one after the other.
type plainColumn struct{ rest []byte }

func (c *plainColumn) next() (int64, error) {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		return 0, ErrDamaged
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
		return ErrDamaged
	}
	return nil
}

// textColumn reads a list of texts, one after the other.
type textColumn struct{ rest []byte }

func (c *textColumn) next() ([]byte, error) {
	size, n := binary.Uvarint(c.rest)
	if n <= 0 || size > uint64(len(c.rest)-n) {
		return nil, ErrDamaged
	}
	text := c.rest[n : n+int(size)]
	c.rest = c.rest[n+int(size):]
	return text, nil
}

// repeatedColumn reads a column of pairs of a count and a value.
type repeatedColumn struct {
	rest  []byte
	value int64
	end   int // the position after the last one that has value
}

// at returns the number at a position, which must not be before that of the last call.
func (c *repeatedColumn) at(position int) (int64, error) {
	for position >= c.end {
		times, n := binary.Uvarint(c.rest)
		if n <= 0 || times == 0 || times > math.MaxInt32 || c.end > maxCodecRows {
			return 0, ErrDamaged
		}
		value, m := binary.Varint(c.rest[n:])
		if m <= 0 {
			return 0, ErrDamaged
		}
		c.value, c.end, c.rest = value, c.end+int(times), c.rest[n+m:]
	}
	return c.value, nil
}
