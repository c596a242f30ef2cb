package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/config"
	"github.com/claviger/claviger/models"
)

var pepper = strings.Repeat("p", models.PepperLength)

func TestLoadReadsEachSetting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		setting string
		change  func(*config.Config) // of the defaults
	}{
		{"PATH=/bin", func(*config.Config) {}},
		{"CLAVIGER_SIGNUP=", func(*config.Config) {}}, // empty is not set
		{"CLAVIGER_ADDR=  ", func(*config.Config) {}},
		{"CLAVIGER_ADDR=:9000", func(c *config.Config) { c.Addr, c.BaseURL = ":9000", "http://localhost:9000" }},
		{"CLAVIGER_ADDR=10.1.2.3:80", func(c *config.Config) {
			c.Addr, c.BaseURL = "10.1.2.3:80", "http://10.1.2.3:80"
		}},
		{"CLAVIGER_DATA=/var/lib/claviger", func(c *config.Config) { c.Data = "/var/lib/claviger" }},
		{"CLAVIGER_DATABASE_URL=postgres://db/keys", func(c *config.Config) { c.DatabaseURL = "postgres://db/keys" }},
		{"CLAVIGER_DATABASE_URL=postgresql://db/keys?a=b", func(c *config.Config) {
			c.DatabaseURL = "postgresql://db/keys?a=b"
		}},
		{"CLAVIGER_BASE_URL=https://keys.example.com", func(c *config.Config) {
			c.BaseURL = "https://keys.example.com"
		}},
		{"CLAVIGER_TRUSTED_PROXIES=10.0.0.0/8", func(c *config.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}},
		{"CLAVIGER_SIGNUP=open", func(c *config.Config) { c.Signup = models.SignupOpen }},
		{"CLAVIGER_SIGNUP=invite", func(c *config.Config) { c.Signup = models.SignupInvite }},
		{"CLAVIGER_SIGNUP=closed\n", func(c *config.Config) { c.Signup = models.SignupClosed }},
		{"CLAVIGER_PEPPER=" + pepper, func(c *config.Config) { c.Pepper = pepper }},
		{"CLAVIGER_METRICS_ADDR=127.0.0.1:9090", func(c *config.Config) { c.MetricsAddr = "127.0.0.1:9090" }},
		{"CLAVIGER_MAX_KEYS=5000", func(c *config.Config) { c.MaxKeys = 5000 }},
		{"CLAVIGER_DEV=1", func(c *config.Config) { c.Dev = true }},
		{"CLAVIGER_DEV=0", func(*config.Config) {}},
		{"CLAVIGER_LOG_DURABILITY=batch", func(*config.Config) {}},
		{"CLAVIGER_LOG_DURABILITY=sync", func(c *config.Config) { c.LogDurability = "sync" }},
		{"CLAVIGER_REDIS_URL=", func(*config.Config) {}},
		{"CLAVIGER_SMTP_URL=", func(*config.Config) {}},
	} {
		want := config.Config{
			Addr:          "127.0.0.1:8080",
			Data:          "./data",
			BaseURL:       "http://127.0.0.1:8080",
			LogDurability: "batch",
			MaxKeys:       1_000_000,
		}
		test.change(&want)
		if got, err := config.Load([]string{test.setting}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v (%v), want\n%+v", test.setting, got, err, want)
		}
	}
}

func TestLoadRejectsInvalidSettings(t *testing.T) {
	t.Parallel()
	const (
		addr = "must be host:port, such as 127.0.0.1:8080"
		base = "must be like https://keys.example.com, without a path"
	)
	for _, test := range []struct{ name, value, says string }{
		{"CLAVIGER_MAX_KEYS", "many", "must be a whole number from 1000 to 100000000"},
		{"CLAVIGER_MAX_KEYS", "999", "must be a whole number from 1000 to 100000000"},
		{"CLAVIGER_ADDR", "8080", addr},
		{"CLAVIGER_ADDR", "127.0.0.1", addr},
		{"CLAVIGER_ADDR", "127.0.0.1:", addr},
		{"CLAVIGER_ADDR", "127.0.0.1:0", addr}, // the address to open would be unknown
		{"CLAVIGER_ADDR", "127.0.0.1:http", addr},
		{"CLAVIGER_ADDR", "127.0.0.1:65536", addr},
		{"CLAVIGER_ADDR", "::1:8080", addr},
		{"CLAVIGER_METRICS_ADDR", "metrics", addr},
		{"CLAVIGER_METRICS_ADDR", "127.0.0.1:0", addr},
		{"CLAVIGER_DATABASE_URL", "mysql://db/keys", "must start with postgres://, or be empty for SQLite"},
		{"CLAVIGER_DATABASE_URL", "keys.db", "must start with postgres://, or be empty for SQLite"},
		{"CLAVIGER_BASE_URL", "keys.example.com", base},
		{"CLAVIGER_BASE_URL", "ftp://keys.example.com", base},
		{"CLAVIGER_BASE_URL", "https://", base},
		{"CLAVIGER_BASE_URL", "https://:8443", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com/claviger", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com//", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com?a=b", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com?", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com#top", base},
		{"CLAVIGER_BASE_URL", "https://ada:secret@keys.example.com", base},
		{"CLAVIGER_BASE_URL", "https://keys.example.com:port", base},
		{"CLAVIGER_TRUSTED_PROXIES", "10.0.0.0/8, proxy", `has "proxy", which is not a CIDR such as 10.0.0.0/8`},
		{"CLAVIGER_TRUSTED_PROXIES", "10.0.0.0/33", `has "10.0.0.0/33", which is not a CIDR such as 10.0.0.0/8`},
		{"CLAVIGER_SIGNUP", "maybe", "must be open, invite or closed"},
		{"CLAVIGER_PEPPER", pepper[1:], "must have at least 32 characters"},
		{"CLAVIGER_DEV", "yes", "must be 1 or 0"},
		{"CLAVIGER_REDIS_URL", "redis://cache", "is not supported yet; leave it empty"},
		{"CLAVIGER_SMTP_URL", "smtp://mail", "is not supported yet; leave it empty"},
		{"CLAVIGER_LOG_DURABILITY", "maybe", "must be batch or sync"},
		{"CLAVIGER_TYPO", "1", "is not a setting of Claviger"},
		{"CLAVIGER_TYPO_FILE", "/etc/typo", "is not a setting of Claviger"},
		{"CLAVIGER_", "1", "is not a setting of Claviger"},
	} {
		wantProblems(t, []string{test.name + "=" + test.value}, test.name+" "+test.says)
	}
}

// wantProblems loads an environment whose error must list these problems and no others.
func wantProblems(t *testing.T, environ []string, problems ...string) {
	t.Helper()
	c, err := config.Load(environ)
	if err == nil {
		t.Errorf("%q: got %+v and no error", environ, c)
		return
	}
	head, list, _ := strings.Cut(err.Error(), "\n  ")
	got := strings.Split(list, "\n  ")
	if !strings.HasPrefix(head, "the configuration has ") || !reflect.DeepEqual(got, problems) {
		t.Errorf("%q: got the error %q, want the problems %q", environ, err, problems)
	}
	if !reflect.DeepEqual(c, config.Config{}) {
		t.Errorf("%q: got the settings %+v with the error, want none", environ, c)
	}
}

func TestLoadListsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	environ := []string{
		"CLAVIGER_TYPO=1",
		"CLAVIGER_ADDR=here",
		"CLAVIGER_PEPPER=short",
		"CLAVIGER_TRUSTED_PROXIES=a,b",
	}
	wantProblems(t, environ,
		"CLAVIGER_TYPO is not a setting of Claviger",
		"CLAVIGER_ADDR must be host:port, such as 127.0.0.1:8080",
		"CLAVIGER_PEPPER must have at least 32 characters",
		`CLAVIGER_TRUSTED_PROXIES has "a", which is not a CIDR such as 10.0.0.0/8`,
		`CLAVIGER_TRUSTED_PROXIES has "b", which is not a CIDR such as 10.0.0.0/8`,
	)
}

func TestTrustedProxiesAreNetworksOrSingleAddresses(t *testing.T) {
	t.Parallel()
	c, err := config.Load([]string{"CLAVIGER_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.7\n2001:db8::/32\r\n\t::1,,"})
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Prefix
	for _, text := range []string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"} {
		want = append(want, netip.MustParsePrefix(text))
	}
	if !reflect.DeepEqual(c.TrustedProxies, want) {
		t.Errorf("got %v, want %v", c.TrustedProxies, want)
	}
}

func TestBaseURLEndsWithoutASlashAndSaysWhetherItIsSecure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value, want string
		secure      bool
	}{
		{"https://keys.example.com/", "https://keys.example.com", true},
		{"HTTPS://keys.example.com:8443", "https://keys.example.com:8443", true},
		{"http://[::1]:8080/", "http://[::1]:8080", false},
		{"http://localhost", "http://localhost", false},
	} {
		c, err := config.Load([]string{"CLAVIGER_BASE_URL=" + test.value})
		if err != nil || c.BaseURL != test.want || c.Secure() != test.secure {
			t.Errorf("%s: got %q, secure %v (%v), want %q, secure %v",
				test.value, c.BaseURL, c.Secure(), err, test.want, test.secure)
		}
	}
}

func TestTheLocalAddressOfAnAddressForAllInterfacesIsLocalhost(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":8080":            "localhost:8080",
		"0.0.0.0:8080":     "localhost:8080",
		"[::]:8080":        "localhost:8080",
		"[::1]:8080":       "[::1]:8080",
		"keys.internal:80": "keys.internal:80",
	} {
		c, err := config.Load([]string{"CLAVIGER_ADDR=" + addr, "CLAVIGER_BASE_URL=https://keys.example.com"})
		if err != nil || c.LocalAddr() != want || c.BaseURL != "https://keys.example.com" {
			t.Errorf("%s: got the local address %s and the base URL %s (%v), want %s and https://keys.example.com",
				addr, c.LocalAddr(), c.BaseURL, err, want)
		}
	}
}

func TestTheDatabaseIsInTheDataFolderUnlessAURLIsGiven(t *testing.T) {
	t.Parallel()
	c := config.Config{Data: "/var/lib/claviger"}
	if got, want := c.Database(), "/var/lib/claviger/claviger.db"; got != want {
		t.Errorf("without a URL: got %s, want %s", got, want)
	}
	c.DatabaseURL = "postgres://db/keys"
	if got := c.Database(); got != c.DatabaseURL {
		t.Errorf("with a URL: got %s, want %s", got, c.DatabaseURL)
	}
}

func TestEverySettingMayComeFromAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "value")
	for setting, value := range map[string]string{
		"CLAVIGER_ADDR":            "127.0.0.1:9000",
		"CLAVIGER_DATA":            "/srv",
		"CLAVIGER_DATABASE_URL":    "postgres://db/keys",
		"CLAVIGER_BASE_URL":        "https://keys.example.com",
		"CLAVIGER_TRUSTED_PROXIES": "10.0.0.0/8\n::1",
		"CLAVIGER_SIGNUP":          "closed",
		"CLAVIGER_PEPPER":          pepper,
		"CLAVIGER_METRICS_ADDR":    ":9090",
		"CLAVIGER_DEV":             "1",
		"CLAVIGER_LOG_DURABILITY":  "batch",
	} {
		want, err := config.Load([]string{setting + "=" + value})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.Load([]string{setting + "_FILE=" + file, setting + "= "}) // beside an empty one
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s_FILE: got\n%+v (%v), want\n%+v", setting, got, err, want)
		}
	}
}

func TestLoadRejectsUnreadableFilesAndSettingsGivenTwice(t *testing.T) {
	t.Parallel()
	wantProblems(t, []string{"CLAVIGER_PEPPER_FILE=/no/such/file"},
		"CLAVIGER_PEPPER_FILE cannot be read: open /no/such/file: no such file or directory")
	// An empty path must not make the program create a pepper that the operator does not know of.
	wantProblems(t, []string{"CLAVIGER_PEPPER_FILE="},
		"CLAVIGER_PEPPER_FILE cannot be read: open : no such file or directory")

	file := filepath.Join(t.TempDir(), "signup")
	if err := os.WriteFile(file, []byte("sometimes"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantProblems(t, []string{"CLAVIGER_SIGNUP_FILE=" + file}, "CLAVIGER_SIGNUP must be open, invite or closed")
	wantProblems(t, []string{"CLAVIGER_SIGNUP_FILE=" + file, "CLAVIGER_SIGNUP=open"},
		"CLAVIGER_SIGNUP_FILE and CLAVIGER_SIGNUP are both set; set one of them")
}
