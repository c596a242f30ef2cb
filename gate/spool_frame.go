package gate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// frame is what stands before the rows of a batch in the spool.
//
//	4 bytes  frameMark
//	4 bytes  length of the rows
//	4 bytes  how many they are; 0 says that nothing follows, whatever the file holds
//	4 bytes  checksum of the rows
//	4 bytes  checksum of the above
//
// Numbers are little-endian; checksums are CRC-32C. The header has its own, so that damaged rows are skipped and counted exactly,
// and what waits is counted without reading it.
type frame struct {
	length, rows int
	sum          uint32
}

const (
	frameHeader = 20
	// frameMark is where a batch may begin, for who lost the place. No text has it: it is not UTF-8.
	frameMark = "\x9b\xc1vr"
	// searchPart is how much of the file is searched at once.
	searchPart = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f frame) size() int64 { return int64(frameHeader + f.length) }

// appendFrame writes the header of rows.
func appendFrame(to []byte, f frame) []byte {
	begin := len(to)
	to = append(to, frameMark...)
	to = binary.LittleEndian.AppendUint32(to, uint32(f.length))
	to = binary.LittleEndian.AppendUint32(to, uint32(f.rows))
	to = binary.LittleEndian.AppendUint32(to, f.sum)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[begin:], castagnoli))
}

// readFrame is the header at a place of the file, where end is behind the last one that may be there. [errSpoolDamaged] where it is
// not what was written.
func readFrame(file io.ReaderAt, at, end int64) (f frame, err error) {
	var header [frameHeader]byte
	if at+frameHeader > end {
		return f, errSpoolDamaged
	}
	if _, err := file.ReadAt(header[:], at); errors.Is(err, io.EOF) {
		return f, errSpoolDamaged
	} else if err != nil {
		return f, err
	}
	number := func(i int) uint32 { return binary.LittleEndian.Uint32(header[i:]) }
	f = frame{length: int(number(4)), rows: int(number(8)), sum: number(12)}
	if string(header[:4]) != frameMark || number(16) != crc32.Checksum(header[:16], castagnoli) || at+f.size() > end {
		return frame{}, errSpoolDamaged
	}
	return f, nil
}

// nextFrame is readFrame, and finds where the next one begins; end where none does. Of a damaged header nobody knows how many rows
// it was about: f has none.
func nextFrame(file io.ReaderAt, at, end int64) (f frame, next int64, err error) {
	f, err = readFrame(file, at, end)
	if !errors.Is(err, errSpoolDamaged) {
		return f, at + f.size(), err
	}
	next, failed := searchFrame(file, at+1, end)
	return f, next, cmp.Or(failed, err)
}

// searchFrame finds the first place of a frame from at on; end where there is none.
func searchFrame(file io.ReaderAt, at, end int64) (int64, error) {
	part := make([]byte, searchPart)
	for at < end {
		n, err := file.ReadAt(part[:min(searchPart, end-at)], at)
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
			if _, err := readFrame(file, at+int64(i), end); !errors.Is(err, errSpoolDamaged) {
				return at + int64(i), err
			}
		}
		at += int64(n - len(frameMark) + 1) // a mark may stand across the border
	}
	return end, nil
}
