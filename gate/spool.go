package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
	"github.com/gofrs/flock"
)

// The spool is a file of batches that the database has not taken yet.
//
//	8 bytes    spoolMark
//	8 bytes    where the oldest batch that waits begins; what is before it has been written
//	then each batch: its frame, the rows as requestlog.AppendRows
const (
	spoolMark   = "clvspl2\n"
	spoolHeader = 16
	// keptSize is what an empty spool may occupy: making it smaller waits for a disk that is just asked to keep it.
	keptSize = 16 << 20
	// maxSpool leaves the disk room for others. What comes on top waits in memory.
	maxSpool = 8 << 30
)

var (
	errSpoolFull    = fmt.Errorf("the spool has reached its largest size of %d bytes", int64(maxSpool))
	errSpoolDamaged = errors.New("the spool is damaged")
	errNoSpool      = errors.New("there is no spool")
)

// spool is the open file. One goroutine uses it at a time.
type spool struct {
	file       *os.File
	lock       *flock.Flock // on a file beside it
	start, end int64        // of the batches that wait
	firstSize  int64        // of the oldest of them; 0 where it is not known
	buffer     []byte
	syncing    chan struct{} // holds a token while the disk is asked to keep what was written
}

// append puts batches at the end, all or none. They outlive the process from then on, and with sync a failure of the
// machine; without, the disk is asked to take them, and nobody waits for it.
func (s *spool) append(batches []*batch, sync bool) (err error) {
	end, firstSize := s.end, s.firstSize
	defer func() {
		if err != nil {
			s.file.Truncate(s.end) // gives room back; what is left behind the end is overwritten
		}
	}()
	for _, b := range batches {
		s.buffer = requestlog.AppendRows(append(s.buffer[:0], make([]byte, frameHeader)...), b.rows)
		rows := s.buffer[frameHeader:]
		appendFrame(s.buffer[:0], frame{length: len(rows), rows: len(b.rows), sum: crc32.Checksum(rows, castagnoli)})
		if end+int64(len(s.buffer)) > maxSpool {
			return errSpoolFull
		}
		if end == s.start {
			firstSize = int64(len(s.buffer))
		}
		if _, err := s.file.WriteAt(s.buffer, end); err != nil {
			return err
		}
		end += int64(len(s.buffer))
	}
	if !sync {
		s.syncSoon()
	} else if err := s.file.Sync(); err != nil {
		return err
	}
	s.end, s.firstSize = end, firstSize
	return nil
}

func (s *spool) syncSoon() {
	select {
	case s.syncing <- struct{}{}:
		go func() {
			defer func() { <-s.syncing }()
			s.file.Sync() // where the disk fails, the next write says so
		}()
	default: // it is being asked already, and asked again with what comes next
	}
}

// empty tells that no batch waits.
func (s *spool) empty() bool { return s.start == s.end }

// first reads the oldest batch. [errSpoolDamaged] where it is not what was written; f says how many rows there should be, none where
// that is not known.
func (s *spool) first() (rows []requestlog.Row, f frame, err error) {
	f, next, err := nextFrame(s.file, s.start, s.end)
	if s.firstSize = next - s.start; err != nil {
		return nil, f, err
	}
	encoded, err := s.rowsAt(s.start, f)
	if err != nil {
		return nil, f, err
	}
	if rows, err = requestlog.DecodeRows(encoded); err != nil || len(rows) != f.rows {
		return nil, f, errors.Join(errSpoolDamaged, err)
	}
	return rows, f, nil
}

// rowsAt reads the rows of the frame at a place into the buffer.
func (s *spool) rowsAt(at int64, f frame) ([]byte, error) {
	s.buffer = slices.Grow(s.buffer[:0], f.length)[:f.length]
	if _, err := s.file.ReadAt(s.buffer, at+frameHeader); errors.Is(err, io.EOF) {
		return nil, errSpoolDamaged
	} else if err != nil {
		return nil, err
	}
	if crc32.Checksum(s.buffer, castagnoli) != f.sum {
		return nil, errSpoolDamaged
	}
	return s.buffer, nil
}

// count is how many rows wait from a place on. Where nobody knows how many were in a part of the file, that counts as one.
func (s *spool) count(at int64) (rows int, err error) {
	for at < s.end {
		f, next, err := nextFrame(s.file, at, s.end)
		if err != nil && !errors.Is(err, errSpoolDamaged) {
			return 0, err
		}
		at = next
		rows += max(1, f.rows)
	}
	return rows, nil
}

// pop drops the oldest batch, which is the one that [spool.first] gave, or that was put into an empty spool. An error means that the
// disk did not take note; a batch that comes again after a crash changes nothing.
func (s *spool) pop() error {
	s.start += s.firstSize
	if s.empty() && s.end > keptSize {
		return s.clear()
	}
	s.firstSize = 0
	if waiting := s.end - s.start; s.start > keptSize && waiting <= keptSize/4 {
		return s.moveToFront(waiting)
	}
	return s.writeStart()
}

// moveToFront gives the room of what was written back while more keeps coming.
func (s *spool) moveToFront(waiting int64) error {
	if err := s.copyToFront(waiting); err != nil {
		return errors.Join(err, s.writeStart())
	}
	s.start, s.end = spoolHeader, spoolHeader+waiting
	return errors.Join(s.writeStart(), s.file.Truncate(s.end))
}

// copyToFront copies what waits to where nothing waits: until the start says so, it is still where it was. The old batches behind it
// must not count either, should they not be cut off.
func (s *spool) copyToFront(waiting int64) error {
	if _, err := io.Copy(io.NewOffsetWriter(s.file, spoolHeader), io.NewSectionReader(s.file, s.start, waiting)); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(appendFrame(nil, frame{}), spoolHeader+waiting); err != nil {
		return err
	}
	return s.file.Sync()
}

// clear drops everything.
func (s *spool) clear() error {
	s.start, s.end, s.firstSize = spoolHeader, spoolHeader, 0
	return errors.Join(s.file.Truncate(spoolHeader), s.writeStart())
}

func (s *spool) writeStart() error {
	_, err := s.file.WriteAt(binary.LittleEndian.AppendUint64([]byte(spoolMark), uint64(s.start)), 0)
	return err
}

// close gives the file free for other processes.
func (s *spool) close() error {
	s.syncing <- struct{}{}
	var err error
	if s.empty() {
		err = s.clear()
	}
	return errors.Join(err, s.file.Sync(), s.file.Close(), s.lock.Close())
}
