// Package main_test meets the program as its users do: the built binary as a process of its own, asked over HTTP.
package main_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// patience bounds every wait. It is long, because it only ends tests that fail.
const patience = 30 * time.Second

var (
	buildFolder string
	program     = sync.OnceValues(build) // the path of the binary
)

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "claviger-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildFolder = folder
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func build() (string, error) {
	path := filepath.Join(buildFolder, "claviger")
	args := []string{"build", "-o", path}
	if raced() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program cannot be built: %w\n%s", err, out)
	}
	return path, nil
}

// raced tells whether the tests run with the race detector; the program does then, too.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// instance is an installation: what its processes have in common.
type instance struct {
	t        *testing.T
	Addr     string
	Data     string // a folder that nobody has made yet
	database string // postgres://… or the path of a SQLite file
	environ  []string
}

// newInstance is one on SQLite, or in the database at url where that is Postgres.
func newInstance(t *testing.T, url string) instance {
	t.Helper()
	folder := t.TempDir()
	i := instance{t: t, Addr: freeAddr(t), Data: filepath.Join(folder, "data"), database: url}
	for _, pair := range os.Environ() { // Postgres may take settings from there
		if !strings.HasPrefix(pair, "CLAVIGER_") && !strings.HasPrefix(pair, "TMPDIR=") {
			i.environ = append(i.environ, pair)
		}
	}
	i = i.with("CLAVIGER_ADDR="+i.Addr, "CLAVIGER_DATA="+i.Data, "TMPDIR="+folder)
	if models.IsPostgresURL(url) {
		return i.with("CLAVIGER_DATABASE_URL=" + url)
	}
	i.database = filepath.Join(i.Data, "claviger.db")
	return i
}

// with is the same installation with further settings; later ones win.
func (i instance) with(settings ...string) instance {
	i.environ = append(slices.Clip(i.environ), settings...)
	return i
}

// atAnotherAddr is the same installation where another process of it listens.
func (i instance) atAnotherAddr() instance {
	i.Addr = freeAddr(i.t)
	return i.with("CLAVIGER_ADDR=" + i.Addr)
}

var nextPort atomic.Int32

// freeAddr gives each caller another port. They lie below those that the system hands out by itself, so that no
// connection of another test takes one before the program does.
func freeAddr(t *testing.T) string {
	t.Helper()
	const first, count = 12_000, 20_000
	nextPort.CompareAndSwap(0, int32(os.Getpid()%count)) // two runs at once do not walk side by side
	for range count {
		addr := fmt.Sprintf("127.0.0.1:%d", first+nextPort.Add(1)%count)
		if listener, err := net.Listen("tcp", addr); err == nil {
			listener.Close()
			return addr
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// eachRequest gives all rows of the log, read as a new process would.
func (i instance) eachRequest(yield func(*requestlog.Row)) {
	i.t.Helper()
	store, err := app.ConnectStore(i.t.Context(), app.StoreOptions{URL: i.database})
	if err != nil {
		i.t.Fatal(err)
	}
	defer store.Close()
	projects, _, err := store.ProjectUses(i.t.Context(), models.ProjectFilter{Limit: 100})
	if err != nil {
		i.t.Fatal(err)
	}
	for _, p := range projects {
		filter := models.LogFilter{Limit: 1000}
		for more := true; more; {
			page, err := store.RequestLogs(i.t.Context(), p.ID, filter)
			if err != nil {
				i.t.Fatal(err)
			}
			for n := range page.Entries {
				yield(&page.Entries[n].Row)
				filter.Before = page.Entries[n].ID
			}
			more = page.HasOlder
		}
	}
}

// openDatabase looks at the database past the program.
func (i instance) openDatabase() *sql.DB {
	i.t.Helper()
	driver, name := "sqlite", i.database
	if models.IsPostgresURL(i.database) {
		driver = "pgx"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() })
	return db
}

// number asks the database for one.
func number(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is the program running.
type process struct {
	t              *testing.T
	URL            string
	Stdout, Stderr output
	command        *exec.Cmd
	ended          chan struct{}
}

// start runs the program; the test's end kills it.
func (i instance) start(args ...string) *process {
	i.t.Helper()
	path, err := program()
	if err != nil {
		i.t.Fatal(err)
	}
	p := &process{t: i.t, URL: "http://" + i.Addr, command: exec.Command(path, args...), ended: make(chan struct{})}
	p.command.Env, p.command.Dir = i.environ, filepath.Dir(i.Data)
	p.command.Stdout, p.command.Stderr = &p.Stdout, &p.Stderr
	if err := p.command.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		p.command.Wait() // its error is read from the ProcessState
		close(p.ended)
	}()
	i.t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
		if i.t.Failed() {
			i.t.Logf("claviger %s wrote:\n%s%s", strings.Join(args, " "), p.Stdout.String(), p.Stderr.String())
		}
	})
	return p
}

// run is start and wait, for commands that end by themselves.
func (i instance) run(args ...string) (p *process, code int) {
	i.t.Helper()
	p = i.start(args...)
	return p, p.wait()
}

// serve starts the server and returns when it answers.
func (i instance) serve() *process {
	i.t.Helper()
	p := i.start()
	p.waitFor("is ready: open ")
	return p
}

// waitFor returns when the process has written text to its standard output.
func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%q", text), func() bool {
		if strings.Contains(p.Stdout.String(), text) {
			return true
		}
		if !p.running() {
			p.t.Fatalf("the process ended (%s) before it wrote %q", p.command.ProcessState, text)
		}
		return false
	})
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// wait returns the exit code; -1 where a signal ended the process.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the process has not ended after %s", patience)
	}
	return p.command.ProcessState.ExitCode()
}

// stop asks the process to end, as a service manager does, and fails the test where it does not end well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("after SIGTERM the exit code is %d, not 0", code)
	}
}

// eventually asks again and again until holds, or the patience ends.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s in vain", patience, what)
		}
	}
}
