package recorder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A segment is a file of the spool: segmentMark, then frames, each followed by the rows of its batch as
// requestlog.AppendRows encodes them.
const (
	segmentMark   = "clvseg1\n"
	segmentHeader = int64(len(segmentMark))
	segmentSuffix = ".seg"
)

// segment describes a file of the spool. Segments are numbered in the order in which they were made.
type segment struct {
	number uint64
	size   int64 // end of the last batch
	rows   int   // rows that are not in the database yet
}

// segmentPath returns the path of the segment with a number. The number is padded to the digits of the largest, as in
// tidwall/wal.
func segmentPath(folder string, number uint64) string {
	return filepath.Join(folder, fmt.Sprintf("%020d"+segmentSuffix, number))
}

// listSegments returns the numbers of the segments in the folder, in ascending order, possibly with gaps. It ignores
// other files.
func listSegments(folder string) (numbers []uint64, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), segmentSuffix)
		number, err := strconv.ParseUint(digits, 10, 63)
		if ok && err == nil && len(digits) == 20 && entry.Type().IsRegular() {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// loadSegment counts the rows of a segment that an earlier process left. From the last segment it cuts off a torn
// end: no caller got the answer that those rows were stored. cut is the number of bytes cut off.
func loadSegment(folder string, number uint64, last bool) (seg segment, cut int64, err error) {
	path := segmentPath(folder, number)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return seg, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return seg, 0, err
	}
	size := info.Size()
	if err := checkFormat(file, size); err != nil {
		return seg, 0, fmt.Errorf("%s: %w", path, err)
	}
	seg = segment{number: number, size: size}
	if last {
		if seg.size, err = intactEnd(file, segmentHeader, size); err != nil {
			return seg, 0, err
		}
	}
	if seg.rows, err = countRows(file, segmentHeader, seg.size); err != nil || seg.size >= size {
		return seg, 0, err
	}
	return seg, size - seg.size, file.Truncate(seg.size)
}

// checkFormat returns ErrForeignSpool for a file that this program did not write. A file is not foreign if its mark was
// not written completely, or is zeros, as after a failure of the machine; nor if the mark is corrupt but there is a
// frame.
func checkFormat(file io.ReaderAt, size int64) error {
	mark := make([]byte, min(size, segmentHeader))
	if _, err := file.ReadAt(mark, 0); err != nil && err != io.EOF {
		return err
	}
	if strings.HasPrefix(segmentMark, string(mark)) || bytes.Count(mark, []byte{0}) == len(mark) {
		return nil
	}
	first, err := searchFrame(file, 0, size)
	if err == nil && first == size {
		return ErrForeignSpool
	}
	return err
}

// syncFolder forces the list of files in the folder to the disk. Some file systems do not support that, which is not an
// error.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
