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

// A request log that cannot be written is said to be so by /readyz and on the pages of a project, and by nobody once it
// can be written again. No restart is needed, and nothing is lost or damaged.
func TestADiskThatTakesNothingIsToldOfAndRecoveredFrom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reason string
		prepare      func(t *testing.T, folder string)
		stop         func(t *testing.T, i instance) (mend func())
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
						t.Errorf("the key is %s, not %s", v.Code, want)
					}
					if v.Code == "valid" {
						answers = append(answers, answer{id: v.RequestID})
					}
				}
				validate("valid")

				mend := test.stop(t, i)
				if durability == "batch" {
					validate("valid")
				} else { // the last block of the spool may have room for some
					eventually(t, "a request to be refused", func() bool {
						v := p.validate(s.Project, s.Key, "")
						if v.Code == "valid" {
							answers = append(answers, answer{id: v.RequestID})
						}
						return v.Status == http.StatusServiceUnavailable && v.Code == "unavailable"
					})
				}
				told := regexp.MustCompile(`^\{"status":"the request log cannot be written: (the disk reports ` +
					`errors, and )?` + test.reason + `"\}\s$`)
				// where nothing can be read either, it may say that first
				eventually(t, "/readyz to tell", func() bool {
					r := p.get("/readyz")
					return r.Status == http.StatusServiceUnavailable && told.MatchString(r.Body)
				})
				const trouble = "The request log cannot be written at the moment: "
				page := func() reply { return p.get("/projects/first/logs", "Cookie", cookie) }
				// Without writing, SQLite may not even read: then the page of the error tells.
				r := page()
				if !strings.Contains(r.Body, trouble) || !strings.Contains(r.Body, test.reason) {
					t.Errorf("the page does not tell: %d %s", r.Status, r.Body)
				}
				if r.Status != http.StatusOK && test.reason == "the disk is full" {
					t.Errorf("the page gave %d", r.Status)
				}
				change := ask(t, http.MethodPost, p.URL+"/v1/projects/first/keys", `{"name":"late","type":"test"}`,
					"Authorization", "Bearer "+s.ServiceToken, "Content-Type", "application/json")
				if change.Status != http.StatusServiceUnavailable || change.Header.Get("Retry-After") == "" {
					t.Errorf("a change gave %d: %s", change.Status, change.Body)
				}

				mend()
				eventually(t, "/readyz to be content", func() bool { return p.get("/readyz").Status == http.StatusOK })
				if r := page(); r.Status != http.StatusOK || strings.Contains(r.Body, trouble) {
					t.Errorf("the page still tells: %d %s", r.Status, r.Body)
				}
				validate("valid")
				p.stop()
				i.wantEachOnce(s.ProjectID, answers)
				var verdict string
				if err := i.openDatabase().QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil ||
					verdict != "ok" {
					t.Errorf("the database is damaged: %s (%v)", verdict, err)
				}
			})
		}
	}
}

// mountDisk makes a small disk of its own where the data folder will be.
func mountDisk(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs",
		folder).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be made here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", folder).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func fillDisk(t *testing.T, i instance) (mend func()) {
	t.Helper()
	path := filepath.Join(i.Data, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; size /= 2 { // to the last byte
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

// forbidWriting makes the files immutable, which holds for root and for files that are open already.
func forbidWriting(t *testing.T, i instance) (mend func()) {
	t.Helper()
	if raced() {
		t.Skip("SQLite answers with a fault in the memory that it shares through the file, which the race detector " +
			"does not survive")
	}
	change := func(flag string) error {
		files, err := filepath.Glob(filepath.Join(i.Data, "*"))
		if err == nil {
			_, err = exec.Command("chattr", append([]string{flag, i.Data}, files...)...).CombinedOutput()
		}
		return err
	}
	mend = func() {
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
		t.Skip("here, immutable files can be written by who has them open")
	}
	return mend
}
