package recorder

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// fakeDatabase stores the rows that are written. Tests can delay writes and make them fail.
type fakeDatabase struct {
	mu       sync.Mutex
	rows     []requestlog.ID
	batches  []int         // how many rows each had
	failures int           // number of attempts that fail
	away     bool          // all attempts fail
	again    bool          // a batch that is already stored is not stored again
	entered  chan struct{} // if hold is set, receives a value for each attempt
	hold     chan struct{} // nil, or each attempt waits for a value
}

func (d *fakeDatabase) write(_ context.Context, rows []requestlog.Row) error {
	if d.hold != nil {
		d.entered <- struct{}{}
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures > 0 || d.away {
		d.failures--
		return errors.New("the database is away")
	}
	d.batches = append(d.batches, len(rows))
	if i := slices.Index(d.rows, rows[0].ID); d.again && i >= 0 { // already stored
		return nil
	}
	for _, r := range rows {
		d.rows = append(d.rows, r.ID)
	}
	return nil
}

func (d *fakeDatabase) setAway(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

func (d *fakeDatabase) ids() []requestlog.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows)
}

// newRecorder starts a recorder that writes to the database. Each change may set its options and limits.
func newRecorder(t *testing.T, d *fakeDatabase, change ...func(*Recorder)) *Recorder {
	t.Helper()
	r := Recorder{options: Options{Write: d.write, Log: slog.New(slog.DiscardHandler)}, limits: defaultLimits}
	for _, c := range change {
		c(&r)
	}
	started, err := start(r.options, r.limits)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

func syncMode(r *Recorder) { r.options.Durability = DurabilitySync }

func withFolder(folder string) func(*Recorder) {
	return func(r *Recorder) { r.options.Folder = folder }
}

func closeRecorder(t *testing.T, r *Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

// flushAndClose waits until all rows are in the database first, because Close does not wait long if it fails.
func flushAndClose(t *testing.T, r *Recorder) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	closeRecorder(t, r)
}

// eventually calls holds until it returns true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// numbered returns the IDs 1 to n.
func numbered(n int) []requestlog.ID {
	ids := make([]requestlog.ID, n)
	for i := range ids {
		ids[i] = requestlog.ID(i + 1)
	}
	return ids
}

// openTestSpool opens the spool in the folder. It is closed at the end of the test.
func openTestSpool(t *testing.T, folder string, l limits) *spool {
	t.Helper()
	s, err := openSpool(folder, l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// smallSegments makes each segment hold two of the batches of killedFolder.
var smallSegments = func() limits {
	l := defaultLimits
	l.segment = segmentHeader + 2*frameHeader + int64(2*len(requestlog.AppendRows(nil, tenRows(0)))) + 20
	return l
}()

func withLimits(l limits) func(*Recorder) { return func(r *Recorder) { r.limits = l } }

// tenRows returns the rows of the n-th batch of killedFolder.
func tenRows(n int) (rows []requestlog.Row) {
	for i := range 10 {
		rows = append(rows, requestlog.Row{ID: requestlog.ID(10*n + i + 1), Code: requestlog.CodeValid, Path: "/v1"})
	}
	return rows
}

// killedFolder returns a folder as a process leaves it that is killed while the database is away. Its spool has
// batches of 10 rows.
func killedFolder(t *testing.T, batches int, l limits) (folder string) {
	t.Helper()
	folder = t.TempDir()
	s, err := openSpool(folder, l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for n := range batches {
		if err := s.append([]*batch{{rows: tenRows(n)}}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

// segmentsIn returns the paths of the segments of the folder's first spool, oldest first.
func segmentsIn(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "spool", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func wantSegments(t *testing.T, folder string, want int) {
	t.Helper()
	if paths := segmentsIn(t, folder); len(paths) != want {
		t.Errorf("the spool has %d segments, want %d: %v", len(paths), want, paths)
	}
}

// contentOf returns the content of the folder's only segment.
func contentOf(t *testing.T, folder string) []byte {
	t.Helper()
	wantSegments(t, folder, 1)
	content, err := os.ReadFile(segmentsIn(t, folder)[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// withSegment returns a folder whose spool has one segment with that content.
func withSegment(t *testing.T, content []byte) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segmentPath(filepath.Join(folder, "spool"), 1), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// frames returns the positions of the frames of a segment.
func frames(content []byte) (begins []int64) {
	for at := segmentHeader; at < int64(len(content)); {
		begins = append(begins, at)
		at += frameHeader + int64(binary.LittleEndian.Uint32(content[at+4:]))
	}
	return begins
}

// corruptFile changes two bytes of a file.
func corruptFile(t *testing.T, path string, at int64) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt([]byte{content[at] ^ 0xff, content[at+1] ^ 0xff}, at)
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
