package process_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

func TestKeyAndTokenOfSetupAreValidAtOnceInARunningServer(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		p := i.serve()
		s := i.setup("--email", "Ada@Example.com", "--project", "first")
		if s.URL != p.URL || s.Email != "ada@example.com" || s.Project != "first" || len(s.Password) < 20 {
			t.Errorf("setup printed %+v, want %s, ada@example.com, first and a password", s, p.URL)
		}

		for _, project := range []string{s.Project, fmt.Sprint(s.ProjectID)} {
			if v := p.validate(project, s.Key, ""); v.Status != 200 || v.Code != "valid" {
				t.Errorf("in project %s the key gets %+v, want valid", project, v)
			}
		}
		v := p.validate(s.Project, s.Key, `{"ip":"203.0.113.7","method":"PATCH","path":"/v2/orders/17"}`,
			"Authorization", "Bearer "+s.ServiceToken)
		if v.Code != "valid" {
			t.Fatalf("with the service token the key gets %+v, want valid", v)
		}
		if row, want := i.requestLog(v.RequestID), "203.0.113.7 PATCH /v2/orders/17"; row != want {
			t.Errorf("the row is %q, want %q", row, want)
		}
		p.signIn(s.Email, s.Password)
	})
}

func TestSetupAddsAProjectToAnExistingAccount(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		p := i.serve()
		first := i.setup("--email", "ada@example.com", "--project", "first")
		second := i.setup("--email", "ADA@example.com", "--project", "second")
		if second.Password != "" || second.Email != first.Email || second.ProjectID == first.ProjectID {
			t.Errorf("the second setup printed %+v, want the account of %+v, another project and no password", second,
				first)
		}
		v := p.validate("second", second.Key, "{}", "Authorization", "Bearer "+second.ServiceToken)
		if v.Code != "valid" {
			t.Errorf("the second project's key gets %+v, want valid", v)
		}
		if v := p.validate("second", first.Key, ""); v.Code != "key_invalid" {
			t.Errorf("in the second project the first one's key gets %+v, want key_invalid", v)
		}
		p.signIn(first.Email, first.Password) // the second setup did not change the password
	})
}

func TestRefusedSetupSaysWhyAndChangesNothing(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		short := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		i.refuses([]string{"setup", "--email", "ada", "--project", "first", "--password-file", short},
			"email: Enter an e-mail address", "password: Use at least 10 characters")
		db := i.openDatabase()
		if n := number(t, db, "SELECT COUNT(*) FROM users"); n != 0 {
			t.Errorf("after a refused setup there are %d accounts, want 0", n)
		}

		s := i.setup("--email", "ada@example.com", "--project", "first")
		before := i.counts()
		i.refuses([]string{"setup", "--email", s.Email, "--project", s.Project}, "slug: This slug is taken")
		i.refuses([]string{"setup", "--email", s.Email, "--project", "Not A Slug"}, "slug: Start with a letter")
		i.refuses([]string{"setup", "--email", "eve@example.com", "--project", "second"},
			"email: This instance has accounts, but none with this address")
		if after := i.counts(); !maps.Equal(after, before) {
			t.Errorf("the numbers of rows are %v, want %v", after, before)
		}
	})
}

// counts returns the number of rows in each table that setup writes to.
func (i instance) counts() map[string]int64 {
	db, counts := i.openDatabase(), map[string]int64{}
	for _, table := range []string{
		"users", "projects", "members", "categories", "keys", "key_names", "key_versions", "service_tokens",
	} {
		counts[table] = number(i.t, db, "SELECT COUNT(*) FROM "+table)
	}
	return counts
}

func TestSetupTakesThePasswordFromAFile(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	const password = " a pass phrase with spaces around it "
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := i.setup("--email", "ada@example.com", "--project", "first", "--password-file", file)
	if s.Password != password {
		t.Errorf("setup printed the password %q, want %q", s.Password, password)
	}
	i.serve().signIn(s.Email, password)
}
