package process_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// While the request log cannot be written, /readyz and the pages of a project say so. When it can be written again,
// they no longer do. That needs no restart, and nothing is lost or damaged.
func TestADiskThatCannotBeWrittenIsReportedAndRecoveredFrom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reason string
		prepare      func(t *testing.T, folder string)
		stop         func(t *testing.T, i instance) (repair func())
	}{
		{"full disk", "the disk is full", mountDisk, fillDisk},
		{"read-only folder", "the data folder cannot be written", func(*testing.T, string) {}, forbidWriting},
	} {
		for _, durability := range []string{"batch", "sync"} {
			t.Run(test.name+", "+durability, func(t *testing.T) {
				i := newInstance(t, "").with("CLAVIGER_LOG_DURABILITY=" + durability)
				test.prepare(t, i.Data)
				s := i.setup("--email", "ada@example.com", "--project", "first")
				p := i.serve()
				cookie := p.signIn(s.Email, s.Password)
				var answers []answer
				validate := func(want string) {
					t.Helper()
					v := p.validate(s.Project, s.Key, "")
					if v.Code != want {
						t.Errorf("the key is %s, want %s", v.Code, want)
					}
					if v.Code == "valid" {
						answers = append(answers, answer{id: v.RequestID})
					}
				}
				validate("valid")

				repair := test.stop(t, i)
				if durability == "batch" {
					validate("valid")
				} else { // the last block of the spool may have room for some rows
					eventually(t, "the answer unavailable", func() bool {
						v := p.validate(s.Project, s.Key, "")
						if v.Code == "valid" {
							answers = append(answers, answer{id: v.RequestID})
						}
						return v.Status == http.StatusServiceUnavailable && v.Code == "unavailable"
					})
				}
				told := regexp.MustCompile(`^\{"status":"the request log cannot be written: (the disk reports ` +
					`errors, and )?` + test.reason + `"\}\s$`)
				// If the database cannot be read either, /readyz may say that first.
				eventually(t, "/readyz to report the reason", func() bool {
					r := p.get("/readyz")
					return r.Status == http.StatusServiceUnavailable && told.MatchString(r.Body)
				})
				const banner = "The request log cannot be written at the moment: "
				page := func() reply { return p.get("/projects/first/logs", "Cookie", cookie) }
				// SQLite may be unable to read if it cannot write. Then the error page has the banner.
				r := page()
				if !strings.Contains(r.Body, banner) || !strings.Contains(r.Body, test.reason) {
					t.Errorf("the page has no banner with the reason: %d %s", r.Status, r.Body)
				}
				if r.Status != http.StatusOK && test.reason == "the disk is full" {
					t.Errorf("the page has status %d, want 200", r.Status)
				}
				change := ask(t, http.MethodPost, p.URL+"/v1/projects/first/keys", `{"name":"late","type":"test"}`,
					"Authorization", "Bearer "+s.ServiceToken, "Content-Type", "application/json")
				if change.Status != http.StatusServiceUnavailable || change.Header.Get("Retry-After") == "" {
					t.Errorf("a change has status %d and Retry-After %q, want 503 and a time: %s", change.Status,
						change.Header.Get("Retry-After"), change.Body)
				}

				repair()
				eventually(t, "/readyz to answer 200", func() bool { return p.get("/readyz").Status == http.StatusOK })
				if r := page(); r.Status != http.StatusOK || strings.Contains(r.Body, banner) {
					t.Errorf("the page still has the banner: %d %s", r.Status, r.Body)
				}
				validate("valid")
				p.stop()
				i.wantEachOnce(s.ProjectID, answers)
				var check string
				err := i.openDatabase().QueryRow("PRAGMA integrity_check").Scan(&check)
				if err != nil || check != "ok" {
					t.Errorf("the integrity check says %q (%v), want ok", check, err)
				}
			})
		}
	}
}

// mountDisk mounts a disk of 8 MB at the path of the data folder.
func mountDisk(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", folder)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// fillDisk fills the disk of the data folder until no byte is free.
func fillDisk(t *testing.T, i instance) (repair func()) {
	t.Helper()
	path := filepath.Join(i.Data, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// forbidWriting makes the files in the data folder immutable. That stops root, too, and processes that have the files
// open.
func forbidWriting(t *testing.T, i instance) (repair func()) {
	t.Helper()
	if raced() {
		t.Skip("SQLite causes a memory fault in the file that it maps, which the race detector does not survive")
	}
	change := func(flag string) error {
		files, err := filepath.Glob(filepath.Join(i.Data, "*"))
		if err == nil {
			_, err = exec.Command("chattr", append([]string{flag, i.Data}, files...)...).CombinedOutput()
		}
		return err
	}
	repair = func() {
		if err := change("-i"); err != nil {
			t.Error(err)
		}
	}
	open, err := os.OpenFile(filepath.Join(i.Data, "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := change("+i"); err != nil {
		change("-i")
		t.Skipf("files cannot be made immutable here: %v", err)
	}
	t.Cleanup(func() { change("-i") })
	if _, err := open.WriteAt([]byte{0}, 0); err == nil {
		t.Skip("here, processes that have an immutable file open can write it")
	}
	return repair
}
