package recorder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

func TestRowsOfAKilledProcessAreWrittenFirstAndInOrder(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 3, smallSegments)
	wantSegments(t, folder, 2)
	database := &fakeDatabase{failures: 2}
	r := newRecorder(t, database, withFolder(folder))
	if s := r.Stats(); s.SpooledRows != 30 || s.Waiting != 30 || s.SpoolBytes == 0 {
		t.Errorf("at the start: %+v", s)
	}
	r.Add(requestlog.Row{ID: 31})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(database.ids(), numbered(31)) {
		t.Errorf("written: %v", database.ids())
	}
	if want := []int{10, 10, 10, 1}; !slices.Equal(database.batches, want) {
		t.Errorf("the batches had %v rows, want %v, so that the database recognises them", database.batches, want)
	}
	closeRecorder(t, r)
	wantSegments(t, folder, 0)
}

func TestWhileTheDatabaseIsAwayRowsWaitInTheSpool(t *testing.T) {
	t.Parallel()
	const pending = 40_000
	database, folder := &fakeDatabase{}, t.TempDir()
	database.setAway(true)
	r := newRecorder(t, database, withFolder(folder), func(r *Recorder) {
		r.limits.pending, r.limits.segment = pending, 64<<10
	})
	const rows = 2*pending + 5 // more than fit into memory
	for _, id := range numbered(rows) {
		if id%10_000 == 0 {
			eventually(t, "rows to leave memory", func() bool {
				s := r.Stats()
				return s.Waiting-s.SpooledRows < 20_000
			})
		}
		r.Add(requestlog.Row{ID: id})
	}
	eventually(t, "all rows to be spooled", func() bool { return r.Stats().SpooledRows == rows })
	eventually(t, "the second failure", func() bool { return r.State().Behind })
	s := r.State()
	if s.Err == nil || s.Err.Error() != "the database is away" || s.SpoolErr != nil {
		t.Errorf("the errors of the state are %v and %v", s.Err, s.SpoolErr)
	}
	if s.Waiting != rows || s.SpoolBytes == 0 || s.Dropped != 0 {
		t.Errorf("the state is %+v", s)
	}
	if n := len(segmentsIn(t, folder)); n < 3 {
		t.Errorf("the spool has %d segments", n)
	}
	database.setAway(false)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(database.ids(), numbered(rows)) {
		t.Errorf("%d rows were written, want %d, in order", len(database.ids()), rows)
	}
	stats := r.Stats()
	if r.State().Behind || stats.Waiting != 0 || stats.SpooledRows != 0 || stats.SpoolBytes != 0 || stats.Lag != 0 {
		t.Errorf("afterwards the state is %+v, %+v", r.State(), stats)
	}
	closeRecorder(t, r)
	wantSegments(t, folder, 0)
}

func TestASlowDatabaseDoesNotKeepRowsInMemory(t *testing.T) {
	t.Parallel()
	database, folder := &fakeDatabase{entered: make(chan struct{}, 1000), hold: make(chan struct{})}, t.TempDir()
	r := newRecorder(t, database, withFolder(folder))
	r.Add(requestlog.Row{ID: 1})
	<-database.entered // writing hangs from now on
	r.Add(requestlog.Row{ID: 2})
	eventually(t, "both rows to be spooled", func() bool { return r.Stats().SpooledRows == 2 })
	if s := r.State(); s.Behind {
		t.Errorf("the state of a slow database is %+v, want the zero state", s)
	}

	// A process that starts now would find both.
	if s := openTestSpool(t, withSegment(t, contentOf(t, folder)), defaultLimits); s.rows != 2 {
		t.Errorf("the segment has %d rows, want 2", s.rows)
	}

	close(database.hold)
	closeRecorder(t, r)
	if !slices.Equal(database.ids(), numbered(2)) {
		t.Errorf("written: %v", database.ids())
	}
}

func TestCloseLeavesRowsThatTheDatabaseDoesNotTakeInTheSpool(t *testing.T) {
	t.Parallel()
	away, folder := &fakeDatabase{}, t.TempDir()
	away.setAway(true)
	r := newRecorder(t, away, withFolder(folder))
	for _, id := range numbered(100) {
		r.Add(requestlog.Row{ID: id})
	}
	closeRecorder(t, r)
	back := &fakeDatabase{}
	r = newRecorder(t, back, withFolder(folder))
	closeRecorder(t, r)
	if !slices.Equal(back.ids(), numbered(100)) {
		t.Errorf("written after the restart: %v", back.ids())
	}
}

func TestCloseDoesNotWaitForADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	database, folder := &fakeDatabase{entered: make(chan struct{}, 10), hold: make(chan struct{})}, t.TempDir()
	defer close(database.hold)
	r := newRecorder(t, database, withFolder(folder), func(r *Recorder) { r.limits.closeTime /= 20 })
	r.Add(requestlog.Row{ID: 1})
	<-database.entered
	r.Add(requestlog.Row{ID: 2})
	closeRecorder(t, r)
	if s := openTestSpool(t, folder, defaultLimits); s.rows != 2 {
		t.Errorf("%d rows are left for the next start, want 2", s.rows)
	}
}

func TestEachProcessInAFolderHasItsOwnSpool(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	sinks := [3]*fakeDatabase{{}, {}, {}}
	for i, database := range sinks {
		database.setAway(true)
		r := newRecorder(t, database, withFolder(folder))
		r.Add(requestlog.Row{ID: requestlog.ID(i + 1)})
		defer closeRecorder(t, r)
		eventually(t, "the row to be spooled", func() bool { return r.Stats().SpooledRows == 1 })
	}
	for i, database := range sinks {
		database.setAway(false)
		eventually(t, "the row to be written", func() bool { return len(database.ids()) > 0 })
		if got := database.ids(); !slices.Equal(got, []requestlog.ID{requestlog.ID(i + 1)}) {
			t.Errorf("process %d wrote %v", i+1, got)
		}
	}
}

func TestAProcessTakesOverTheSpoolsOfEndedProcesses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var spools []*spool
	for i := range 3 {
		s := openTestSpool(t, folder, defaultLimits)
		if err := s.append([]*batch{{rows: []requestlog.Row{{ID: requestlog.ID(i + 1)}}}}, true); err != nil {
			t.Fatal(err)
		}
		spools = append(spools, s)
	}
	spools[0].close() // the first and the last process have ended; the second goes on
	spools[2].close()
	database := &fakeDatabase{}
	r := newRecorder(t, database, withFolder(folder))
	closeRecorder(t, r)
	if got := database.ids(); fmt.Sprint(got) != fmt.Sprint([]requestlog.ID{1, 3}) {
		t.Errorf("written: %v", got)
	}
	if rows, err := spools[1].first(); err != nil || rows[0].ID != 2 {
		t.Errorf("the spool of the running process has %v (%v), want row 2", rows, err)
	}
}

// If a spool cannot be opened because of the disk, rows wait in memory until it can be.
func TestASpoolThatCannotBeOpenedDoesNotStopTheStart(t *testing.T) {
	t.Parallel()
	database, path := &fakeDatabase{away: true}, filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t, database, withFolder(path)) // a folder below a file
	r.Add(requestlog.Row{ID: 1})
	eventually(t, "an error of the spool", func() bool { return r.State().SpoolErr != nil })
	database.setAway(false)
	flushAndClose(t, r)
	if !slices.Equal(database.ids(), numbered(1)) {
		t.Errorf("written: %v", database.ids())
	}
}

func TestASpoolOfAnotherFormatStopsTheStartAndIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"spool":                          "clvspl2\n\x10\x00\x00\x00\x00\x00\x00\x00", // of an earlier version, empty
		"spool-2":                        "clvspl1\nrows of then",
		"spool/00000000000000000001.seg": "clvseg2\nrows of a later version",
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Options{Folder: folder})
		if !errors.Is(err, ErrForeignSpool) {
			t.Fatalf("%s: New returned %v, want ErrForeignSpool", name, err)
		}
		if want := "open spool: " + path + ": " + ErrForeignSpool.Error(); err.Error() != want {
			t.Errorf("the error is\n%s\nwant\n%s", err, want)
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("the content of %s became %q", name, now)
		}
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		openTestSpool(t, folder, defaultLimits) // the lock was released
	}
}
