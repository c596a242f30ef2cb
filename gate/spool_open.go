package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// maxSpools is how many processes may have their spools in one folder.
const maxSpools = 256

// oldSpoolMark began spools whose frames had no mark.
const oldSpoolMark = "clvspl1\n"

// openSpool opens the first spool of the folder that no other process has, and makes one where there is none. Rows in
// further ones, left by processes that are gone, are taken over. rows is how many wait.
func openSpool(folder string, log *slog.Logger) (own *spool, rows int, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, 0, err
	}
	for n := 1; n <= maxSpools; n++ {
		path := filepath.Join(folder, "spool")
		if n > 1 {
			path += fmt.Sprintf("-%d", n)
		}
		if own != nil {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				break // they are made in order and never removed
			}
		}
		s, waiting, err := openSpoolFile(path, log)
		switch {
		case err != nil && own == nil:
			return nil, 0, err
		case err != nil:
			log.Error("rows that another process left cannot be read", "file", path, "error", err)
		case s == nil: // in use
		case own == nil:
			own, rows = s, waiting
		default:
			if err := own.takeOver(s); err != nil {
				log.Error("rows that another process left cannot be taken over", "file", path, "error", err)
			} else {
				rows += waiting
			}
			s.close()
		}
	}
	if own == nil {
		return nil, 0, fmt.Errorf("all %d spools of the folder are in use", maxSpools)
	}
	return own, rows, nil
}

// openSpoolFile opens one file and counts its rows; nil where another process has it.
func openSpoolFile(path string, log *slog.Logger) (s *spool, rows int, err error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil || !held {
		return nil, 0, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, errors.Join(err, lock.Close())
	}
	s = &spool{file: file, lock: lock, syncing: make(chan struct{}, 1)}
	if rows, err = s.recover(log); err != nil {
		return nil, 0, errors.Join(err, file.Close(), lock.Close())
	}
	return s, rows, nil
}

// recover finds the batches that wait, and cuts off an end that was not written to its end.
func (s *spool) recover(log *slog.Logger) (rows int, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	var head [spoolHeader]byte
	_, err = s.file.ReadAt(head[:], 0)
	mark, written, size := string(head[:len(spoolMark)]), int64(binary.LittleEndian.Uint64(head[8:])), info.Size()
	switch {
	case err == io.EOF: // new, or made by a process that did not come further
		return 0, s.clear()
	case err != nil:
		return 0, err
	case mark == oldSpoolMark && written == size:
		return 0, s.clear()
	case mark == oldSpoolMark:
		return 0, fmt.Errorf("%s has rows of an older version of this program. Let that one write them first", s.file.Name())
	case mark != spoolMark:
		return 0, fmt.Errorf("%s is no spool. Move it away", s.file.Name())
	}
	// A failure of the machine may have left a start that is none any more. Then all batches are looked at.
	at, known := int64(spoolHeader), written == size
	if spoolHeader <= written && written < size {
		_, err := readFrame(s.file, written, size)
		if known = err == nil; !known && !errors.Is(err, errSpoolDamaged) {
			return 0, err
		}
	}
	if known {
		at = written
	}
	s.start = at
	for {
		if at == written {
			s.start, rows, known = at, 0, true
		}
		if at >= size {
			break
		}
		f, next, err := nextFrame(s.file, at, size)
		if err == nil && next == size && f.rows > 0 {
			_, err = s.rowsAt(at, f) // the last one may not have been written to its end
		}
		if err != nil && !errors.Is(err, errSpoolDamaged) {
			return 0, err
		}
		if err != nil && next == size || err == nil && f.rows == 0 {
			break
		}
		at = next // also where something is damaged: it is lost when its turn comes, and what is behind it is not
		rows += max(1, f.rows)
	}
	s.end = at
	if !known && !s.empty() {
		log.Warn("the spool does not say what was written: all of it is written again, which changes nothing", "rows", rows)
	}
	if s.end < size {
		log.Warn("the end of the spool was not written to its end and is cut off", "bytes", size-s.end)
	}
	if s.empty() {
		return 0, s.clear()
	}
	return rows, s.file.Truncate(s.end)
}

// takeOver moves the other's batches to the end of s.
func (s *spool) takeOver(other *spool) error {
	if other.empty() {
		return nil
	}
	n, err := io.Copy(io.NewOffsetWriter(s.file, s.end), io.NewSectionReader(other.file, other.start, other.end-other.start))
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return errors.Join(err, s.file.Truncate(s.end))
	}
	s.end += n
	return other.clear()
}
