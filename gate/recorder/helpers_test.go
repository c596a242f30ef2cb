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

// sink takes rows as the database would, once each, and can refuse.
type sink struct {
	mu      sync.Mutex
	rows    []requestlog.ID
	batches []int // how many rows each had
	refuse  int   // so many attempts fail
	away    bool  // all do
	again   bool  // a batch that is there already is not stored again
	entered chan struct{}
	hold    chan struct{}
}

func (s *sink) write(_ context.Context, rows []requestlog.Row) error {
	if s.hold != nil {
		s.entered <- struct{}{}
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 || s.away {
		s.refuse--
		return errors.New("the database is away")
	}
	s.batches = append(s.batches, len(rows))
	if i := slices.Index(s.rows, rows[0].ID); s.again && i >= 0 { // the batch is there already
		return nil
	}
	for _, r := range rows {
		s.rows = append(s.rows, r.ID)
	}
	return nil
}

func (s *sink) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *sink) ids() []requestlog.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

// newRecorder makes one over the sink. Each change may set its options and limits before it starts.
func newRecorder(t *testing.T, s *sink, change ...func(*Recorder)) *Recorder {
	t.Helper()
	r := Recorder{options: Options{Write: s.write, Log: slog.New(slog.DiscardHandler)}, limits: defaultLimits}
	for _, c := range change {
		c(&r)
	}
	started, err := start(r.options, r.limits)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

func inSync(r *Recorder) { r.options.Durability = DurabilitySync }

func spoolIn(folder string) func(*Recorder) {
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

// flushAndClose waits for the database to take all rows first: Close does not wait long for one that fails.
func flushAndClose(t *testing.T, r *Recorder) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	closeRecorder(t, r)
}

// eventually asks again and again until holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func numbered(n int) []requestlog.ID {
	ids := make([]requestlog.ID, n)
	for i := range ids {
		ids[i] = requestlog.ID(i + 1)
	}
	return ids
}

// openIn opens the spool of the folder with the limits, and closes it with the test.
func openIn(t *testing.T, folder string, l limits) *spool {
	t.Helper()
	s, err := openSpool(folder, l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

// smallSegments lets each segment have two of the batches of killed.
var smallSegments = func() limits {
	l := defaultLimits
	l.segment = segmentHeader + 2*frameHeader + int64(2*len(requestlog.AppendRows(nil, tenRows(0)))) + 20
	return l
}()

func withLimits(l limits) func(*Recorder) { return func(r *Recorder) { r.limits = l } }

// tenRows are the rows of the n-th batch of killed.
func tenRows(n int) (rows []requestlog.Row) {
	for i := range 10 {
		rows = append(rows, requestlog.Row{ID: requestlog.ID(10*n + i + 1), Code: requestlog.CodeValid, Path: "/v1"})
	}
	return rows
}

// killed is a folder as a process leaves it that is killed while the database takes nothing: so many batches of 10
// rows.
func killed(t *testing.T, batches int, l limits) (folder string) {
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

// segmentsIn are the paths of the segments of the folder's first spool, oldest first.
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
		t.Errorf("the spool has %d segments, not %d: %v", len(paths), want, paths)
	}
}

// contentOf is what the only segment of the folder has.
func contentOf(t *testing.T, folder string) []byte {
	t.Helper()
	wantSegments(t, folder, 1)
	content, err := os.ReadFile(segmentsIn(t, folder)[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// withSegment is a folder whose spool has one segment of that content.
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

// frames are the places where the frames of a segment begin.
func frames(content []byte) (begins []int64) {
	for at := segmentHeader; at < int64(len(content)); {
		begins = append(begins, at)
		at += frameHeader + int64(binary.LittleEndian.Uint32(content[at+4:]))
	}
	return begins
}

// damage changes two bytes of a file.
func damage(t *testing.T, path string, at int64) {
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
