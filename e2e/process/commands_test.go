package process_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

func TestHealthcheckSucceedsOnlyWhileAServerIsReady(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	i.refuses([]string{"healthcheck"}, i.Addr)
	i.wantNoDataFolder()
	p := i.serve()
	// If the address is that of all interfaces, the check connects to this machine.
	for _, addr := range []string{i.Addr, "0.0.0.0" + i.Addr[len("127.0.0.1"):]} {
		if check, code := i.with("CLAVIGER_ADDR=" + addr).run("healthcheck"); code != 0 ||
			check.Stdout.String()+check.Stderr.String() != "" {
			t.Errorf("with CLAVIGER_ADDR=%s healthcheck ended with %d, want 0 and no output: %s%s", addr, code,
				check.Stdout.String(), check.Stderr.String())
		}
	}
	p.stop()
	i.refuses([]string{"healthcheck"}, i.Addr)
}

func TestVersionPrintsOnlyTheVersion(t *testing.T) {
	t.Parallel()
	// It must work with wrong settings, too.
	p, code := newInstance(t, "").with("CLAVIGER_TYPO=1").run("version")
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(\+[0-9a-f]{12}(-modified)?)?\n$`).MatchString(p.Stdout.String()) ||
		code != 0 {
		t.Errorf("version ended with %d and printed %q, want 0 and a version", code, p.Stdout.String())
	}
}

func TestMigrateCanBeRepeated(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		schema := ""
		for n := range 2 {
			p, code := i.run("migrate")
			if code != 0 || p.Stdout.String() != "The database is up to date.\n" {
				t.Errorf("migrate ended with %d: %q, %q", code, p.Stdout.String(), p.Stderr.String())
			}
			if n == 0 {
				schema = i.dump()
			}
		}
		if after := i.dump(); schema == "" || after != schema {
			t.Errorf("the schema is\n%s\nwant\n%s", after, schema)
		}
		i.with("CLAVIGER_SIGNUP=open").serve() // fails the test if the server does not accept the database
	})
}

// If a command deleted the write-ahead log, the server would go on writing to a file that nobody else can open.
func TestCommandsDoNotDeleteTheWriteAheadLogOfAnIdleServer(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	s := i.setup("--email", "ada@example.com", "--project", "first")
	p := i.serve()
	before, err := os.Stat(i.database + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"audit", "verify"},
		{"backup", filepath.Join(t.TempDir(), "copy")},
		{"migrate"},
		{"setup", "--email", s.Email, "--project", "second"},
	} {
		if command, code := i.run(args...); code != 0 {
			t.Errorf("%v ended with %d: %s", args, code, command.Stderr.String())
		}
		if after, err := os.Stat(i.database + "-wal"); err != nil || !os.SameFile(before, after) {
			t.Fatalf("after %v the write-ahead log is another file, or none (%v)", args, err)
		}
	}
	p.stop()
}

func TestHelpListsEveryCommand(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "").with("CLAVIGER_TYPO=1")
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		p, code := i.run(args...)
		if code != 0 || p.Stderr.String() != "" {
			t.Errorf("%v ended with %d: %s", args, code, p.Stderr.String())
		}
		for _, command := range []string{
			`\[serve\]`, "setup", "demo", "migrate", "backup FILE", "audit verify", "healthcheck", "version",
		} {
			if !regexp.MustCompile(`(?m)^  claviger ` + command + `  +\S`).MatchString(p.Stdout.String()) {
				t.Errorf("%v does not list %s: %s", args, command, p.Stdout.String())
			}
		}
	}
	if p, code := newInstance(t, "").run("setup", "--help"); code != 0 || p.Stderr.String() != "" {
		t.Errorf("setup --help ended with %d: %s", code, p.Stderr.String())
	}
}
