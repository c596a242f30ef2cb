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
	BaseURL        string // start of links: scheme://host[:port], no slash at the end
	TrustedProxies []netip.Prefix
	Signup         models.SignupMode
	Pepper         string // empty: the one in Data
	LogDurability  string // batch or sync: whether a reply waits until its row is stored
	MaxKeys        int    // most key versions in the key cache
	MetricsAddr    string // host:port; empty for no metrics
	Dev            bool   // shows the component page and logs every request
}

// minKeys and maxKeys bound MaxKeys. A key takes about 500 bytes.
const (
	minKeys = 1_000
	maxKeys = 100_000_000
)

// variables are the names of all settings. Each may also be given as NAME_FILE, the path of a file with the value.
var variables = []string{
	"CLAVIGER_ADDR", "CLAVIGER_DATA", "CLAVIGER_DATABASE_URL", "CLAVIGER_REDIS_URL", "CLAVIGER_BASE_URL",
	"CLAVIGER_TRUSTED_PROXIES", "CLAVIGER_SIGNUP", "CLAVIGER_SMTP_URL", "CLAVIGER_PEPPER", "CLAVIGER_LOG_DURABILITY",
	"CLAVIGER_MAX_KEYS", "CLAVIGER_METRICS_ADDR", "CLAVIGER_DEV",
}

// Load reads the settings in an environment ("NAME=value", as os.Environ returns it). The error lists every problem.
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
	switch c.Signup {
	case models.SignupDefault, models.SignupOpen, models.SignupInvite, models.SignupClosed:
	default:
		r.problem("CLAVIGER_SIGNUP", "must be open, invite or closed")
	}
	if c.Pepper != "" && len(c.Pepper) < models.PepperLength {
		r.problem("CLAVIGER_PEPPER", fmt.Sprintf("must have at least %d characters", models.PepperLength))
	}
	var err error
	c.MaxKeys, err = strconv.Atoi(r.get("CLAVIGER_MAX_KEYS", "1000000"))
	if err != nil || c.MaxKeys < minKeys || c.MaxKeys > maxKeys {
		r.problem("CLAVIGER_MAX_KEYS", fmt.Sprintf("must be a whole number from %d to %d", minKeys, maxKeys))
	}
	if dev := r.get("CLAVIGER_DEV", ""); dev != "" && dev != "1" && dev != "0" {
		r.problem("CLAVIGER_DEV", "must be 1 or 0")
	}
	c.BaseURL = r.baseURL(c.Addr)
	c.TrustedProxies = r.prefixes("CLAVIGER_TRUSTED_PROXIES")

	for _, name := range []string{"CLAVIGER_REDIS_URL", "CLAVIGER_SMTP_URL"} {
		if r.get(name, "") != "" {
			r.problem(name, "is not supported yet; leave it empty")
		}
	}
	if c.LogDurability != "batch" && c.LogDurability != "sync" {
		r.problem("CLAVIGER_LOG_DURABILITY", "must be batch or sync")
	}
	if len(r.problems) > 0 {
		list := strings.Join(r.problems, "\n  ")
		return Config{}, fmt.Errorf("the configuration has %d problem(s):\n  %s", len(r.problems), list)
	}
	return c, nil
}

// Database returns the Postgres URL, or the path of the SQLite file.
func (c Config) Database() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return filepath.Join(c.Data, "claviger.db")
}

// Secure reports whether browsers reach the instance by https.
func (c Config) Secure() bool { return strings.HasPrefix(c.BaseURL, "https://") }

// LocalAddr returns the address at which a client on the same machine reaches the server.
func (c Config) LocalAddr() string { return browsable(c.Addr) }

// reader reads settings and collects what is wrong with them.
type reader struct {
	values   map[string]string
	problems []string
}

func (r *reader) problem(name, what string) { r.problems = append(r.problems, name+" "+what) }

// get returns the trimmed value of a setting, or fallback if it is not set or empty.
func (r *reader) get(name, fallback string) string {
	if value := strings.TrimSpace(r.values[name]); value != "" {
		return value
	}
	return fallback
}

// readFiles sets NAME to the content of the file of each NAME_FILE. Names that are not settings are problems.
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
			r.problem(name, "is not a setting of Claviger")
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
	// Only a port number: the address to open contains it, so 0 or the name of a service would not work.
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
	if err != nil ||
		u.Scheme != "http" && u.Scheme != "https" ||
		u.Hostname() == "" ||
		u.String() != u.Scheme+"://"+u.Host {
		r.problem(name, "must be like https://keys.example.com, without a path")
		return ""
	}
	return u.String()
}

// browsable returns the address that a browser on the same machine can open for a listening address.
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
	isSeparator := func(c rune) bool { return c == ',' || unicode.IsSpace(c) }
	for _, text := range strings.FieldsFunc(r.get(name, ""), isSeparator) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			ip, ipErr := netip.ParseAddr(text)
			if ipErr != nil {
				r.problem(name, fmt.Sprintf("has %q, which is not a CIDR such as 10.0.0.0/8", text))
				continue
			}
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		list = append(list, prefix)
	}
	return list
}
