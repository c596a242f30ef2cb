package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"

	"github.com/claviger/claviger/models/requestlog"
)

// spool is a queue of batches on disk: a folder of numbered segments. Batches are appended to the last segment and read
// from the first, which is deleted once all of its batches are in the database. After a crash the batches of the first
// segment are written again from its start; writing a batch again changes nothing. A spool is not safe for concurrent
// use.
type spool struct {
	folder string
	lock   *flock.Flock // on a file in the folder
	limits limits

	segments []segment // oldest first
	newest   uint64    // the largest number in use so far
	rows     int       // rows in all segments that are not in the database yet
	size     int64     // of all segments

	reader    *os.File // of the first segment; nil if it is not open
	position  int64    // beginning of the oldest batch in the first segment
	front     frame    // of the oldest batch; zero if it is not known
	frontSize int64    // from position to the next batch

	writer  *os.File // of the last segment; nil: the next batch begins a segment
	written []uint64 // numbers of segments that are to be deleted
	buffer  []byte

	syncs   sync.WaitGroup // syncs in the background
	syncing atomic.Bool    // whether one of the last segment runs
}

// empty reports whether the spool has no batch.
func (s *spool) empty() bool { return len(s.segments) == 0 }

// waiting returns the bytes of the batches that are not in the database yet.
func (s *spool) waiting() int64 {
	if s.empty() {
		return 0
	}
	return s.size - int64(len(s.segments)-1)*segmentHeader - s.position
}

// append puts batches at the end of the spool, all or none. After it returns they survive the end of the process, and
// with sync also a failure of the machine. Without sync they are forced to the disk in the background.
func (s *spool) append(batches []*batch, sync bool) (err error) {
	undo := s.savepoint()
	defer func() {
		if err != nil {
			undo()
		}
	}()
	for _, b := range batches {
		if err := s.write(b.rows, sync); err != nil {
			return err
		}
	}
	if sync {
		return s.writer.Sync()
	}
	s.syncSoon()
	return nil
}

// savepoint returns a function that removes all batches appended after this call.
func (s *spool) savepoint() (undo func()) {
	segments, rows, size, writer := len(s.segments), s.rows, s.size, s.writer
	var last segment
	if segments > 0 {
		last = s.segments[segments-1]
	}
	return func() {
		if s.writer != writer && s.writer != nil {
			s.writer.Close()
			s.writer = nil
		}
		for _, added := range s.segments[segments:] {
			s.written = append(s.written, added.number)
		}
		s.deleteWritten() // if that fails, it is tried again later
		s.segments, s.rows, s.size = s.segments[:segments], rows, size
		if segments > 0 {
			s.segments[segments-1] = last
			os.Truncate(segmentPath(s.folder, last.number), last.size) // if that fails, the bytes are overwritten later
		}
	}
}

// write puts a batch at the end of the last segment, or into a new one if it has no room.
func (s *spool) write(rows []requestlog.Row, sync bool) error {
	s.buffer = requestlog.AppendRows(append(s.buffer[:0], make([]byte, frameHeader)...), rows)
	putFrame(s.buffer, len(rows))
	length := int64(len(s.buffer))
	if s.size+segmentHeader+length > s.limits.spool {
		return fmt.Errorf("the spool has reached its largest size of %d bytes", s.limits.spool)
	}
	if s.empty() {
		s.frontSize = length
	}
	if s.writer == nil || s.segments[len(s.segments)-1].size+length > s.limits.segment {
		if err := s.newSegment(sync); err != nil {
			return err
		}
	}
	last := &s.segments[len(s.segments)-1]
	if _, err := s.writer.WriteAt(s.buffer, last.size); err != nil {
		return err
	}
	last.size += length
	last.rows += len(rows)
	s.size += length
	s.rows += len(rows)
	return nil
}

// newSegment closes the last segment and makes a new one.
func (s *spool) newSegment(sync bool) error {
	if ended := s.writer; ended != nil {
		s.writer = nil
		if sync {
			if err := errors.Join(ended.Sync(), ended.Close()); err != nil {
				return err
			}
		} else {
			s.syncs.Go(func() { ended.Sync(); ended.Close() }) // see syncSoon about errors
		}
	}
	s.newest++
	file, err := os.OpenFile(segmentPath(s.folder, s.newest), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.writer = file
	s.segments = append(s.segments, segment{number: s.newest, size: segmentHeader})
	s.size += segmentHeader
	if _, err := file.WriteAt([]byte(segmentMark), 0); err != nil {
		return err
	}
	if sync {
		return syncFolder(s.folder)
	}
	return nil
}

// syncSoon forces the last segment to the disk in the background. If that is already going on, it does nothing; the
// next batch does it again. Errors are ignored: without sync the rows need not survive a failure of the machine.
func (s *spool) syncSoon() {
	if file := s.writer; s.syncing.CompareAndSwap(false, true) {
		s.syncs.Go(func() {
			defer s.syncing.Store(false)
			file.Sync()
			syncFolder(s.folder)
		})
	}
}

// first reads the oldest batch. It returns errCorrupt if the batch is not what was written, or its file was deleted.
func (s *spool) first() (rows []requestlog.Row, err error) {
	seg := s.segments[0]
	if s.reader == nil {
		if s.reader, err = os.Open(segmentPath(s.folder, seg.number)); errors.Is(err, fs.ErrNotExist) {
			s.front, s.frontSize = frame{rows: seg.rows}, seg.size-s.position
			return nil, errors.Join(errCorrupt, err)
		} else if err != nil {
			return nil, err
		}
	}
	var next int64
	s.front, next, err = nextFrame(s.reader, s.position, seg.size)
	if s.frontSize = next - s.position; err != nil {
		return nil, err
	}
	if s.buffer, err = readRows(s.reader, s.position, s.front, s.buffer); err != nil {
		return nil, err
	}
	if rows, err = requestlog.DecodeRows(s.buffer); err != nil || len(rows) != s.front.rows {
		return nil, errors.Join(errCorrupt, err)
	}
	return rows, nil
}

// frontExtent returns the number of rows and bytes that are lost with the oldest batch, after first returned
// errCorrupt.
func (s *spool) frontExtent() (rows int, bytes int64, err error) {
	if s.front.rows > 0 {
		return s.front.rows, s.frontSize, nil
	}
	behind, err := countRows(s.reader, s.position+s.frontSize, s.segments[0].size)
	return max(0, s.segments[0].rows-behind), s.frontSize, err
}

// popFront removes the oldest batch, which first returned, or which was put into an empty spool. rows is its number
// of rows. With the last batch of a segment it deletes the file. It returns an error if that fails; deleting is tried
// again with the next segment.
func (s *spool) popFront(rows int) error {
	seg := &s.segments[0]
	seg.rows -= rows
	s.rows -= rows
	s.position += s.frontSize
	s.front, s.frontSize = frame{}, 0
	if s.position < seg.size {
		return nil
	}
	if s.reader != nil {
		s.reader.Close()
		s.reader = nil
	}
	if len(s.segments) == 1 && s.writer != nil {
		s.writer.Close()
		s.writer = nil
	}
	s.rows -= seg.rows
	s.size -= seg.size
	s.position = segmentHeader
	s.written = append(s.written, seg.number)
	s.segments = s.segments[1:]
	return s.deleteWritten()
}

// deleteWritten deletes the segments that are listed in written. Those that cannot be deleted stay in the list.
func (s *spool) deleteWritten() (err error) {
	kept := s.written[:0]
	for _, number := range s.written {
		if failed := os.Remove(segmentPath(s.folder, number)); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			kept, err = append(kept, number), failed
		}
	}
	s.written = kept
	return err
}

// close closes the files and releases the lock, so that another process can take the spool over.
func (s *spool) close() error {
	err := s.deleteWritten()
	s.syncs.Wait()
	if s.writer != nil {
		err = errors.Join(err, s.writer.Sync(), s.writer.Close())
	}
	if s.reader != nil {
		s.reader.Close()
	}
	return errors.Join(err, s.lock.Close())
}
