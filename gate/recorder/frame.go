package recorder

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
)

// frame is the header of a batch in a segment.
//
//	4 bytes  frameMark
//	4 bytes  length of the rows in bytes
//	4 bytes  number of rows
//	4 bytes  checksum of the rows
//	4 bytes  checksum of the above
//
// Numbers are little-endian; checksums are CRC-32C. The header has a checksum of its own, so that rows can be counted
// without reading them. If only the rows are corrupt, their length leads to the next batch, and the lost rows are
// counted exactly.
type frame struct {
	length, rows int
	sum          uint32
}

const (
	frameHeader = 20
	// frameMark is at the beginning of each frame, so that the next frame is found after a corrupt header. It is not
	// valid UTF-8, so it does not occur in texts.
	frameMark = "\x9b\xc1vr"
	// searchSize is how many bytes are searched at once.
	searchSize = 256 << 10
)

var (
	errCorrupt = errors.New("the bytes are not those that were written")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func (f frame) size() int64 { return int64(frameHeader + f.length) }

// putFrame writes the header into the first frameHeader bytes of b. The rest of b is the encoded rows.
func putFrame(b []byte, rows int) {
	encoded := b[frameHeader:]
	header := append(b[:0], frameMark...)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(encoded)))
	header = binary.LittleEndian.AppendUint32(header, uint32(rows))
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(encoded, castagnoli))
	binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
}

// readFrame reads the header at the position at of a file whose frames end at end. It returns errCorrupt if there is no
// valid one.
func readFrame(file io.ReaderAt, at, end int64) (f frame, err error) {
	var header [frameHeader]byte
	if at+frameHeader > end {
		return f, errCorrupt
	}
	if _, err := file.ReadAt(header[:], at); errors.Is(err, io.EOF) {
		return f, errCorrupt
	} else if err != nil {
		return f, err
	}
	number := func(i int) uint32 { return binary.LittleEndian.Uint32(header[i:]) }
	f = frame{length: int(number(4)), rows: int(number(8)), sum: number(12)}
	if string(header[:4]) != frameMark || number(16) != crc32.Checksum(header[:16], castagnoli) ||
		f.rows == 0 || at+f.size() > end {
		return frame{}, errCorrupt
	}
	return f, nil
}

// nextFrame reads the header at a position like readFrame, and also returns the position of the next frame, end if
// there is none. With errCorrupt, f is zero, and the corrupt bytes up to next were an unknown number of rows.
func nextFrame(file io.ReaderAt, at, end int64) (f frame, next int64, err error) {
	f, err = readFrame(file, at, end)
	if !errors.Is(err, errCorrupt) {
		return f, at + f.size(), err
	}
	next, failed := searchFrame(file, at+1, end)
	return f, next, cmp.Or(failed, err)
}

// searchFrame returns the position of the first frame from at on, end if there is none.
func searchFrame(file io.ReaderAt, at, end int64) (int64, error) {
	part := make([]byte, searchSize)
	for at < end {
		n, err := file.ReadAt(part[:min(searchSize, end-at)], at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if n < len(frameMark) {
			break
		}
		for i := 0; ; i++ {
			found := bytes.Index(part[i:n], []byte(frameMark))
			if found < 0 {
				break
			}
			i += found
			if _, err := readFrame(file, at+int64(i), end); !errors.Is(err, errCorrupt) {
				return at + int64(i), err
			}
		}
		at += int64(n - len(frameMark) + 1) // a mark may begin in this part and end in the next
	}
	return end, nil
}

// readRows reads the encoded rows of the frame at a position. It uses buffer if that is large enough. It returns
// errCorrupt if the rows are not what was written.
func readRows(file io.ReaderAt, at int64, f frame, buffer []byte) ([]byte, error) {
	buffer = slices.Grow(buffer[:0], f.length)[:f.length]
	if _, err := file.ReadAt(buffer, at+frameHeader); errors.Is(err, io.EOF) {
		return buffer, errCorrupt
	} else if err != nil {
		return buffer, err
	}
	if crc32.Checksum(buffer, castagnoli) != f.sum {
		return buffer, errCorrupt
	}
	return buffer, nil
}

// countRows counts the rows of the frames from at to end by their headers. Corrupt bytes between two frames count as
// one row.
func countRows(file io.ReaderAt, at, end int64) (rows int, err error) {
	for at < end {
		f, next, err := nextFrame(file, at, end)
		if err != nil && !errors.Is(err, errCorrupt) {
			return 0, err
		}
		at = next
		rows += max(1, f.rows)
	}
	return rows, nil
}

// intactEnd returns the end of the last frame between at and end that was written completely. Frames before it may be
// corrupt, but were written completely once.
func intactEnd(file io.ReaderAt, at, end int64) (int64, error) {
	for at < end {
		f, next, err := nextFrame(file, at, end)
		if err == nil && next == end {
			_, err = readRows(file, at, f, nil)
		}
		if err != nil && !errors.Is(err, errCorrupt) {
			return 0, err
		}
		if err != nil && next == end {
			break
		}
		at = next
	}
	return at, nil
}
