package recorder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

// popRow removes the oldest batch. It must begin with the row want.
func popRow(t *testing.T, s *spool, want requestlog.ID) {
	t.Helper()
	rows, err := s.first()
	if err != nil || rows[0].ID != want {
		t.Fatalf("the oldest batch begins with %v, want row %d (%v)", rows, want, err)
	}
	if err := s.popFront(len(rows)); err != nil {
		t.Fatal(err)
	}
}

func TestASegmentIsDeletedOnceItsBatchesAreWritten(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 5, smallSegments)
	s := openTestSpool(t, folder, smallSegments)
	each := s.waiting() / 5
	for n, want := range []int{3, 2, 2, 1, 0} { // two batches each
		popRow(t, s, requestlog.ID(10*n+1))
		wantSegments(t, folder, want)
		if now := s.waiting(); now != int64(4-n)*each {
			t.Errorf("after %d of 5 batches, %d of %d bytes wait", n+1, now, 5*each)
		}
	}
	if !s.empty() || s.rows != 0 || s.waiting() != 0 || s.size != 0 {
		t.Errorf("an empty spool has %d rows, %d waiting bytes, %d bytes in all", s.rows, s.waiting(), s.size)
	}
}

// While the spool is being emptied, new rows keep coming. Its files must be deleted all the same.
func TestASpoolThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := openTestSpool(t, folder, smallSegments)
	add := func(n int) {
		if err := s.append([]*batch{{rows: tenRows(n)}}, false); err != nil {
			t.Fatal(err)
		}
	}
	add(0)
	add(1)
	for n := range 200 {
		add(n + 2)
		popRow(t, s, requestlog.ID(10*n+1))
		if files := segmentsIn(t, folder); len(files) > 3 || s.rows != 20 {
			t.Fatalf("with two batches of 10 rows waiting, %d rows are in %v", s.rows, files)
		}
	}
	popRow(t, s, 2001)
	popRow(t, s, 2011)
	wantSegments(t, folder, 0)
	add(0) // an emptied spool can be used again
	popRow(t, s, 1)
}

// A process is killed after a batch of a segment was written and before the segment is deleted.
func TestAKillBetweenWritingAndDeletingDuplicatesNoRow(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 3, defaultLimits)
	s := openTestSpool(t, folder, defaultLimits)
	popRow(t, s, 1)
	popRow(t, s, 11)
	s.close()
	database := &fakeDatabase{again: true, rows: numbered(20)} // written by the killed process
	r := newRecorder(t, database, withFolder(folder))
	closeRecorder(t, r)
	if want := []int{10, 10, 10}; !slices.Equal(database.batches, want) {
		t.Errorf("the batches had %v rows, want %v", database.batches, want)
	}
	if !slices.Equal(database.ids(), numbered(30)) {
		t.Errorf("written: %v", database.ids())
	}
	wantSegments(t, folder, 0)
}

func TestASegmentThatCouldNotBeDeletedIsDeletedLater(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 5, smallSegments)
	s := openTestSpool(t, folder, smallSegments)
	first := segmentsIn(t, folder)[0]
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	popRow(t, s, 1)
	if err := errors.Join(os.Remove(first), os.MkdirAll(filepath.Join(first, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	rows, err := s.first() // from the file that is open
	if err != nil || rows[0].ID != 11 || s.popFront(10) == nil {
		t.Errorf("popFront returned no error although the file cannot be deleted; read %v (%v)", rows, err)
	}
	if err := errors.Join(os.RemoveAll(first), os.WriteFile(first, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	popRow(t, s, 21)
	popRow(t, s, 31)
	wantSegments(t, folder, 1)
}

func TestAFailedAppendLeavesTheSpoolUnchanged(t *testing.T) {
	t.Parallel()
	l := smallSegments
	l.spool = 3*l.segment + segmentHeader
	folder := killedFolder(t, 3, l)
	s := openTestSpool(t, folder, l)
	rows, size, before := s.rows, s.size, segmentsIn(t, folder)
	var many []*batch
	for n := range 10 { // the first ones have room
		many = append(many, &batch{rows: tenRows(n)})
	}
	for range 2 {
		if err := s.append(many, true); err == nil {
			t.Fatal("append took more than the largest size")
		}
		if s.rows != rows || s.size != size {
			t.Errorf("the spool has %d rows in %d bytes, want %d in %d", s.rows, s.size, rows, size)
		}
		if after := segmentsIn(t, folder); !slices.Equal(after, before) {
			t.Errorf("the segments are %v, want %v", after, before)
		}
	}
	if err := s.append([]*batch{{rows: tenRows(3)}}, true); err != nil {
		t.Errorf("a batch that has room was not taken: %v", err)
	}
	for n := range 4 {
		popRow(t, s, requestlog.ID(10*n+1))
	}
	wantSegments(t, folder, 0)
}

// Rows that have no room in the spool wait in memory, and are written after those in the spool.
func TestWhenTheSpoolIsFullRowsWaitInMemory(t *testing.T) {
	t.Parallel()
	database := &fakeDatabase{away: true}
	r := newRecorder(t, database, withFolder(t.TempDir()), func(r *Recorder) { r.limits.spool = 300 })
	for id := range requestlog.ID(40) {
		r.Add(requestlog.Row{ID: id + 1})
		if id%10 == 0 {
			spooled := r.Stats().SpooledRows
			eventually(t, "the batch to be spooled or refused", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.counts.spooledRows > spooled || r.counts.spoolErr != nil
			})
		}
	}
	eventually(t, "the spool to be full", func() bool { return r.State().SpoolErr != nil })
	if s := r.Stats(); s.SpooledRows == 0 || s.SpooledRows == 40 || s.SpoolBytes > 300 {
		t.Errorf("the state is %+v", s)
	}
	database.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(database.ids(), numbered(40)) {
		t.Errorf("written: %v", database.ids())
	}
}

func TestABatchLargerThanASegmentGetsItsOwnSegment(t *testing.T) {
	t.Parallel()
	l := defaultLimits
	l.segment = 100
	folder := t.TempDir()
	s := openTestSpool(t, folder, l)
	if err := s.append([]*batch{{rows: tenRows(0)}, {rows: tenRows(1)}}, true); err != nil {
		t.Fatal(err)
	}
	wantSegments(t, folder, 2)
	popRow(t, s, 1)
	popRow(t, s, 11)
}

func TestGapsAndOtherFilesInTheFolderAreIgnored(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 6, smallSegments)
	if err := os.Remove(segmentsIn(t, folder)[1]); err != nil {
		t.Fatal(err)
	}
	const text = "content of another program"
	foreign := []string{
		"notes.txt", "1.seg", "00000000000000000002.seg.bak", "99999999999999999999.seg", "x0000000000000000001.seg",
	}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(folder, "spool", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(segmentPath(filepath.Join(folder, "spool"), 7), 0o700); err != nil {
		t.Fatal(err)
	}
	database := &fakeDatabase{away: true}
	r := newRecorder(t, database, withFolder(folder), withLimits(smallSegments))
	r.Add(requestlog.Row{ID: 61})
	eventually(t, "the new row to be spooled", func() bool { return r.Stats().SpooledRows == 41 })
	database.setAway(false)
	flushAndClose(t, r)
	if want := slices.Concat(numbered(20), numbered(61)[40:]); !slices.Equal(database.ids(), want) {
		t.Errorf("written %v, want %v", database.ids(), want)
	}
	if s := r.Stats(); s.Dropped != 0 || s.SpooledRows != 0 {
		t.Errorf("the state is %+v", s)
	}
	for _, name := range foreign {
		if content, _ := os.ReadFile(filepath.Join(folder, "spool", name)); string(content) != text {
			t.Errorf("the content of %s became %q", name, content)
		}
	}
}

func TestOnlyTheOwnerCanReadTheFilesOfTheSpool(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 1, defaultLimits)
	for name, want := range map[string]os.FileMode{
		"": os.ModeDir | 0o700, "lock": 0o600, "00000000000000000001.seg": 0o600,
	} {
		info, err := os.Stat(filepath.Join(folder, "spool", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", info.Name(), info.Mode(), want)
		}
	}
}

// If the disk cannot read a segment, reading is tried again, and no row is dropped.
func TestASegmentThatCannotBeReadIsNotLost(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 4, smallSegments)
	s := openTestSpool(t, folder, smallSegments)
	second := segmentsIn(t, folder)[1]
	if err := os.Rename(second, filepath.Join(folder, "second")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(second, 0o700); err != nil { // reading a folder fails
		t.Fatal(err)
	}
	popRow(t, s, 1)
	popRow(t, s, 11)
	if _, err := s.first(); err == nil || errors.Is(err, errCorrupt) {
		t.Errorf("first returned %v, want an error other than errCorrupt", err)
	}
	s.reader.Close()
	s.reader = nil
	if err := errors.Join(os.Remove(second), os.Rename(filepath.Join(folder, "second"), second)); err != nil {
		t.Fatal(err)
	}
	popRow(t, s, 21)
	popRow(t, s, 31)
}
