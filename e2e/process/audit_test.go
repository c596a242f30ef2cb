package process_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

func TestAuditVerifyBesideAServerUnderLoadFindsNoDamage(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		p := i.serve()
		s := i.setup("--email", "ada@example.com", "--project", "first")
		checkpoint := filepath.Join(t.TempDir(), "checkpoint")
		made, stop := p.load(s, p.signIn(s.Email, s.Password))
		defer stop()
		// Each checkpoint must differ from the one before. It may already have the keys that the hands were making when
		// the verification ended, so wait for more keys than that.
		const more = 2 + hands
		var before []byte
		for range 5 {
			enough := made.Load() + more
			eventually(t, "more keys", func() bool { return made.Load() >= enough || t.Failed() })
			audit, code := i.run("audit", "verify", "--checkpoint", checkpoint)
			if code != 0 || audit.Stderr.String() != "" ||
				!regexp.MustCompile(`^Verified \d+ rows in 2 chains\.\n$`).MatchString(audit.Stdout.String()) {
				t.Fatalf("audit verify gave %d: %s%s", code, audit.Stdout.String(), audit.Stderr.String())
			}
			after, err := os.ReadFile(checkpoint)
			if err != nil || bytes.Equal(after, before) {
				t.Errorf("the checkpoint is %s (%v), want another than before", after, err)
			}
			before = after
		}
		stop()
		for name, mode := range modesIn(t, filepath.Dir(checkpoint)) {
			if name != "." && (name != "checkpoint" || mode != 0o600) {
				t.Errorf("the folder has %s with mode %v, want only checkpoint with mode 0600", name, mode)
			}
		}
		rows := number(t, i.openDatabase(), "SELECT COUNT(*) FROM actions")
		audit, _ := i.run("audit", "verify")
		if want := fmt.Sprintf("Verified %d rows in 2 chains.\n", rows); audit.Stdout.String() != want ||
			rows < made.Load() {
			t.Errorf("audit verify printed %q, want %q for at least %d keys", audit.Stdout.String(), want, made.Load())
		}
	})
}

func TestAuditVerifyNamesTheProjectAndRowOfDamage(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first") // rows: project, default key, service token
		i.serve()
		file := filepath.Join(t.TempDir(), "checkpoint")
		if p, code := i.run("audit", "verify", "--checkpoint", file); code != 0 ||
			p.Stdout.String() != "Verified 4 rows in 2 chains.\n" {
			t.Fatalf("audit verify gave %d: %s%s", code, p.Stdout.String(), p.Stderr.String())
		}
		checkpoint, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		db := i.openDatabase()
		exec := func(format string, args ...any) {
			t.Helper()
			if _, err := db.Exec(fmt.Sprintf(format, args...)); err != nil {
				t.Fatal(err)
			}
		}
		project := fmt.Sprintf("project %d (first)", s.ProjectID)

		// If the last rows are deleted and the recorded end is changed to match, only a checkpoint shows it.
		exec("DELETE FROM actions WHERE chain = %d AND seq = 3", s.ProjectID)
		exec(`
			UPDATE action_chains
			SET seq = 2, hash = (SELECT hash FROM actions WHERE chain = %d AND seq = 2)
			WHERE chain = %[1]d`, s.ProjectID)
		if p, code := i.run("audit", "verify"); code != 0 {
			t.Errorf("without a checkpoint the exit code is %d, want 0: %s", code, p.Stderr.String())
		}
		i.refuses([]string{"audit", "verify", "--checkpoint", file}, project, "row 3", "checkpoint")

		exec("UPDATE actions SET actor_name = 'eve@example.com' WHERE chain = %d AND seq = 2", s.ProjectID)
		i.refuses([]string{"audit", "verify"}, project, "row 2", "changed")
		i.refuses([]string{"audit", "verify", "--checkpoint", file}, project, "row 2")
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, checkpoint) {
			t.Errorf("after damage was found the checkpoint is %s (%v), want it unchanged", after, err)
		}
		exec("DELETE FROM actions WHERE chain = 0")
		i.refuses([]string{"audit", "verify"}, "the instance", "row 1")
	})
}

func TestAuditVerifyRefusesWhatItCannotVerify(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		i.setup("--email", "ada@example.com", "--project", "first")
		folder := t.TempDir()
		for name, content := range map[string]string{
			"empty": "",
			"other": "[1]",
			"none":  `{"chains":[]}`,
			"cut":   `{"chains":[{"chain":0,"seq"`,
		} {
			file := filepath.Join(folder, name)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			i.refuses([]string{"audit", "verify", "--checkpoint", file}, file, "is not a checkpoint file")
			if after, err := os.ReadFile(file); err != nil || string(after) != content {
				t.Errorf("%s is %q (%v), want it unchanged", name, after, err)
			}
		}
		i.refuses([]string{"audit", "verify", "--checkpoint", filepath.Join(folder, "nowhere", "file")},
			"the audit log is intact", "nowhere")
		other := i.with("CLAVIGER_PEPPER=" + strings.Repeat("another pepper ", 3))
		other.refuses([]string{"audit", "verify"}, "another pepper")

		// Verifying must not migrate, because the running server may be an older version.
		i.forgetMigration()
		before := i.dump()
		i.refuses([]string{"audit", "verify"}, "older than this program", "claviger migrate")
		if after := i.dump(); after != before {
			t.Errorf("the schema is\n%s\nwant\n%s", after, before)
		}
	})
}
