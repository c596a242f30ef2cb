package gate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

func spoolIn(folder string) func(*RecorderOptions) {
	return func(o *RecorderOptions) { o.Folder = folder }
}

func inSync(o *RecorderOptions) { o.Durability = DurabilitySync }

// eventually asks again and again until holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// crashed is a folder as a process leaves it that is killed while the database takes nothing: so many batches of 10 rows.
func crashed(t *testing.T, batches int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	s, _, err := openSpool(folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for n := range batches {
		b := &batch{}
		for i := range 10 {
			b.rows = append(b.rows, requestlog.Row{ID: requestlog.ID(10*n + i + 1), Code: requestlog.CodeValid, Path: "/v1"})
		}
		if err := s.append([]*batch{b}, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// withSpool is a folder with a spool of that content.
func withSpool(t *testing.T, content []byte) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "spool"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func readSpool(t *testing.T, folder string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func closeRecorder(t *testing.T, r *Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestWhatAKilledProcessLeftIsWrittenFirstAndInOrder(t *testing.T) {
	folder := crashed(t, 3)
	sink := &sink{refuse: 2}
	r := newRecorder(t, sink, spoolIn(folder))
	if s := r.Stats(); s.SpooledRows != 30 || s.Waiting != 30 || s.SpoolBytes == 0 {
		t.Errorf("at the start: %+v", s)
	}
	r.Add(requestlog.Row{ID: 31})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.ids(), numbered(31)) {
		t.Errorf("written: %v", sink.ids())
	}
	if want := []int{10, 10, 10, 1}; !slices.Equal(sink.batches, want) {
		t.Errorf("the batches had %v rows, not %v: the database cannot tell one that comes again", sink.batches, want)
	}
	closeRecorder(t, r)
	wantSpoolSize(t, folder, spoolHeader)
}

func wantSpoolSize(t *testing.T, folder string, want int64) {
	t.Helper()
	info, err := os.Stat(filepath.Join(folder, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != want {
		t.Errorf("the spool has %d bytes, not %d", info.Size(), want)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the spool has mode %v", info.Mode())
	}
}

func TestATornEndOfTheSpoolIsCutOffAndTheRestIsWritten(t *testing.T) {
	whole := readSpool(t, crashed(t, 3))
	two := readSpool(t, crashed(t, 2))
	changed := slices.Clone(whole)
	changed[bytes.LastIndex(changed, []byte("/v1"))+2] = '2' // a path that could be one
	for name, content := range map[string][]byte{
		"in the length": whole[:len(two)+2], "in the rows": whole[:len(whole)-1], "another path": changed,
		"zeros": append(slices.Clone(two), make([]byte, 4096)...), "noise": append(slices.Clone(two), "noise that is no batch at all"...),
	} {
		folder := withSpool(t, content)
		sink := &sink{}
		r := newRecorder(t, sink, spoolIn(folder))
		r.Add(requestlog.Row{ID: 21})
		closeRecorder(t, r)
		if s := r.Stats(); !slices.Equal(sink.ids(), numbered(21)) || s.Dropped != 0 {
			t.Errorf("%s: written %v, dropped %d", name, sink.ids(), s.Dropped)
		}
		wantSpoolSize(t, folder, spoolHeader)
	}
}

func TestAFileThatIsNoSpoolIsLeftAlone(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "spool")
	const text = "what somebody else keeps here"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := &sink{}
	r := newRecorder(t, sink, spoolIn(folder))
	r.Add(requestlog.Row{ID: 1})
	closeRecorder(t, r)
	if content, _ := os.ReadFile(path); string(content) != text || !slices.Equal(sink.ids(), numbered(1)) {
		t.Errorf("the file is %q, written was %v", content, sink.ids())
	}
}

func TestARestartAfterSomeOfTheSpoolWasWrittenGoesOnWhereItStopped(t *testing.T) {
	folder := crashed(t, 3)
	s, _, err := openSpool(folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.first(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.pop(), s.close()); err != nil {
		t.Fatal(err)
	}
	sink := &sink{}
	r := newRecorder(t, sink, spoolIn(folder))
	closeRecorder(t, r)
	if !slices.Equal(sink.ids(), numbered(30)[10:]) {
		t.Errorf("written: %v", sink.ids())
	}
}

func TestWhileTheDatabaseIsAwayRowsWaitInTheSpoolAndNotInMemory(t *testing.T) {
	sink, folder := &sink{}, t.TempDir()
	sink.setAway(true)
	r := newRecorder(t, sink, spoolIn(folder))
	const rows = 2*maxPending + 5 // more than memory takes
	for _, id := range numbered(rows) {
		if id%10_000 == 0 {
			eventually(t, "rows to leave memory", func() bool { s := r.Stats(); return s.Waiting-s.SpooledRows < 20_000 })
		}
		r.Add(requestlog.Row{ID: id})
	}
	eventually(t, "all rows to be spooled", func() bool { return r.Stats().SpooledRows == rows })
	if s := r.State(); !s.Behind || s.Reason != "the database does not answer" || s.Waiting != rows || s.SpoolBytes == 0 || s.Dropped != 0 {
		t.Errorf("the state is %+v", s)
	}
	sink.setAway(false)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.ids(), numbered(rows)) {
		t.Errorf("%d rows written of %d, or in another order", len(sink.ids()), rows)
	}
	if s, stats := r.State(), r.Stats(); s.Behind || stats.Waiting != 0 || stats.SpooledRows != 0 || stats.SpoolBytes != 0 || stats.Lag != 0 {
		t.Errorf("afterwards the state is %+v, %+v", s, stats)
	}
	closeRecorder(t, r)
	wantSpoolSize(t, folder, spoolHeader)
}

func TestASlowDatabaseDoesNotKeepRowsInMemory(t *testing.T) {
	sink, folder := &sink{entered: make(chan struct{}, 1000), hold: make(chan struct{})}, t.TempDir()
	r := newRecorder(t, sink, spoolIn(folder))
	r.Add(requestlog.Row{ID: 1})
	<-sink.entered // and it is stuck
	r.Add(requestlog.Row{ID: 2})
	eventually(t, "both rows to be spooled", func() bool { return r.Stats().SpooledRows == 2 })
	if s := r.State(); s.Behind {
		t.Errorf("slow is not failed: %+v", s)
	}

	// Another process would find both now.
	content := readSpool(t, folder)
	elsewhere := withSpool(t, content)
	if _, rows, err := openSpool(elsewhere, slog.New(slog.DiscardHandler)); err != nil || rows != 2 {
		t.Errorf("the file has %d rows (%v)", rows, err)
	}

	close(sink.hold)
	closeRecorder(t, r)
	if !slices.Equal(sink.ids(), numbered(2)) {
		t.Errorf("written: %v", sink.ids())
	}
}

func TestCloseLeavesInTheSpoolWhatTheDatabaseDoesNotTake(t *testing.T) {
	away, folder := &sink{}, t.TempDir()
	away.setAway(true)
	r := newRecorder(t, away, spoolIn(folder))
	for _, id := range numbered(100) {
		r.Add(requestlog.Row{ID: id})
	}
	closeRecorder(t, r)
	back := &sink{}
	r = newRecorder(t, back, spoolIn(folder))
	closeRecorder(t, r)
	if !slices.Equal(back.ids(), numbered(100)) {
		t.Errorf("written after the restart: %v", back.ids())
	}
}

func TestCloseDoesNotWaitForADatabaseThatHangs(t *testing.T) {
	sink, folder := &sink{entered: make(chan struct{}, 10), hold: make(chan struct{})}, t.TempDir()
	defer close(sink.hold)
	r := newRecorder(t, sink, spoolIn(folder))
	r.Add(requestlog.Row{ID: 1})
	<-sink.entered
	r.Add(requestlog.Row{ID: 2})
	closeRecorder(t, r)
	if _, rows, err := openSpool(folder, slog.New(slog.DiscardHandler)); err != nil || rows != 2 {
		t.Errorf("%d rows are left for the next start (%v)", rows, err)
	}
}

func TestProcessesInOneFolderHaveSpoolsOfTheirOwn(t *testing.T) {
	folder := t.TempDir()
	sinks := [3]*sink{{}, {}, {}}
	for i, sink := range sinks {
		sink.setAway(true)
		r := newRecorder(t, sink, spoolIn(folder))
		r.Add(requestlog.Row{ID: requestlog.ID(i + 1)})
		defer closeRecorder(t, r)
		eventually(t, "the row to be spooled", func() bool { return r.Stats().SpooledRows == 1 })
	}
	for i, sink := range sinks {
		sink.setAway(false)
		eventually(t, "the row to be written", func() bool { return len(sink.ids()) > 0 })
		if got := sink.ids(); !slices.Equal(got, []requestlog.ID{requestlog.ID(i + 1)}) {
			t.Errorf("process %d wrote %v", i+1, got)
		}
	}
}

func TestAProcessTakesOverTheSpoolsOfThoseThatAreGone(t *testing.T) {
	folder, none := t.TempDir(), slog.New(slog.DiscardHandler)
	var spools []*spool
	for i := range 3 {
		s, _, err := openSpool(folder, none)
		if err == nil {
			err = s.append([]*batch{{rows: []requestlog.Row{{ID: requestlog.ID(i + 1)}}}}, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		spools = append(spools, s)
	}
	spools[0].close() // the first and the last process are killed; the second goes on
	spools[2].close()
	sink := &sink{}
	r := newRecorder(t, sink, spoolIn(folder))
	closeRecorder(t, r)
	if got := sink.ids(); fmt.Sprint(got) != fmt.Sprint([]requestlog.ID{1, 3}) {
		t.Errorf("written: %v", got)
	}
	if rows, _, err := spools[1].first(); err != nil || rows[0].ID != 2 {
		t.Errorf("the spool of the process that runs has %v (%v)", rows, err)
	}
	spools[1].close()
}

// beginsOf is where the frames of a spool begin.
func beginsOf(t *testing.T, content []byte) (begins []int64) {
	t.Helper()
	for at := int64(spoolHeader); at < int64(len(content)); {
		begins = append(begins, at)
		at += frameHeader + int64(binary.LittleEndian.Uint32(content[at+4:]))
	}
	return begins
}

// Damage is found while the program runs, in the second batch of four.
func TestADamagedBatchIsCountedAndThoseBehindItAreWritten(t *testing.T) {
	for place, lost := range map[int64]int{0: 10, 4: 10, 8: 10, 12: 10, 16: 10, frameHeader + 5: 10, -1: 20} { // -1: with the end of the first
		folder := crashed(t, 4)
		sink := &sink{away: true}
		r := newRecorder(t, sink, spoolIn(folder))
		eventually(t, "an attempt", func() bool { return r.Stats().Retries > 0 }) // the first batch is in memory
		content := readSpool(t, folder)
		at := beginsOf(t, content)[2] + place
		file, err := os.OpenFile(filepath.Join(folder, "spool"), os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteAt([]byte{content[at] ^ 0xff, content[at+1] ^ 0xff}, at)
			file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		sink.setAway(false)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeRecorder(t, r)
		if got := sink.ids(); !slices.Equal(got, slices.Concat(numbered(30)[:30-lost], numbered(40)[30:])) {
			t.Errorf("byte %d: written %v", place, got)
		}
		if s := r.Stats(); s.Dropped != uint64(lost) || s.Waiting != 0 || s.SpooledRows != 0 || s.Stored != uint64(40-lost) {
			t.Errorf("byte %d: %+v", place, s)
		}
	}
}

// What cannot be read may be longer than the part that is searched at once, and the next batch may begin anywhere in one.
func TestABatchBehindALongDamageIsFound(t *testing.T) {
	whole := readSpool(t, crashed(t, 2))
	begins := beginsOf(t, whole)
	for _, length := range []int{frameHeader, searchPart, searchPart + 1, searchPart + 3, searchPart + 4, searchPart + frameHeader, 3*searchPart + 7} {
		noise := bytes.Repeat([]byte(frameMark+"is what no batch follows here"), length/32+1)[:length]
		content := slices.Concat(whole[:begins[1]], noise, whole[begins[1]:])
		s := openFrames(t, content)
		if n, err := s.count(s.start); n != 21 || err != nil || s.end != int64(len(content)) {
			t.Errorf("with %d bytes between two batches of 10 rows there are %d rows (%v)", length, n, err)
		}
	}
}

// A spool that is found damaged at the start loses the batches there, and no other.
func TestADamagedSpoolLosesWhatIsDamaged(t *testing.T) {
	whole := readSpool(t, crashed(t, 4))
	begins := beginsOf(t, whole)
	const length, rows = 5, frameHeader + 5
	for name, c := range map[string]struct {
		written int // so many batches
		damaged int // this one, at the byte
		at      int64
		want    []requestlog.ID
	}{
		"the length of one that was written":   {2, 0, length, numbered(40)[20:]},
		"the length of the last that was":      {2, 1, length, numbered(40)[20:]},
		"the length of the first that waits":   {1, 1, length, numbered(40)[20:]},
		"the length of one that waits":         {1, 2, length, slices.Concat(numbered(20)[10:], numbered(40)[30:])},
		"the length of the last":               {1, 3, length, numbered(30)[10:]},
		"among those that wait":                {1, 2, rows, slices.Concat(numbered(20)[10:], numbered(40)[30:])},
		"the first that waits":                 {1, 1, rows, numbered(40)[20:]},
		"the last":                             {1, 3, rows, numbered(30)[10:]},
		"among those that were written":        {2, 0, rows, numbered(40)[20:]},
		"the last of those that were":          {2, 1, rows, numbered(40)[20:]},
		"among them, where none waits":         {4, 1, rows, nil},
		"the last of them, where none waits":   {4, 3, length, nil},
		"the first, where none was written":    {0, 0, rows, numbered(40)[10:]},
		"over the border of two that wait":     {0, 2, -1, slices.Concat(numbered(10), numbered(40)[30:])},
		"over that of those that were written": {2, 2, -1, numbered(40)[30:]},
	} {
		content := slices.Clone(whole)
		start := int64(len(whole))
		if c.written < len(begins) {
			start = begins[c.written]
		}
		binary.LittleEndian.PutUint64(content[8:], uint64(start))
		place := begins[c.damaged] + c.at
		content[place] ^= 0xff
		content[place+1] ^= 0xff
		folder := withSpool(t, content)
		sink := &sink{}
		r := newRecorder(t, sink, spoolIn(folder))
		closeRecorder(t, r)
		if !slices.Equal(sink.ids(), c.want) {
			t.Errorf("%s: written %v, want %v", name, sink.ids(), c.want)
		}
		wantSpoolSize(t, folder, spoolHeader)
	}
}

// Whatever happens to the file, a start ends, what is not damaged is written, and nothing is said to wait afterwards.
func TestRandomDamageLosesWhatItHits(t *testing.T) {
	const batches = 8
	whole := readSpool(t, crashed(t, batches))
	begins := append(beginsOf(t, whole), int64(len(whole)))
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		content, hit := slices.Clone(whole), [batches]bool{}
		first := random.IntN(batches + 1) // that waits
		binary.LittleEndian.PutUint64(content[8:], uint64(begins[first]))
		for range 1 + random.IntN(4) {
			at := spoolHeader + random.IntN(len(content)-spoolHeader)
			for range 1 + random.IntN(200) {
				if at < len(content) {
					content[at] ^= byte(1 + random.IntN(255))
					hit[sort.Search(batches, func(i int) bool { return int64(at) < begins[i+1] })] = true
					at++
				}
			}
		}
		if random.IntN(4) == 0 {
			content = content[:spoolHeader+random.IntN(len(content)-spoolHeader)]
		}
		folder := withSpool(t, content)
		sink := &sink{}
		r := newRecorder(t, sink, spoolIn(folder))
		closeRecorder(t, r)
		if s := r.Stats(); s.Waiting != 0 || s.SpooledRows != 0 || s.Stored != uint64(len(sink.ids())) {
			t.Errorf("round %d: %+v", round, s)
		}
		for i := first; i < batches; i++ {
			if !hit[i] && begins[i+1] <= int64(len(content)) && !slices.Contains(sink.ids(), requestlog.ID(10*i+1)) {
				t.Errorf("round %d: batch %d of those from %d on was not written; hit were %v", round, i, first, hit)
			}
		}
	}
}

// What waits is counted at the start and behind damage, in a file that may have gigabytes: by the frames alone.
func TestRowsAreNotReadToCountThem(t *testing.T) {
	const batches = 500
	content := readSpool(t, crashed(t, batches))
	for i, begin := range beginsOf(t, content) {
		if i%2 == 1 {
			content[begin+frameHeader+5] ^= 0xff
		}
	}
	reads := &countedReads{content: content}
	for at := int64(spoolHeader); at < int64(len(content)); {
		f, next, err := nextFrame(reads, at, int64(len(content)))
		if err != nil || f.rows != 10 {
			t.Fatalf("%d rows at %d (%v)", f.rows, at, err)
		}
		at = next
	}
	if reads.bytes > batches*frameHeader {
		t.Errorf("%d bytes were read to count %d batches", reads.bytes, batches)
	}
}

type countedReads struct {
	content []byte
	bytes   int
}

func (r *countedReads) ReadAt(p []byte, at int64) (int, error) {
	r.bytes += len(p)
	return bytes.NewReader(r.content).ReadAt(p, at)
}

func TestASpoolOfAnOlderProgramIsUsedWhereNothingWaitsInIt(t *testing.T) {
	for rows, want := range map[string]int{"": 1, "rows of then": 0} {
		content := append(binary.LittleEndian.AppendUint64([]byte(oldSpoolMark), spoolHeader), rows...)
		folder := withSpool(t, content)
		sink := &sink{away: true}
		r := newRecorder(t, sink, spoolIn(folder))
		r.Add(requestlog.Row{ID: 1})
		eventually(t, "an attempt", func() bool { return r.Stats().Retries > 1 })
		if s := r.Stats(); s.SpooledRows != want {
			t.Errorf("with %q in the old one %d rows are in the spool, want %d", rows, s.SpooledRows, want)
		}
		sink.setAway(false)
		closeRecorder(t, r)
		if now := readSpool(t, folder); want == 0 && !bytes.Equal(now, content) {
			t.Errorf("the old one is now %q", now)
		}
	}
}

// A crash before the end is cut off must not bring back batches that were written.
func TestWhatStandsBehindBatchesThatWereMovedToTheFrontDoesNotCount(t *testing.T) {
	s := openFrames(t, nil)
	rows := make([]requestlog.Row, 100)
	for n := range requestlog.ID(10) {
		for i := range rows {
			rows[i] = requestlog.Row{ID: 100*n + requestlog.ID(i), Path: "/v1"}
		}
		if err := s.append([]*batch{{rows: rows}}, false); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		if _, _, err := s.first(); err != nil {
			t.Fatal(err)
		}
		if err := s.pop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.copyToFront(s.end - s.start); err != nil {
		t.Fatal(err)
	}
	s.start = spoolHeader
	if err := s.writeStart(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	after := openFrames(t, content)
	if n, err := after.count(after.start); n != 200 || err != nil {
		t.Errorf("%d rows wait, not 200 (%v)", n, err)
	}
	if found, _, err := after.first(); err != nil || found[0].ID != 800 {
		t.Errorf("the first that waits is %d (%v)", found[0].ID, err)
	}
}

// The start that the file names may be anything after a failure of the machine.
func TestAStartThatIsNoneIsNotBelieved(t *testing.T) {
	whole := readSpool(t, crashed(t, 2))
	for _, start := range []uint64{0, 1, spoolHeader + 1, uint64(len(whole)) + 1, 1<<63 - 16, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		content := slices.Clone(whole)
		binary.LittleEndian.PutUint64(content[8:], start)
		if n, err := openFrames(t, content).count(spoolHeader); n != 20 || err != nil {
			t.Errorf("from %d on %d rows wait, not 20 (%v)", start, n, err)
		}
	}
}

// openFrames is a spool with that content.
func openFrames(t *testing.T, content []byte) *spool {
	t.Helper()
	folder := withSpool(t, content)
	s, _, err := openSpool(folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// While a database that was away takes what waits, more keeps coming: the file must not grow without end.
func TestASpoolThatIsNeverEmptyGivesRoomBack(t *testing.T) {
	s := openFrames(t, nil)
	rows := make([]requestlog.Row, 2000)
	next := requestlog.ID(1)
	add := func() {
		for i := range rows {
			rows[i] = requestlog.Row{ID: next, Path: fmt.Sprintf("/%0*d", requestlog.MaxPath-1, next)}
			next++
		}
		if err := s.append([]*batch{{rows: rows}}, false); err != nil {
			t.Fatal(err)
		}
	}
	take := func(want requestlog.ID) {
		got, _, err := s.first()
		if err != nil || got[0].ID != want || len(got) != len(rows) {
			t.Fatalf("%d rows from %v on, want %d (%v)", len(got), got[0].ID, want, err)
		}
		if err := s.pop(); err != nil {
			t.Fatal(err)
		}
	}
	add()
	add()
	largest, taken := int64(0), requestlog.ID(1)
	for range 100 {
		add()
		take(taken)
		taken += requestlog.ID(len(rows))
		info, err := s.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 2*keptSize {
			t.Fatalf("with two batches waiting the file has %d bytes", info.Size())
		}
		if info.Size() < largest { // room was given back: what a start would find
			content, err := os.ReadFile(s.file.Name())
			if err != nil {
				t.Fatal(err)
			}
			if found, _, err := openFrames(t, content).first(); err != nil || found[0].ID != taken {
				t.Fatalf("a start finds rows from %v on, want %d (%v)", found[0].ID, taken, err)
			}
		}
		largest = max(largest, info.Size())
	}
	if largest < keptSize {
		t.Fatalf("the file never grew beyond %d bytes", largest)
	}
	for !s.empty() {
		take(taken)
		taken += requestlog.ID(len(rows))
	}
	if taken != next {
		t.Errorf("%d rows of %d came back", taken-1, next-1)
	}
}
