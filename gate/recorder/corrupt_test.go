package recorder

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

func TestATornEndOfTheSpoolIsCutOffAndTheRestIsWritten(t *testing.T) {
	t.Parallel()
	whole := contentOf(t, killedFolder(t, 3, defaultLimits))
	two := contentOf(t, killedFolder(t, 2, defaultLimits))
	changed := slices.Clone(whole)
	changed[bytes.LastIndex(changed, []byte("/v1"))+2] = '2' // still a valid path
	for name, content := range map[string][]byte{
		"in the length": whole[:len(two)+2], "in the rows": whole[:len(whole)-1], "another path": changed,
		"zeros": append(slices.Clone(two), make([]byte, 4096)...),
		"noise": append(slices.Clone(two), "noise that is no batch at all"...),
	} {
		folder := withSegment(t, content)
		database := &fakeDatabase{}
		r := newRecorder(t, database, withFolder(folder))
		r.Add(requestlog.Row{ID: 21})
		closeRecorder(t, r)
		if s := r.Stats(); !slices.Equal(database.ids(), numbered(21)) || s.Dropped != 0 {
			t.Errorf("%s: written %v, dropped %d", name, database.ids(), s.Dropped)
		}
		wantSegments(t, folder, 0)
	}
}

// A process may be killed, or the machine fail, right after a segment was made.
func TestASegmentWithoutABatchIsDeleted(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "clvs", segmentMark, string(make([]byte, 4096)), segmentMark + "noise"} {
		folder := withSegment(t, []byte(content))
		if s := openTestSpool(t, folder, defaultLimits); !s.empty() {
			t.Errorf("%q: %d rows wait", content, s.rows)
		}
		wantSegments(t, folder, 0)
	}
}

func TestACorruptMarkLosesNoBatch(t *testing.T) {
	t.Parallel()
	content := contentOf(t, killedFolder(t, 2, defaultLimits))
	content[3] ^= 0xff
	database := &fakeDatabase{}
	r := newRecorder(t, database, withFolder(withSegment(t, content)))
	closeRecorder(t, r)
	if !slices.Equal(database.ids(), numbered(20)) {
		t.Errorf("written: %v", database.ids())
	}
}

// The second of three segments of two batches each becomes corrupt while the program runs.
func TestRowsOfACorruptBatchAreCountedAndLaterOnesWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		batch int   // of the segment
		at    int64 // byte of the batch's frame; -1 is the last byte of the one before
		from  int   // rows before the first lost one
		lost  int
	}{
		{0, 0, 20, 10}, {0, 4, 20, 10}, {0, 8, 20, 10}, {0, 12, 20, 10}, {0, 16, 20, 10}, {0, frameHeader + 5, 20, 10},
		{1, 0, 30, 10}, {1, 4, 30, 10}, {1, frameHeader + 5, 30, 10}, {1, -1, 20, 20},
	} {
		folder := killedFolder(t, 6, smallSegments)
		database := &fakeDatabase{away: true}
		r := newRecorder(t, database, withFolder(folder), withLimits(smallSegments))
		eventually(t, "an attempt", func() bool { return r.Stats().Retries > 0 }) // so the first batch is in memory
		path := segmentsIn(t, folder)[1]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		corruptFile(t, path, frames(content)[c.batch]+c.at)
		database.setAway(false)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeRecorder(t, r)
		want := slices.Concat(numbered(60)[:c.from], numbered(60)[c.from+c.lost:])
		if !slices.Equal(database.ids(), want) {
			t.Errorf("batch %d, byte %d: written %v, want %v", c.batch, c.at, database.ids(), want)
		}
		s := r.Stats()
		if s.Dropped != uint64(c.lost) || s.Stored != uint64(60-c.lost) || s.Waiting != 0 || s.SpooledRows != 0 {
			t.Errorf("batch %d, byte %d: %+v", c.batch, c.at, s)
		}
		wantSegments(t, folder, 0)
	}
}

// A whole segment may be lost: its content, or the file.
func TestRowsOfALostSegmentAreCountedAndLaterOnesWritten(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string, size int) error{
		"overwritten": func(path string, size int) error {
			return os.WriteFile(path, bytes.Repeat([]byte{0xa5}, size), 0o600)
		},
		"truncated": func(path string, _ int) error { return os.Truncate(path, 0) },
		"deleted":   func(path string, _ int) error { return os.Remove(path) },
	} {
		folder := killedFolder(t, 6, smallSegments)
		database := &fakeDatabase{away: true}
		r := newRecorder(t, database, withFolder(folder), withLimits(smallSegments))
		eventually(t, "an attempt", func() bool { return r.Stats().Retries > 0 })
		path := segmentsIn(t, folder)[1]
		info, err := os.Stat(path)
		if err == nil {
			err = spoil(path, int(info.Size()))
		}
		if err != nil {
			t.Fatal(err)
		}
		database.setAway(false)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeRecorder(t, r)
		if want := slices.Concat(numbered(20), numbered(60)[40:]); !slices.Equal(database.ids(), want) {
			t.Errorf("%s: written %v", name, database.ids())
		}
		if s := r.Stats(); s.Dropped != 20 || s.Waiting != 0 || s.SpooledRows != 0 || s.Stored != 40 {
			t.Errorf("%s: %+v", name, s)
		}
		wantSegments(t, folder, 0)
	}
}

// The spool is corrupt when the program starts.
func TestOfACorruptSpoolOnlyCorruptBatchesAreLost(t *testing.T) {
	t.Parallel()
	whole := contentOf(t, killedFolder(t, 4, defaultLimits))
	begins := frames(whole)
	const length, rows = 5, frameHeader + 5
	for name, c := range map[string]struct {
		corrupt int   // batch
		at      int64 // byte of the batch's frame
		lost    []int // batches
		dropped uint64
	}{
		"the length of the first":     {0, length, []int{0}, 1}, // its number of rows is not known
		"the length of one":           {2, length, []int{2}, 1},
		"the rows of the first":       {0, rows, []int{0}, 10},
		"the rows of one":             {2, rows, []int{2}, 10},
		"across two batches":          {2, -1, []int{1, 2}, 11},
		"the length of the last":      {3, length, []int{3}, 0}, // as if torn
		"the rows of the last":        {3, rows, []int{3}, 0},
		"across the last two batches": {3, -1, []int{2, 3}, 10},
	} {
		folder := withSegment(t, whole)
		corruptFile(t, segmentsIn(t, folder)[0], begins[c.corrupt]+c.at)
		var want []requestlog.ID
		for n := range 4 {
			if !slices.Contains(c.lost, n) {
				want = append(want, numbered(40)[10*n:10*n+10]...)
			}
		}
		database := &fakeDatabase{}
		r := newRecorder(t, database, withFolder(folder))
		closeRecorder(t, r)
		if s := r.Stats(); !slices.Equal(database.ids(), want) || s.Dropped != c.dropped {
			t.Errorf("%s: written %v, want %v; %d dropped, want %d", name, database.ids(), want, s.Dropped, c.dropped)
		}
		wantSegments(t, folder, 0)
	}
}

// Only the last segment can be torn. At the end of another one, corrupt rows are counted as lost.
func TestACorruptEndOfAnEarlierSegmentIsCounted(t *testing.T) {
	t.Parallel()
	folder := killedFolder(t, 4, smallSegments)
	path := segmentsIn(t, folder)[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	corruptFile(t, path, int64(len(content))-10)
	database := &fakeDatabase{}
	r := newRecorder(t, database, withFolder(folder))
	closeRecorder(t, r)
	want := slices.Concat(numbered(10), numbered(40)[20:])
	if s := r.Stats(); s.Dropped != 10 || !slices.Equal(database.ids(), want) {
		t.Errorf("%d dropped, want 10; written %v, want %v", s.Dropped, database.ids(), want)
	}
}

// The corrupt bytes may be longer than the part that is searched at once, and the next batch may begin anywhere.
func TestABatchAfterManyCorruptBytesIsFound(t *testing.T) {
	t.Parallel()
	whole := contentOf(t, killedFolder(t, 2, defaultLimits))
	begins := frames(whole)
	for _, length := range []int{
		frameHeader, searchSize, searchSize + 1, searchSize + 3, searchSize + 4, searchSize + frameHeader,
		3*searchSize + 7,
	} {
		noise := bytes.Repeat([]byte(frameMark+"is what no batch follows here"), length/32+1)[:length]
		content := slices.Concat(whole[:begins[1]], noise, whole[begins[1]:])
		s := openTestSpool(t, withSegment(t, content), defaultLimits)
		if s.rows != 21 || s.size != int64(len(content)) {
			t.Errorf("%d corrupt bytes between batches of 10 rows: %d rows in %d bytes, want 21 in %d",
				length, s.rows, s.size, len(content))
		}
	}
}

// However a segment is corrupted, the recorder starts, writes all intact batches, and no row is left.
func TestRandomCorruptionLosesOnlyTheBatchesItHits(t *testing.T) {
	t.Parallel()
	const batches = 8
	whole := contentOf(t, killedFolder(t, batches, defaultLimits))
	begins := append(frames(whole), int64(len(whole)))
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		content, hit := slices.Clone(whole), [batches]bool{}
		for range 1 + random.IntN(4) {
			at := int(segmentHeader) + random.IntN(len(content)-int(segmentHeader))
			for range 1 + random.IntN(200) {
				if at < len(content) {
					content[at] ^= byte(1 + random.IntN(255))
					hit[sort.Search(batches, func(i int) bool { return int64(at) < begins[i+1] })] = true
					at++
				}
			}
		}
		if random.IntN(4) == 0 {
			content = content[:int(segmentHeader)+random.IntN(len(content)-int(segmentHeader))]
		}
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel() // most of its time is waiting for the disk
			database := &fakeDatabase{}
			r := newRecorder(t, database, withFolder(withSegment(t, content)))
			closeRecorder(t, r)
			if s := r.Stats(); s.Waiting != 0 || s.SpooledRows != 0 || s.Stored != uint64(len(database.ids())) {
				t.Errorf("the state is %+v", s)
			}
			for i := range batches {
				written := slices.Contains(database.ids(), requestlog.ID(10*i+1))
				if !hit[i] && begins[i+1] <= int64(len(content)) && !written {
					t.Errorf("intact batch %d was not written; corrupt are %v", i, hit)
				}
			}
		})
	}
}

// A spool may have gigabytes, so only the headers are read.
func TestRowsAreCountedWithoutReadingThem(t *testing.T) {
	t.Parallel()
	const batches = 500
	content := contentOf(t, killedFolder(t, batches, defaultLimits))
	for i, begin := range frames(content) {
		if i%2 == 1 {
			content[begin+frameHeader+5] ^= 0xff
		}
	}
	reads := &countedReads{content: content}
	if rows, err := countRows(reads, segmentHeader, int64(len(content))); rows != 10*batches || err != nil {
		t.Fatalf("counted %d rows (%v), want 5000", rows, err)
	}
	if reads.bytes > batches*frameHeader {
		t.Errorf("%d bytes were read to count %d batches, want only the headers", reads.bytes, batches)
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
