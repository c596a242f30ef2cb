package process_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// restored returns a new installation with the backup in file as its database and the pepper of this one.
func (i instance) restored(file string) instance {
	i.t.Helper()
	to := newInstance(i.t, "")
	if err := os.MkdirAll(to.Data, 0o700); err != nil {
		i.t.Fatal(err)
	}
	for from, name := range map[string]string{file: "claviger.db", filepath.Join(i.Data, "pepper"): "pepper"} {
		content, err := os.ReadFile(from)
		if err != nil {
			i.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to.Data, name), content, 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
	return to
}

func TestABackupMadeUnderLoadServesTheSameKeys(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	p := i.serve()
	s := i.setup("--email", "ada@example.com", "--project", "first")
	made, stop := p.load(s, p.signIn(s.Email, s.Password))
	defer stop()
	folder := t.TempDir()
	const backups = 3
	for n := range int64(backups) {
		eventually(t, "more keys", func() bool { return made.Load() >= 10*(n+1) || t.Failed() })
		atLeast := made.Load()
		file := filepath.Join(folder, fmt.Sprint(n))
		backup, code := i.run("backup", file)
		if code != 0 || backup.Stderr.String() != "" ||
			!strings.Contains(backup.Stdout.String(), filepath.Join(i.Data, "pepper")) {
			t.Fatalf("backup ended with %d: %s%s", code, backup.Stdout.String(), backup.Stderr.String())
		}

		copied := i.restored(file)
		db := copied.openDatabase()
		var whole string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&whole); err != nil || whole != "ok" {
			t.Errorf("backup %d: the integrity check says %q (%v), want ok", n, whole, err)
		}
		// A backup is one snapshot: every key has its version, and every row is counted.
		if keys, versions := number(t, db, "SELECT COUNT(*) FROM keys"),
			number(t, db, "SELECT COUNT(*) FROM key_versions"); keys != versions || keys < atLeast {
			t.Errorf("backup %d has %d keys and %d versions, want equal numbers of at least %d", n, keys, versions,
				atLeast)
		}
		if rows, counted := number(t, db, "SELECT COALESCE(SUM(count), 0) FROM request_chunks"),
			number(t, db, "SELECT COALESCE(SUM(requests), 0) FROM usage_minutes"); rows != counted {
			t.Errorf("backup %d has %d requests and counts %d, want equal numbers", n, rows, counted)
		}
		if audit, code := copied.run("audit", "verify"); code != 0 {
			t.Errorf("audit verify of backup %d ended with %d: %s", n, code, audit.Stderr.String())
		}
		if n == backups-1 {
			restored := copied.serve()
			if v := restored.validate(s.Project, s.Key, ""); v.Code != "valid" {
				t.Errorf("with the backup the key is %s, want valid", v.Code)
			}
			restored.signIn(s.Email, s.Password)
		}
	}
	stop()
	for name, mode := range modesIn(t, folder) {
		if name != "." && (mode != 0o600 || strings.Contains(name, ".")) {
			t.Errorf("the folder has %s with mode %v, want only backups with mode 0600", name, mode)
		}
	}
}

func TestBackupOverwritesNoFile(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	i.setup("--email", "ada@example.com", "--project", "first")
	folder := t.TempDir()
	file, linked := filepath.Join(folder, "file"), filepath.Join(folder, "link")
	held := []byte("the content before")
	if err := os.WriteFile(file, held, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, "nowhere"), linked); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "busy.tmp"), held, 0o600); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(modesIn(t, folder))
	i.refuses([]string{"backup", file}, file, "never replaces a file")
	i.refuses([]string{"backup", linked}, linked, "never replaces a file")
	i.refuses([]string{"backup", filepath.Join(folder, "busy")}, "busy.tmp", "another backup")
	i.refuses([]string{"backup", filepath.Join(folder, "nowhere", "file")}, "cannot write the backup", "nowhere")
	for _, name := range []string{"file", "busy.tmp"} {
		if content, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(content, held) {
			t.Errorf("%s is %q (%v), want %q", name, content, err, held)
		}
	}
	if after := fmt.Sprint(modesIn(t, folder)); after != before {
		t.Errorf("the folder has %s, want %s", after, before)
	}
}

func TestBackupNeedsNoPepperAndDoesNotMigrate(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	i.setup("--email", "ada@example.com", "--project", "first")
	if err := os.Remove(filepath.Join(i.Data, "pepper")); err != nil {
		t.Fatal(err)
	}
	i.forgetMigration()
	const name = "file:odd?mode=ro #1" // a file name that SQLite must not take for a URI
	before := i.dump()
	p, code := i.run("backup", name)
	if code != 0 {
		t.Fatalf("backup ended with %d: %s", code, p.Stderr.String())
	}
	if after := i.dump(); after != before {
		t.Errorf("the schema is\n%s\nwant\n%s", after, before)
	}
	if info, err := os.Stat(filepath.Join(filepath.Dir(i.Data), name)); err != nil || info.Size() == 0 {
		t.Errorf("the backup file is %v (%v), want one with content", info, err)
	}
	if _, made := modesIn(t, i.Data)["pepper"]; made {
		t.Error("backup created a pepper")
	}
}

func TestBackupIsRefusedIfThereIsNoSQLiteDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	i := newInstance(t, "")
	for _, args := range [][]string{{"backup", file}, {"audit", "verify"}} {
		i.refuses(args, "no database", "CLAVIGER_DATA")
	}
	other := i.with("CLAVIGER_DATABASE_URL=postgres://clv:s3same-open@" + freeAddr(t) + "/keys")
	message := other.refuses([]string{"backup", file}, "pg_dump")
	if strings.Contains(message, "s3same") {
		t.Errorf("the message has the password: %s", message)
	}
	i.wantNoDataFolder()
	if left := modesIn(t, filepath.Dir(file)); len(left) != 1 {
		t.Errorf("the folder has %v, want it empty", left)
	}
}
