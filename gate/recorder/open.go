package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// maxSpools is the most processes that can have spools in one folder.
const maxSpools = 256

// ErrForeignSpool is the error for a spool that this program did not write, such as that of an earlier version.
var ErrForeignSpool = errors.New("this version of the program cannot read it. If an earlier version left it, " +
	"let that one run until the database has its rows; then move it away")

// spoolPath returns the folder of the n-th process that works with folder.
func spoolPath(folder string, n int) string {
	if n == 1 {
		return filepath.Join(folder, "spool")
	}
	return filepath.Join(folder, fmt.Sprintf("spool-%d", n))
}

// openSpool opens the first spool in the folder that no other process has locked; it makes one if there is none. It
// also takes over the segments of further spools that are not locked, because their processes have ended. It returns
// ErrForeignSpool if any of these is not a spool of this program.
func openSpool(folder string, l limits, log *slog.Logger) (own *spool, err error) {
	for n := 1; n <= maxSpools; n++ {
		path := spoolPath(folder, n)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s: %w", path, ErrForeignSpool)
		}
	}
	for n := 1; n <= maxSpools; n++ {
		path := spoolPath(folder, n)
		if own != nil {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				break // spools are made in order and never removed
			}
		}
		s, err := lockSpool(path, l, log)
		switch {
		case own == nil && err != nil:
			return nil, err
		case errors.Is(err, ErrForeignSpool):
			return nil, errors.Join(err, own.close())
		case err != nil:
			log.Error("rows that another process left cannot be read", "folder", path, "error", err)
		case s == nil: // another process has it
		case own == nil:
			own = s
		default:
			if err := errors.Join(own.takeOver(s), s.close()); err != nil {
				log.Error("rows that another process left cannot be taken over", "folder", path, "error", err)
			}
		}
	}
	if own == nil {
		return nil, fmt.Errorf("all %d spools of the folder are in use", maxSpools)
	}
	return own, nil
}

// lockSpool locks and opens one spool, and makes its folder if needed. It returns nil if another process has the lock.
func lockSpool(path string, l limits, log *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil || !held {
		return nil, err
	}
	s := &spool{folder: path, lock: lock, limits: l, position: segmentHeader}
	if err := s.load(log); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// load finds the segments that an earlier process left, and deletes those without rows.
func (s *spool) load(log *slog.Logger) error {
	numbers, err := listSegments(s.folder)
	if err != nil {
		return err
	}
	for i, number := range numbers {
		seg, cut, err := loadSegment(s.folder, number, i == len(numbers)-1)
		if err != nil {
			return err
		}
		if cut > 0 {
			log.Warn("the spool ends in the middle of a batch, which is cut off", "segment", number, "bytes", cut)
		}
		if seg.rows == 0 {
			s.written = append(s.written, number)
		} else {
			s.add(seg)
		}
		s.newest = number
	}
	return s.deleteWritten()
}

// add appends a segment that another process left.
func (s *spool) add(seg segment) {
	s.segments = append(s.segments, seg)
	s.rows += seg.rows
	s.size += seg.size
}

// takeOver moves the segments of another spool to the end of s. If the process is killed meanwhile, each segment is
// in one of the two folders.
func (s *spool) takeOver(other *spool) error {
	for _, seg := range other.segments {
		from := segmentPath(other.folder, seg.number)
		if err := os.Rename(from, segmentPath(s.folder, s.newest+1)); err != nil {
			return err
		}
		s.newest++
		seg.number = s.newest
		s.add(seg)
	}
	return nil
}
