package process_test

import (
	"io/fs"
	"os"
	"regexp"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestServeOnAnEmptyFolderCreatesItsFilesAndPrintsTheAddress(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		p := i.serve()

		line := regexp.MustCompile(`^Claviger \S+ is ready: open http://` + regexp.QuoteMeta(i.Addr) + "\n$")
		if !line.MatchString(p.Stdout.String()) {
			t.Errorf("standard output is %q, want a match of %s", p.Stdout.String(), line)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			if r := p.get(path); r.Status != 200 {
				t.Errorf("%s answered %d, want 200: %s", path, r.Status, r.Body)
			}
		}
		if r := p.get("/"); r.Header.Get("Location") != "/signup" {
			t.Errorf("the first visitor is redirected to %q, want /signup", r.Header.Get("Location"))
		}

		want := []string{"cookie.key", "pepper"}
		if !models.IsPostgresURL(url) {
			want = append(want, "claviger.db", "claviger.db-shm", "claviger.db-wal", "lock")
		}
		modes := modesIn(t, i.Data)
		for _, name := range want {
			if _, ok := modes[name]; !ok {
				t.Errorf("there is no file %s", name)
			}
		}
		for name, mode := range modes {
			wantMode := fs.FileMode(0o600)
			if mode.IsDir() {
				wantMode = 0o700 | fs.ModeDir
			}
			if mode != wantMode {
				t.Errorf("%s has mode %v, want %v", name, mode, wantMode)
			}
		}
	})
}

func TestARestartKeepsKeysAndSessions(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")
		p := i.serve()
		cookie := p.signIn(s.Email, s.Password)
		p.stop()

		p = i.serve()
		if v := p.validate(s.Project, s.Key, ""); v.Code != "valid" {
			t.Errorf("after a restart the key is %s, want valid", v.Code)
		}
		if r := p.get("/projects", "Cookie", cookie); r.Status != 200 {
			t.Errorf("after a restart a signed-in browser gets %d, want 200", r.Status)
		}
	})
}

func TestAnInterruptEndsAnIdleServerCleanly(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	p := i.serve()
	p.signal(os.Interrupt)
	if code := p.wait(); code != 0 {
		t.Errorf("the exit code is %d, want 0", code)
	}
	if _, left := modesIn(t, i.Data)["claviger.db-wal"]; left {
		t.Error("the database was not closed: its write-ahead log still exists")
	}
}

// A script may start the server in the background and run setup at once.
func TestProcessesThatStartAtTheSameTimeShareAnEmptyInstance(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		server := i.start()
		var others []*process
		for range 3 {
			others = append(others, i.start("migrate"))
		}
		s := i.setup("--email", "ada@example.com", "--project", "first")
		for _, p := range others {
			if code := p.wait(); code != 0 {
				t.Errorf("migrate ended with %d, want 0: %s", code, p.Stderr.String())
			}
		}
		server.waitFor("is ready")
		if v := server.validate(s.Project, s.Key, ""); v.Code != "valid" {
			t.Errorf("the key is %s, want valid", v.Code)
		}
	})
}
