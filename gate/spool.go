package gate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/gofrs/flock"

	"github.com/claviger/claviger/models"
)

// The spool is a file of batches that the database has not taken yet.
//
//	8 bytes    spoolMark
//	8 bytes    where the oldest batch that waits begins; what is before it has been written
//	then each batch: frameMark, 4 bytes length of the rows, 4 bytes how many, 4 bytes checksum, the rows as models.AppendRequestLogs
//
// Numbers are little-endian; the checksum is CRC-32C over number and rows.
const (
	spoolMark   = "clvspl2\n"
	spoolHeader = 16
	// frameMark is where a batch may begin, for who lost the place. In rows it is rare, and then the checksum tells.
	frameMark   = "\x9b\xc1vr"
	frameHeader = 16
	// More than any batch takes and has: what is beyond is no length and no number of rows.
	maxFrame     = 64 << 20
	maxFrameRows = 1 << 16
	// searchPart is how much of the file is searched at once.
	searchPart = 1 << 20
	// keptSize is what an empty spool may occupy: making it smaller waits for a disk that is just asked to keep it.
	keptSize = 16 << 20
	// maxSpool leaves the disk room for others. What comes on top waits in memory.
	maxSpool = 8 << 30
)

var (
	castagnoli      = crc32.MakeTable(crc32.Castagnoli)
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

type frame struct {
	length, rows int
	sum          uint32
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
		s.buffer = append(append(s.buffer[:0], frameMark...), make([]byte, frameHeader-len(frameMark))...)
		s.buffer = models.AppendRequestLogs(s.buffer, b.rows)
		binary.LittleEndian.PutUint32(s.buffer[4:], uint32(len(s.buffer)-frameHeader))
		binary.LittleEndian.PutUint32(s.buffer[8:], uint32(len(b.rows)))
		binary.LittleEndian.PutUint32(s.buffer[12:], sumOf(s.buffer))
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

// sumOf is the checksum of a frame: of all but the mark, the length and itself.
func sumOf(whole []byte) uint32 {
	return crc32.Update(crc32.Checksum(whole[8:12], castagnoli), castagnoli, whole[frameHeader:])
}

// empty tells that no batch waits.
func (s *spool) empty() bool { return s.start == s.end }

// first reads the oldest batch. [errSpoolDamaged] where it is not what was written.
func (s *spool) first() ([]models.RequestLog, error) {
	f, next, err := s.step(s.start, s.end)
	if s.firstSize = next - s.start; err != nil {
		return nil, err
	}
	rows, err := models.DecodeRequestLogs(s.buffer[frameHeader:])
	if err != nil || len(rows) != f.rows {
		return nil, errors.Join(errSpoolDamaged, err)
	}
	return rows, nil
}

// count is how many rows are in the batches from a place on.
func (s *spool) count(at int64) (rows int, err error) {
	for at < s.end {
		f, next, err := s.step(at, s.end)
		if err != nil && !errors.Is(err, errSpoolDamaged) {
			return 0, err
		}
		at = next
		rows += f.rows
	}
	return rows, nil
}

// step reads the frame at a place into the buffer and finds where the next one begins; end where none does. With
// [errSpoolDamaged], f says how many rows there should be: 1 where that is not known.
func (s *spool) step(at, end int64) (f frame, next int64, err error) {
	f, err = s.frameAt(at)
	next = at + int64(frameHeader+f.length)
	if !errors.Is(err, errSpoolDamaged) {
		return f, next, err
	}
	found, failed := s.search(at+1, end)
	if found != next || f.length == 0 { // the length is damaged, or the next frame as well
		f.rows = 1
	}
	return f, found, cmp.Or(failed, err)
}

// search finds the first whole frame from a place on; end where there is none.
func (s *spool) search(at, end int64) (int64, error) {
	part := make([]byte, searchPart)
	for at < end {
		n, err := s.file.ReadAt(part[:min(int64(len(part)), end-at)], at)
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
			if whole, err := s.wholeAt(at + int64(i)); whole || err != nil {
				return at + int64(i), err
			}
		}
		at += int64(n - len(frameMark) + 1)
	}
	return end, nil
}

// wholeAt tells whether a frame begins at the place and is what was written.
func (s *spool) wholeAt(at int64) (bool, error) {
	_, err := s.frameAt(at)
	if errors.Is(err, errSpoolDamaged) {
		return false, nil
	}
	return err == nil, err
}

// frameAt reads the frame at a place into the buffer.
func (s *spool) frameAt(at int64) (f frame, err error) {
	if f, err = s.headerAt(at); err != nil {
		return f, err
	}
	size := frameHeader + f.length
	if cap(s.buffer) < size {
		s.buffer = make([]byte, size)
	}
	s.buffer = s.buffer[:size]
	if _, err := s.file.ReadAt(s.buffer, at); err != nil {
		if errors.Is(err, io.EOF) {
			err = errSpoolDamaged
		}
		return f, err
	}
	if sumOf(s.buffer) != f.sum {
		return f, errSpoolDamaged
	}
	return f, nil
}

func (s *spool) headerAt(at int64) (f frame, err error) {
	var head [frameHeader]byte
	if _, err := s.file.ReadAt(head[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			err = errSpoolDamaged
		}
		return f, err
	}
	number := binary.LittleEndian.Uint32
	f = frame{length: int(number(head[4:])), rows: int(number(head[8:])), sum: number(head[12:])}
	if string(head[:len(frameMark)]) != frameMark || f.length > maxFrame || f.rows > maxFrameRows {
		return frame{}, errSpoolDamaged
	}
	return f, nil
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

// moveToFront gives the room of what was written back while more keeps coming. What waits is copied to where nothing waits: until
// the start says so, it is still where it was.
func (s *spool) moveToFront(waiting int64) error {
	_, err := io.Copy(io.NewOffsetWriter(s.file, spoolHeader), io.NewSectionReader(s.file, s.start, waiting))
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return errors.Join(err, s.writeStart())
	}
	s.start, s.end = spoolHeader, spoolHeader+waiting
	return errors.Join(s.writeStart(), s.file.Truncate(s.end))
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
