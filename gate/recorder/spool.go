package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/claviger/claviger/models/requestlog"
	"github.com/gofrs/flock"
)

// spool is a queue of batches on disk: a folder of numbered segments. Batches are appended to the last segment and read
// from the first, which is deleted once all of its batches are written. After a crash a segment's batches are written
// again from its start, which changes nothing. One goroutine uses a spool at a time.
type spool struct {
	folder string
	lock   *flock.Flock // on a file in the folder
	limits limits

	segments []segment // oldest first
	newest   uint64    // the largest number in use so far
	rows     int       // that wait in all segments
	size     int64     // of all segments

	reader    *os.File // of the first segment; nil where it is not open
	position  int64    // where the oldest batch begins in the first segment
	front     frame    // of the oldest batch; zero where it is not known
	frontSize int64    // from position to the next batch

	writer  *os.File // of the last segment; nil: the next batch begins a segment
	written []uint64 // segments that are to be deleted
	buffer  []byte

	syncs   sync.WaitGroup // of files that the disk is asked to keep in the background
	syncing atomic.Bool
}

// empty reports whether no batch waits.
func (s *spool) empty() bool { return len(s.segments) == 0 }

// waiting returns the bytes of the batches that wait.
func (s *spool) waiting() int64 {
	if s.empty() {
		return 0
	}
	return s.size - int64(len(s.segments)-1)*segmentHeader - s.position
}

// append puts batches at the end, all or none. They outlive the process from then on, and with sync a failure of the
// machine too; without, the disk is asked to keep them, and append does not wait for it.
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
		s.deleteWritten() // tried again later where it fails
		s.segments, s.rows, s.size = s.segments[:segments], rows, size
		if segments > 0 {
			s.segments[segments-1] = last
			os.Truncate(segmentPath(s.folder, last.number), last.size) // bytes that stay are overwritten
		}
	}
}

// write puts a batch at the end of the last segment, or into a new one where it has no room.
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

// newSegment ends the last segment and begins the next one.
func (s *spool) newSegment(sync bool) error {
	if ended := s.writer; ended != nil {
		s.writer = nil
		if sync {
			if err := errors.Join(ended.Sync(), ended.Close()); err != nil {
				return err
			}
		} else {
			s.syncs.Go(func() { errors.Join(ended.Sync(), ended.Close()) })
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

// syncSoon asks the disk to keep the last segment, in the background. Where it is being asked already, it is asked
// again with the next batch.
func (s *spool) syncSoon() {
	if file := s.writer; s.syncing.CompareAndSwap(false, true) {
		s.syncs.Go(func() {
			defer s.syncing.Store(false)
			errors.Join(file.Sync(), syncFolder(s.folder)) // where the disk fails, the next write says so
		})
	}
}

// first reads the oldest batch; errCorrupt where it is not what was written, or was deleted by somebody.
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

// frontExtent returns how many rows and bytes are lost with the oldest batch, after first returned errCorrupt.
func (s *spool) frontExtent() (rows int, bytes int64, err error) {
	if s.front.rows > 0 {
		return s.front.rows, s.frontSize, nil
	}
	behind, err := scan(s.reader, s.position+s.frontSize, s.segments[0].size)
	return max(0, s.segments[0].rows-behind), s.frontSize, err
}

// popFront removes the oldest batch, of so many rows: the one that first returned, or that was put into an empty spool.
// With the last batch of a segment it deletes the file. An error says that this failed; it is tried again with the next
// segment.
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

// deleteWritten deletes the segments whose batches are written.
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

// close lets other processes have the folder.
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
