// Package config reads the settings of an instance from the environment.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/claviger/claviger/models"
)

// Config is the settings of one process.
type Config struct {
	Addr           string // host:port to listen on
	Data           string // folder of the database file and the instance's secrets
	DatabaseURL    string // postgres://…, or empty for SQLite in Data
	BaseURL        string // scheme://host[:port], no slash at the end; what links start with
	TrustedProxies []netip.Prefix
	Signup         models.SignupMode
	Pepper         string // empty: the one in Data
	LogDurability  string // batch or sync: whether an answer waits until its row is kept
	MaxKeys        int    // how many keys are kept in memory
	MetricsAddr    string // host:port; empty for no metrics
	Dev            bool   // shows the component page and logs every request
}

// minKeys and maxKeys bound how many keys may be kept in memory, at about 500 bytes each.
const (
	minKeys = 1_000
	maxKeys = 100_000_000
)

// variables are all names that are read; each also as NAME_FILE, whose value is the path of a file with the value.
var variables = []string{
	"CLAVIGER_ADDR", "CLAVIGER_DATA", "CLAVIGER_DATABASE_URL", "CLAVIGER_REDIS_URL", "CLAVIGER_BASE_URL",
	"CLAVIGER_TRUSTED_PROXIES", "CLAVIGER_SIGNUP", "CLAVIGER_SMTP_URL", "CLAVIGER_PEPPER", "CLAVIGER_LOG_DURABILITY",
	"CLAVIGER_MAX_KEYS", "CLAVIGER_METRICS_ADDR", "CLAVIGER_DEV",
}

// Load reads the settings of an environment ("NAME=value", as os.Environ gives it). The error lists every problem.
func Load(environ []string) (Config, error) {
	r := reader{values: map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "CLAVIGER_") {
			r.values[name] = value
		}
	}
	r.readFiles()

	c := Config{
		Addr:        r.get("CLAVIGER_ADDR", "127.0.0.1:8080"),
		Data:        r.get("CLAVIGER_DATA", "./data"),
		DatabaseURL: r.get("CLAVIGER_DATABASE_URL", ""),
		Signup:      models.SignupMode(r.get("CLAVIGER_SIGNUP", "")),
		Pepper:      r.get("CLAVIGER_PEPPER", ""),
		MetricsAddr: r.get("CLAVIGER_METRICS_ADDR", ""),
		Dev:         r.get("CLAVIGER_DEV", "") == "1",

		LogDurability: r.get("CLAVIGER_LOG_DURABILITY", "batch"),
	}
	r.checkAddr("CLAVIGER_ADDR", c.Addr)
	if c.MetricsAddr != "" {
		r.checkAddr("CLAVIGER_METRICS_ADDR", c.MetricsAddr)
	}
	if c.DatabaseURL != "" && !models.IsPostgresURL(c.DatabaseURL) {
		r.problem("CLAVIGER_DATABASE_URL", "must start with postgres://, or be empty for SQLite")
	}
	if !slices.Contains([]models.SignupMode{models.SignupDefault, models.SignupOpen, models.SignupInvite, models.SignupClosed}, c.Signup) {
		r.problem("CLAVIGER_SIGNUP", "must be open, invite or closed")
	}
	if c.Pepper != "" && len(c.Pepper) < models.PepperLength {
		r.problem("CLAVIGER_PEPPER", fmt.Sprintf("must have at least %d characters", models.PepperLength))
	}
	var err error
	if c.MaxKeys, err = strconv.Atoi(r.get("CLAVIGER_MAX_KEYS", "1000000")); err != nil || c.MaxKeys < minKeys || c.MaxKeys > maxKeys {
		r.problem("CLAVIGER_MAX_KEYS", fmt.Sprintf("must be a whole number from %d to %d", minKeys, maxKeys))
	}
	if dev := r.get("CLAVIGER_DEV", ""); dev != "" && dev != "1" && dev != "0" {
		r.problem("CLAVIGER_DEV", "must be 1 or 0")
	}
	c.BaseURL = r.baseURL(c.Addr)
	c.TrustedProxies = r.prefixes("CLAVIGER_TRUSTED_PROXIES")

	for _, name := range []string{"CLAVIGER_REDIS_URL", "CLAVIGER_SMTP_URL"} {
		if r.get(name, "") != "" {
			r.problem(name, "is not built yet; leave it empty")
		}
	}
	if c.LogDurability != "batch" && c.LogDurability != "sync" {
		r.problem("CLAVIGER_LOG_DURABILITY", "must be batch or sync")
	}
	if len(r.problems) > 0 {
		return Config{}, fmt.Errorf("the configuration has %d problem(s):\n  %s", len(r.problems), strings.Join(r.problems, "\n  "))
	}
	return c, nil
}

// Database is what models.Open takes: the Postgres URL, or the path of the SQLite file.
func (c Config) Database() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return filepath.Join(c.Data, "claviger.db")
}

// Secure tells whether browsers reach the instance by https.
func (c Config) Secure() bool { return strings.HasPrefix(c.BaseURL, "https://") }

// LocalAddr is where a client on the same machine reaches the server.
func (c Config) LocalAddr() string { return browsable(c.Addr) }

type reader struct {
	values   map[string]string
	problems []string
}

func (r *reader) problem(name, what string) { r.problems = append(r.problems, name+" "+what) }

func (r *reader) get(name, otherwise string) string {
	if value := strings.TrimSpace(r.values[name]); value != "" {
		return value
	}
	return otherwise
}

// readFiles puts the content of each NAME_FILE in the place of NAME, and finds names that nobody reads.
func (r *reader) readFiles() {
	names := make([]string, 0, len(r.values))
	for name := range r.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(variables, name) {
			continue
		}
		base, isFile := strings.CutSuffix(name, "_FILE")
		if !isFile || !slices.Contains(variables, base) {
			r.problem(name, "is no setting of Claviger")
			continue
		}
		if r.get(base, "") != "" {
			r.problem(name, "and "+base+" are both set; set one of them")
			continue
		}
		content, err := os.ReadFile(r.values[name])
		if err != nil {
			r.problem(name, "cannot be read: "+err.Error())
			continue
		}
		r.values[base] = string(content)
	}
}

func (r *reader) checkAddr(name, addr string) {
	_, port, err := net.SplitHostPort(addr)
	// The number itself: it stands in the address to open, where 0 or a name would lead nowhere.
	if n, parseErr := strconv.ParseUint(port, 10, 16); err != nil || parseErr != nil || n == 0 {
		r.problem(name, "must be host:port, such as 127.0.0.1:8080")
	}
}

func (r *reader) baseURL(addr string) string {
	const name = "CLAVIGER_BASE_URL"
	text := r.get(name, "")
	if text == "" {
		return "http://" + browsable(addr)
	}
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.String() != u.Scheme+"://"+u.Host {
		r.problem(name, "must be like https://keys.example.com, without a path")
		return ""
	}
	return u.String()
}

// browsable is the address that a browser on the same machine opens for a listening address.
func browsable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (r *reader) prefixes(name string) (list []netip.Prefix) {
	for _, text := range strings.FieldsFunc(r.get(name, ""), func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			ip, ipErr := netip.ParseAddr(text)
			if ipErr != nil {
				r.problem(name, fmt.Sprintf("has %q, which is no CIDR such as 10.0.0.0/8", text))
				continue
			}
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		list = append(list, prefix)
	}
	return list
}
