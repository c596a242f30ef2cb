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

// segment is what is known of a file of the spool. Segments are numbered in the order in which they were begun.
type segment struct {
	number uint64
	size   int64 // where the last batch ends
	rows   int   // that wait in it
}

// segmentPath returns the path of the segment with a number, which has as many digits as the largest, as in
// tidwall/wal.
func segmentPath(folder string, number uint64) string {
	return filepath.Join(folder, fmt.Sprintf("%020d"+segmentSuffix, number))
}

// listSegments returns the numbers of the segments in the folder, in order. A number may be missing. Other files are
// ignored.
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

// loadSegment counts the rows of a segment that an earlier process left. Of the last one it cuts off a torn end: nobody
// was told that those rows were kept. cut is how many bytes that were.
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
	if seg.rows, err = scan(file, segmentHeader, seg.size); err != nil || seg.size >= size {
		return seg, 0, err
	}
	return seg, size - seg.size, file.Truncate(seg.size)
}

// checkFormat returns ErrForeignSpool for a file that this program did not write. A corrupt mark does not make a
// segment foreign where it has a frame; nor does one that was not written to its end, or that a failing machine left as
// zeros.
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

// syncFolder asks the disk to keep which files are in the folder. Some file systems cannot be asked.
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
