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
		// Of the keys that are made after a verification, those that hands had under way may be in its checkpoint.
		const more = 2 + hands
		var before []byte
		for range 5 {
			enough := made.Load() + more
			eventually(t, "more keys", func() bool { return made.Load() >= enough || t.Failed() })
			audit, code := i.run("audit", "verify", "--checkpoint", checkpoint)
			if code != 0 || audit.Stderr.String() != "" ||
				!regexp.MustCompile(`^\d+ rows in 2 chains fit\.\n$`).MatchString(audit.Stdout.String()) {
				t.Fatalf("audit verify gave %d: %s%s", code, audit.Stdout.String(), audit.Stderr.String())
			}
			after, err := os.ReadFile(checkpoint)
			if err != nil || bytes.Equal(after, before) {
				t.Errorf("the checkpoint was not written anew: %s (%v)", after, err)
			}
			before = after
		}
		stop()
		for name, mode := range modesIn(t, filepath.Dir(checkpoint)) {
			if name != "." && (name != "checkpoint" || mode != 0o600) {
				t.Errorf("%s has mode %v", name, mode)
			}
		}
		rows := number(t, i.openDatabase(), "SELECT COUNT(*) FROM actions")
		audit, _ := i.run("audit", "verify")
		if want := fmt.Sprintf("%d rows in 2 chains fit.\n", rows); audit.Stdout.String() != want ||
			rows < made.Load() {
			t.Errorf("audit verify says %q, want %q", audit.Stdout.String(), want)
		}
	})
}

func TestAuditVerifyNamesProjectAndRowOfDamage(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first") // rows: project, default key, service token
		i.serve()
		file := filepath.Join(t.TempDir(), "checkpoint")
		if p, code := i.run("audit", "verify", "--checkpoint", file); code != 0 ||
			p.Stdout.String() != "4 rows in 2 chains fit.\n" {
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

		// A tail that is cut off with the record of the end is seen by a checkpoint alone.
		exec("DELETE FROM actions WHERE chain = %d AND seq = 3", s.ProjectID)
		exec("UPDATE action_chains SET seq = 2, hash = (SELECT hash FROM actions WHERE chain = %d AND seq = 2) "+
			"WHERE chain = %[1]d", s.ProjectID)
		if p, code := i.run("audit", "verify"); code != 0 {
			t.Errorf("without a checkpoint: %s", p.Stderr.String())
		}
		i.refuses([]string{"audit", "verify", "--checkpoint", file}, project, "row 3", "checkpoint")

		exec("UPDATE actions SET actor_name = 'eve@example.com' WHERE chain = %d AND seq = 2", s.ProjectID)
		i.refuses([]string{"audit", "verify"}, project, "row 2", "changed")
		i.refuses([]string{"audit", "verify", "--checkpoint", file}, project, "row 2")
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, checkpoint) {
			t.Errorf("the checkpoint is another one after damage was found: %s (%v)", after, err)
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
		for name, content := range map[string]string{"empty": "", "other": "[1]", "none": `{"chains":[]}`,
			"cut": `{"chains":[{"chain":0,"seq"`} {
			file := filepath.Join(folder, name)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			i.refuses([]string{"audit", "verify", "--checkpoint", file}, file, "is no checkpoint")
			if after, err := os.ReadFile(file); err != nil || string(after) != content {
				t.Errorf("%s was changed to %q (%v)", name, after, err)
			}
		}
		i.refuses([]string{"audit", "verify", "--checkpoint", filepath.Join(folder, "nowhere", "file")},
			"the chains fit", "nowhere")
		other := i.with("CLAVIGER_PEPPER=" + strings.Repeat("another pepper ", 3))
		other.refuses([]string{"audit", "verify"}, "another pepper")

		// Verifying must not migrate: the server beside it may be an older one.
		i.forgetMigration()
		before := i.dump()
		i.refuses([]string{"audit", "verify"}, "older than this program", "claviger migrate")
		if after := i.dump(); after != before {
			t.Errorf("the schema was\n%s\nand is now\n%s", before, after)
		}
	})
}
