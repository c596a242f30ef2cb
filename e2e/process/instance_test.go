// Package process_test tests the built binary as its users run it: as a process that answers over HTTP. With SOAK=1,
// tests that depend on chance repeat more often: see make soak.
package process_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// patience is the time limit of every wait. It is long because only failing tests reach it.
const patience = 30 * time.Second

var (
	buildFolder string
	program     = sync.OnceValues(build) // the path of the binary
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests mostly wait for other processes, so by default twice as many as there are cores run at once.
	flag.VisitAll(func(f *flag.Flag) {
		if f.Name == "test.parallel" && f.Value.String() == f.DefValue {
			f.Value.Set(fmt.Sprint(2 * runtime.GOMAXPROCS(0)))
		}
	})
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
	args = append(args, "github.com/claviger/claviger")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}

// raced reports whether the tests run with the race detector. Then the program is built with it, too.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// instance is an installation of the program: settings that its processes share.
type instance struct {
	t        *testing.T
	Addr     string
	Data     string // the data folder, which does not exist at first
	database string // postgres://… or the path of a SQLite file
	environ  []string
}

// newInstance returns an installation on Postgres if url is one of Postgres, otherwise on a new SQLite file.
func newInstance(t *testing.T, url string) instance {
	t.Helper()
	folder := t.TempDir()
	i := instance{t: t, Addr: freeAddr(t), Data: filepath.Join(folder, "data"), database: url}
	for _, pair := range os.Environ() { // the client of Postgres may need some of them
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

// with returns the same installation with further settings. The last value of a variable counts.
func (i instance) with(settings ...string) instance {
	i.environ = append(slices.Clip(i.environ), settings...)
	return i
}

// atAnotherAddr returns the same installation with another address to listen on.
func (i instance) atAnotherAddr() instance {
	i.Addr = freeAddr(i.t)
	return i.with("CLAVIGER_ADDR=" + i.Addr)
}

var nextPort atomic.Int32

// freeAddr returns another local address in each call. Its port is below the range from which the system chooses ports
// for connections, so that no connection takes it before the program does.
func freeAddr(t *testing.T) string {
	t.Helper()
	const first, count = 12_000, 20_000
	nextPort.CompareAndSwap(0, int32(os.Getpid()%count)) // so that two runs of the tests use different ports
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

// setupReply is what setup prints.
type setupReply struct {
	URL          string `json:"url"`
	Email        string `json:"email"`
	Password     string `json:"password"`
	Project      string `json:"project"`
	ProjectID    int64  `json:"project_id"`
	Key          string `json:"key"`
	ServiceToken string `json:"service_token"`
}

// setup runs the command setup. It must succeed and print a line with a JSON object of the seven members, and nothing
// else.
func (i instance) setup(args ...string) (s setupReply) {
	i.t.Helper()
	p, code := i.run(append([]string{"setup"}, args...)...)
	if code != 0 || p.Stderr.String() != "" {
		i.t.Fatalf("setup ended with %d: %s", code, p.Stderr.String())
	}
	text := []byte(p.Stdout.String())
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		i.t.Fatalf("setup printed %q: %v", text, err)
	}
	want := []string{"email", "key", "password", "project", "project_id", "service_token", "url"}
	if names := slices.Sorted(maps.Keys(members)); !slices.Equal(names, want) {
		i.t.Errorf("setup printed the members %q, want %q", names, want)
	}
	if !bytes.HasSuffix(text, []byte("}\n")) || bytes.Count(text, []byte("\n")) != 1 {
		i.t.Errorf("setup printed %q, want one line", text)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		i.t.Fatal(err)
	}
	return s
}

// refuses runs a command that must end with exit code 1 and print only one message, on standard error. The message,
// which refuses returns, must contain all words.
func (i instance) refuses(args []string, words ...string) (message string) {
	i.t.Helper()
	p, code := i.run(args...)
	message = p.Stderr.String()
	if code != 1 {
		i.t.Errorf("%v: the exit code is %d, want 1", args, code)
	}
	if p.Stdout.String() != "" {
		i.t.Errorf("%v: standard output is %q, want nothing", args, p.Stdout.String())
	}
	if !strings.HasPrefix(message, "claviger: ") || strings.Count(message, "claviger: ") != 1 ||
		strings.Contains(message, "level=") {
		i.t.Errorf("%v: standard error is %q, want one message", args, message)
	}
	for _, word := range words {
		if !strings.Contains(message, word) {
			i.t.Errorf("%v: the message is %q, want it to contain %q", args, message, word)
		}
	}
	return message
}

// wantNoDataFolder fails the test if the data folder exists.
func (i instance) wantNoDataFolder() {
	i.t.Helper()
	if _, err := os.Stat(i.Data); !os.IsNotExist(err) {
		i.t.Errorf("the data folder was created: %v", modesIn(i.t, i.Data))
	}
}

// modesIn returns the modes of everything in a folder by path below it. The folder itself is ".".
func modesIn(t *testing.T, folder string) map[string]fs.FileMode {
	t.Helper()
	modes := map[string]fs.FileMode{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		modes[name] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return modes
}
