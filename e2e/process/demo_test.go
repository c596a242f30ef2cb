package process_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// newDemo returns an instance whose database cannot be reached, so that a demo that used it would fail, and the folder
// for the demo's temporary files.
func newDemo(t *testing.T) (i instance, temp string) {
	t.Helper()
	if raced() {
		t.Skip("filling a month takes a minute under the race detector")
	}
	i, temp = newInstance(t, ""), t.TempDir()
	return i.with("TMPDIR="+temp, "CLAVIGER_DATABASE_URL=postgres://"+freeAddr(t)+"/keys",
		"CLAVIGER_PEPPER="+strings.Repeat("p", 32)), temp
}

// wantEmpty fails the test if the demo left temporary files.
func wantEmpty(t *testing.T, temp string) {
	t.Helper()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v (%v), want nothing", left, err)
	}
}

func TestDemoShowsThreeProjectsAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	i, temp := newDemo(t)
	p := i.start("demo")
	p.waitFor("Sign in as")
	said := regexp.MustCompile(`Sign in as (\S+) with the password "(.+)"\.`).FindStringSubmatch(p.Stdout.String())
	if said == nil {
		t.Fatalf("the demo printed %q, want an address and a password", p.Stdout.String())
	}
	page := p.get("/projects", "Cookie", p.signIn(said[1], said[2]))
	for _, slug := range []string{"storefront", "billing", "weather"} {
		if !strings.Contains(page.Body, `href="/projects/`+slug+`"`) {
			t.Errorf("the page of projects (%d) has no link to %s", page.Status, slug)
		}
	}
	if folders, _ := filepath.Glob(filepath.Join(temp, "claviger-demo-*")); len(folders) != 1 {
		t.Errorf("the demo has the temporary folders %v, want one", folders)
	}
	i.wantNoDataFolder()

	p.stop()
	wantEmpty(t, temp)
}

func TestDemoThatIsInterruptedOrRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	i, temp := newDemo(t)
	p := i.start("demo")
	p.waitFor("Making three projects")
	p.signal(syscall.SIGTERM)
	p.wait()
	wantEmpty(t, temp)

	taken := i.atAnotherAddr()
	newInstance(t, "").with("CLAVIGER_ADDR=" + taken.Addr).serve()
	taken.refuses([]string{"demo"}, "the address "+taken.Addr+" is in use")
	wantEmpty(t, temp)
}
