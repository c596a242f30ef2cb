package process_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestWrongSettingsAreRefusedInOneMessageThatListsThemAll(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "").with(
		"CLAVIGER_ADDR=nowhere",
		"CLAVIGER_SIGNUP=maybe",
		"CLAVIGER_BASE_URL=ftp://x",
		"CLAVIGER_TRUSTED_PROXIES=10.0.0.0/99",
		"CLAVIGER_TYPO=1",
	)
	for _, command := range []string{"serve", "setup", "demo", "migrate", "backup", "audit", "healthcheck"} {
		i.refuses([]string{command}, "5 problem(s)", "CLAVIGER_ADDR must", "CLAVIGER_SIGNUP must",
			"CLAVIGER_BASE_URL must",
			`CLAVIGER_TRUSTED_PROXIES has "10.0.0.0/99"`, "CLAVIGER_TYPO is not a setting")
	}
	i.wantNoDataFolder()
}

func TestASettingCanComeFromAFileButNotFromBoth(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	file := filepath.Join(t.TempDir(), "base-url")
	if err := os.WriteFile(file, []byte("https://keys.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i = i.with("CLAVIGER_BASE_URL_FILE=" + file)
	i.with("CLAVIGER_BASE_URL=https://other.example.com").
		refuses(nil, "CLAVIGER_BASE_URL_FILE and CLAVIGER_BASE_URL are both set")
	i.wantNoDataFolder()

	p := i.start()
	p.waitFor("is ready: open https://keys.example.com\n")
}

func TestAnAddressInUseIsRefusedBeforeTheDatabaseIsMigrated(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		listener, err := net.Listen("tcp", i.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		i.refuses(nil, "the address "+i.Addr+" is in use", "CLAVIGER_ADDR")
		i.wantNoDataFolder()

		free := i.atAnotherAddr()
		free.with("CLAVIGER_METRICS_ADDR="+i.Addr).refuses(nil, "the address "+i.Addr+" is in use",
			"CLAVIGER_METRICS_ADDR")
		i.wantNoDataFolder()
		if models.IsPostgresURL(url) && i.dump() != "" {
			t.Errorf("the database was migrated:\n%s", i.dump())
		}
	})
}

func TestAnUnreachablePostgresIsRefusedWithoutThePassword(t *testing.T) {
	t.Parallel()
	closed := freeAddr(t)
	for _, test := range []struct{ url, says string }{
		{"postgres://clv:s3same-open@" + closed + "/keys", closed},
		{"postgres://" + closed + "/keys?user=clv&password=s3same-open", closed},
		{"postgres://clv:s3same-open@" + closed + "/keys?sslmode=bogus", "sslmode is invalid"},
		{"postgres://clv:s3same-open@[::1/keys", "cannot parse"},
		{"postgres://clv:s3same-open@127.0.0.1:port/keys", "cannot parse"},
		{"postgres://clv:s3same-open%zz@" + closed + "/keys", "cannot parse"},
	} {
		i := newInstance(t, "").with("CLAVIGER_DATABASE_URL=" + test.url)
		if message := i.refuses(nil, "CLAVIGER_DATABASE_URL", test.says); strings.Contains(message, "s3same") {
			t.Errorf("%s: the message has the password: %s", test.url, message)
		}
	}
}

func TestADatabaseOfANewerProgramIsRefusedAndNotChanged(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		if p, code := i.run("migrate"); code != 0 {
			t.Fatal(p.Stderr.String())
		}
		db := i.openDatabase()
		if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, TRUE)"); err != nil {
			t.Fatal(err)
		}
		// A migration of this program would create the table again.
		if _, err := db.Exec("DROP TABLE usage_minutes"); err != nil {
			t.Fatal(err)
		}
		const versions = "SELECT COUNT(*) FROM goose_db_version"
		before, count := i.dump(), number(t, db, versions)
		for _, args := range [][]string{
			{"serve"}, {"migrate"}, {"setup", "--email", "ada@example.com", "--project", "first"}, {"audit", "verify"},
		} {
			i.refuses(args, "newer than this program", "4711")
		}
		if after := i.dump(); after != before {
			t.Errorf("the schema is\n%s\nwant\n%s", after, before)
		}
		if n := number(t, db, versions); n != count {
			t.Errorf("goose_db_version has %d rows, want %d", n, count)
		}
	})
}

func TestAnotherPepperThanTheDatabaseWasMadeWithIsRefused(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")
		file := filepath.Join(i.Data, "pepper")
		right, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}

		other := strings.Repeat("another pepper ", 3)
		i.with("CLAVIGER_PEPPER="+other).refuses(nil, "another pepper")
		if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"serve"}, {"migrate"}, {"setup", "--email", "ada@example.com", "--project", "second"},
		} {
			i.refuses(args, "another pepper")
		}
		if content, err := os.ReadFile(file); err != nil || !bytes.Equal(content, []byte(other)) {
			t.Errorf("the pepper file is %q (%v), want it unchanged", content, err)
		}

		// With the right pepper again, the key is still valid.
		if err := os.WriteFile(file, right, 0o600); err != nil {
			t.Fatal(err)
		}
		if v := i.serve().validate(s.Project, s.Key, ""); v.Code != "valid" {
			t.Errorf("with the right pepper the key is %s, want valid", v.Code)
		}
	})
}

func TestASecondServerOnADataFolderIsRefusedAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	first := i.serve()
	i.atAnotherAddr().refuses(nil, "another server", i.Data, "CLAVIGER_DATA")
	if r := first.get("/readyz"); r.Status != 200 {
		t.Errorf("/readyz of the first server answered %d, want 200", r.Status)
	}
	// The lock must end with its process, even if that is killed.
	first.command.Process.Kill()
	first.wait()
	i.serve()
}

func TestASpoolOfAnEarlierVersionIsRefusedAndNotChanged(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")
		file := filepath.Join(i.Data, "spool")
		content := []byte("clvspl2\n\x10\x00\x00\x00\x00\x00\x00\x00rows that wait")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		i.refuses(nil, "open spool: "+file, "cannot read it", "earlier version", "move it away")
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, content) {
			t.Errorf("the file is %q (%v), want it unchanged", now, err)
		}
		if err := os.Rename(file, file+".old"); err != nil {
			t.Fatal(err)
		}
		if v := i.serve().validate(s.Project, s.Key, ""); v.Code != "valid" {
			t.Errorf("after the spool was moved away the key is %s, want valid", v.Code)
		}
	})
}

func TestUnknownCommandsAndArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"sevre"}, `no command "sevre"`},
		{[]string{"--port", "80"}, `no command "--port"`},
		{[]string{"serve", "now"}, `serve takes no arguments, but got ["now"]`},
		{[]string{"demo", "now"}, "demo takes no arguments"},
		{[]string{"migrate", "--force"}, "migrate takes no arguments"},
		{[]string{"healthcheck", "twice"}, "healthcheck takes no arguments"},
		{[]string{"version", "2"}, "version takes no arguments"},
		{[]string{"backup"}, "usage: claviger backup FILE"},
		{[]string{"backup", "one", "two"}, "usage: claviger backup FILE"},
		{[]string{"audit"}, "usage: claviger audit verify [--checkpoint FILE]"},
		{[]string{"audit", "repair"}, "usage: claviger audit verify [--checkpoint FILE]"},
		{[]string{"audit", "verify", "now"}, "usage: claviger audit verify [--checkpoint FILE]"},
		{[]string{"audit", "verify", "--chekpoint", "x"}, "not defined: -chekpoint"},
		{[]string{"setup"}, "usage: claviger setup --email E --project SLUG"},
		{[]string{"setup", "--email", "ada@example.com"}, "usage: claviger setup"},
		{[]string{"setup", "--email", "ada@example.com", "--project", "first", "second"}, "usage: claviger setup"},
		{[]string{"setup", "--mail", "ada@example.com"}, "not defined: -mail"},
		{[]string{"setup", "--email", "ada@example.com", "--project", "first", "--password-file", "/nowhere"},
			"/nowhere"},
	} {
		i.refuses(test.args, test.says)
	}
	i.wantNoDataFolder()
}
