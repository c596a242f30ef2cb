package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

// load reads the secrets of c. It returns the cookie key and, because a pepper cannot be read, a digest that
// identifies it.
func load(t *testing.T, c config.Config) (pepper models.Digest, cookieKey string) {
	t.Helper()
	s, err := c.LoadSecrets()
	if err != nil {
		t.Fatal(err)
	}
	return s.Pepper.Digest(models.Secret{}), string(s.CookieKey)
}

// filesIn returns the content of each file in a folder by its name.
func filesIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	return files
}

func TestSecretsAreCreatedOnceAndReadableOnlyByTheOwner(t *testing.T) {
	t.Parallel()
	c := config.Config{Data: filepath.Join(t.TempDir(), "new", "data")}
	pepper, cookieKey := load(t, c)
	files := filesIn(t, c.Data)
	if len(files) != 2 || len(files["pepper"]) < models.PepperLength || files["pepper"] == files["cookie.key"] {
		t.Errorf("the folder holds %q", files)
	}
	for name, want := range map[string]fs.FileMode{".": 0o700, "pepper": 0o600, "cookie.key": 0o600} {
		info, err := os.Stat(filepath.Join(c.Data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}

	samePepper, sameCookieKey := load(t, c)
	if samePepper != pepper || sameCookieKey != cookieKey || !reflect.DeepEqual(filesIn(t, c.Data), files) {
		t.Error("the second start has other secrets")
	}
	otherPepper, otherCookieKey := load(t, config.Config{Data: t.TempDir()})
	if otherPepper == pepper || otherCookieKey == cookieKey {
		t.Error("another instance has the same secrets")
	}
}

func TestASecretFileMayEndWithALineBreakOrNot(t *testing.T) {
	t.Parallel()
	c := config.Config{Data: t.TempDir()}
	pepper, _ := load(t, c)
	file := filepath.Join(c.Data, "pepper")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Copying by hand may lose or add line breaks.
	for _, end := range []string{"", "\n", "\r\n\n"} {
		if err := os.WriteFile(file, append(bytes.TrimSpace(content), end...), 0o600); err != nil {
			t.Fatal(err)
		}
		if same, _ := load(t, c); same != pepper {
			t.Errorf("with %q at the end of the file, the pepper differs", end)
		}
	}
}

func TestADamagedSecretFileIsRejectedAndNotReplaced(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pepper", "cookie.key"} {
		for _, content := range []string{"", "\n", "half a secret", strings.Repeat(" ", 64)} {
			c := config.Config{Data: t.TempDir()}
			load(t, c)
			file := filepath.Join(c.Data, name)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := filesIn(t, c.Data)
			want := file + " is damaged: it must hold at least 32 characters."
			if _, err := c.LoadSecrets(); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s with %q: got %v, want %q", name, content, err, want)
			}
			if after := filesIn(t, c.Data); !reflect.DeepEqual(after, before) {
				t.Errorf("the folder holds %q, want %q as before", after, before)
			}
		}
	}
}

func TestADataFolderThatCannotBeCreatedIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Config{Data: filepath.Join(file, "data")}
	if _, err := c.LoadSecrets(); err == nil || !strings.Contains(err.Error(), "cannot make the data folder") {
		t.Errorf("for a folder in a file: got %v, want that the folder cannot be made", err)
	}
}

func TestProcessesThatStartAtTheSameMomentHaveTheSameSecrets(t *testing.T) {
	t.Parallel()
	for range 20 { // the order in which they run is random
		const starts = 8
		c := config.Config{Data: filepath.Join(t.TempDir(), "data")}
		var (
			secrets [starts]config.Secrets
			errs    [starts]error
			ready   sync.WaitGroup
			goOn    = make(chan struct{})
		)
		for n := range starts {
			ready.Go(func() {
				<-goOn
				secrets[n], errs[n] = c.LoadSecrets()
			})
		}
		close(goOn)
		ready.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		pepper, cookieKey := load(t, c) // what later starts will have
		for _, s := range secrets {
			if s.Pepper.Digest(models.Secret{}) != pepper || string(s.CookieKey) != cookieKey {
				t.Fatal("one of the starts has other secrets than those in the files")
			}
		}
		if files := filesIn(t, c.Data); len(files) != 2 {
			t.Fatalf("the folder holds %q", files)
		}
	}
}

func TestTheCookieKeyIsDerivedFromAPepperInTheEnvironment(t *testing.T) {
	t.Parallel()
	here := config.Config{Data: filepath.Join(t.TempDir(), "data"), Pepper: pepper}
	digest, cookieKey := load(t, here)
	if files := filesIn(t, here.Data); len(files) != 0 {
		t.Errorf("the folder holds %q", files)
	}
	if len(cookieKey) != 32 || cookieKey == pepper {
		t.Errorf("the cookie key is %q", cookieKey)
	}

	// Another machine has another folder, and with Postgres none at all: a container's disk may be read-only.
	there := config.Config{Data: filepath.Join(t.TempDir(), "data"), Pepper: pepper, DatabaseURL: "postgres://db/keys"}
	if sameDigest, sameCookieKey := load(t, there); sameDigest != digest || sameCookieKey != cookieKey {
		t.Error("another machine with the same pepper has other secrets")
	}
	if _, err := os.Stat(there.Data); !os.IsNotExist(err) {
		t.Errorf("a data folder was made: %v", err)
	}

	there.Pepper = pepper + "!"
	if otherDigest, otherCookieKey := load(t, there); otherDigest == digest || otherCookieKey == cookieKey {
		t.Error("another pepper gives the same secrets")
	}
}
