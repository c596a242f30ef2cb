package models

import (
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time {
	t := noon.Add(d)
	return &t
}

// Compares the status that the dashboard shows and the code with which the gate rejects with a table made by hand.
func TestStatusAndDenialCodeAgree(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   KeyState
		expires *time.Time
		ends    *time.Time
		status  KeyStatus
		denial  requestlog.Code
	}{
		{"active", StateActive, nil, nil, StatusActive, requestlog.CodeValid},
		{"expires later", StateActive, at(time.Millisecond), nil, StatusActive, requestlog.CodeValid},
		{"expires at this moment", StateActive, at(0), nil, StatusExpired, requestlog.CodeKeyExpired},
		{"expired", StateActive, at(-time.Hour), nil, StatusExpired, requestlog.CodeKeyExpired},
		{"inactive", StateInactive, nil, nil, StatusInactive, requestlog.CodeKeyInactive},
		{"inactive and expired", StateInactive, at(-time.Hour), nil, StatusInactive, requestlog.CodeKeyInactive},
		{"revoked", StateRevoked, nil, nil, StatusRevoked, requestlog.CodeKeyRevoked},
		{"revoked and expired", StateRevoked, at(-time.Hour), nil, StatusRevoked, requestlog.CodeKeyRevoked},
		{"version ends later", StateActive, nil, at(time.Minute), StatusActive, requestlog.CodeValid},
		{"version ended", StateActive, nil, at(0), StatusActive, requestlog.CodeKeyRevoked},
		{"version ended and inactive", StateInactive, nil, at(-time.Minute), StatusInactive, requestlog.CodeKeyRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := StatusOf(c.state, c.expires, noon); got != c.status {
				t.Errorf("status %s, want %s", got, c.status)
			}
			key := GateKey{State: c.state}
			if c.expires != nil {
				key.ExpiresAt = *c.expires
			}
			if c.ends != nil {
				key.VersionEndsAt = *c.ends
			}
			if got := key.DenialCode(noon, ClientApp{}); got != c.denial {
				t.Errorf("denial code %s, want %s", got, c.denial)
			}
		})
	}
}

func TestBlockedReasonsOfEachStateAndAction(t *testing.T) {
	used := noon
	for _, c := range []struct {
		name    string
		key     Key
		allowed string // the actions that are possible
	}{
		{"active, never used", Key{State: StateActive}, "deactivate revoke delete edit rotate"},
		{"active, used", Key{State: StateActive, LastUsedAt: &used}, "deactivate revoke edit rotate"},
		{"inactive, never used", Key{State: StateInactive}, "activate revoke delete edit rotate"},
		{"inactive, used", Key{State: StateInactive, LastUsedAt: &used}, "activate revoke edit rotate"},
		{"revoked, never used", Key{State: StateRevoked}, "delete"},
		{"revoked, used", Key{State: StateRevoked, LastUsedAt: &used}, ""},
		{"default", Key{State: StateActive, IsDefault: true}, "edit rotate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, action := range []KeyAction{
				ActionActivate, ActionDeactivate, ActionRevoke, ActionDelete, ActionEdit, ActionRotate,
			} {
				why := c.key.BlockedReason(action)
				if want := strings.Contains(" "+c.allowed+" ", " "+string(action)+" "); want != (why == "") {
					t.Errorf("%s: %q, possible should be %v", action, why, want)
				}
			}
		})
	}
}

func TestKeyFieldsAreChecked(t *testing.T) {
	good := KeyInput{Name: "server_prod", Type: TypeProduction, Category: "production"}
	for _, c := range []struct {
		name   string
		change func(*KeyInput)
		field  string // that has a message; empty for none
	}{
		{"good", func(*KeyInput) {}, ""},
		{"no name", func(in *KeyInput) { in.Name = "  " }, "name"},
		{"hyphen", func(in *KeyInput) { in.Name = "server-prod" }, "name"},
		{"umlaut", func(in *KeyInput) { in.Name = "schlüssel" }, "name"},
		{"64 characters", func(in *KeyInput) { in.Name = strings.Repeat("a", 64) }, ""},
		{"65 characters", func(in *KeyInput) { in.Name = strings.Repeat("a", 65) }, "name"},
		{"500 characters of description", func(in *KeyInput) { in.Description = strings.Repeat("ä", 500) }, ""},
		{
			"501 characters of description",
			func(in *KeyInput) { in.Description = strings.Repeat("ä", 501) },
			"description",
		},
		{"description with NUL", func(in *KeyInput) { in.Description = "a\x00b" }, "description"},
		{"no type", func(in *KeyInput) { in.Type = "" }, "type"},
		{"another type", func(in *KeyInput) { in.Type = "live" }, "type"},
		{"no category", func(in *KeyInput) { in.Category = "" }, "category"},
		{"category with a line break", func(in *KeyInput) { in.Category = "a\nb" }, "category"},
		{"category that starts with +", func(in *KeyInput) { in.Category = "+new" }, "category"},
		{"category of 41 characters", func(in *KeyInput) { in.Category = strings.Repeat("ö", 41) }, "category"},
		{"expires later", func(in *KeyInput) { in.ExpiresAt = at(time.Second) }, ""},
		{"expires now", func(in *KeyInput) { in.ExpiresAt = at(0) }, "expires_at"},
		{
			"expires in a year that no form can show",
			func(in *KeyInput) { far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC); in.ExpiresAt = &far },
			"expires_at",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := good
			c.change(&in)
			err := in.normalize(nil, noon)
			if c.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e, ok := err.(*Error)
			if !ok || len(e.Fields) != 1 || e.Fields[c.field] == "" {
				t.Errorf("want a message at %s, got %#v", c.field, err)
			}
		})
	}
}

func TestAnExpiryThatHasPassedMayStayWhenOtherFieldsAreEdited(t *testing.T) {
	before := &Key{ExpiresAt: at(-time.Hour)}
	in := KeyInput{Name: "a", Category: "production", ExpiresAt: at(-time.Hour)}
	if err := in.normalize(before, noon); err != nil {
		t.Error(err)
	}
	in.ExpiresAt = at(-2 * time.Hour)
	if err := in.normalize(before, noon); err == nil {
		t.Error("a key was given an expiry in the past")
	}
}

func TestTheDefaultKeyGetsNoExpiry(t *testing.T) {
	in := KeyInput{Name: "a", Category: "production", ExpiresAt: at(time.Hour)}
	if err := in.normalize(&Key{IsDefault: true}, noon); err == nil {
		t.Error("the default key was given an expiry")
	}
}

func TestSlugsAreMadeFromNamesAndChecked(t *testing.T) {
	for name, want := range map[string]string{
		"Acme Inc.":               "acme-inc",
		"  A  --  B  ":            "a-b",
		"6666":                    "",
		"42 Towels":               "towels",
		"Ünïcode":                 "n-code",
		"x":                       "",
		"new":                     "",
		"日本":                      "",
		strings.Repeat("ab ", 30): strings.TrimRight(strings.Repeat("ab-", 13), "-") + "-a",
	} {
		if got := Slugify(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	for slug, ok := range map[string]bool{
		"ab":                    true,
		"a-b-1":                 true,
		"a":                     false,
		"1a":                    false,
		"a--b":                  false,
		"-ab":                   false,
		"ab-":                   false,
		"Ab":                    false,
		"new":                   false,
		strings.Repeat("a", 40): true,
		strings.Repeat("a", 41): false,
		"a/b":                   false,
		"a b":                   false,
	} {
		if (slugProblem(slug) == "") != ok {
			t.Errorf("%q: %q", slug, slugProblem(slug))
		}
	}
}

func TestEachRoleHasItsPermissions(t *testing.T) {
	for role, may := range map[Role][]Permission{
		RoleViewer: {PermitRead}, RoleDeveloper: {PermitRead, PermitWriteKeys}, RoleAdmin: {
			PermitRead, PermitWriteKeys, PermitAdminister,
		},
		RoleOwner: {PermitRead, PermitWriteKeys, PermitAdminister}, "": {}, "stranger": {},
	} {
		for _, p := range []Permission{PermitRead, PermitWriteKeys, PermitAdminister} {
			want := false
			for _, m := range may {
				want = want || m == p
			}
			if role.May(p) != want {
				t.Errorf("%s may %s: %v", role, p, !want)
			}
		}
	}
	if RoleOwner.May("fly") {
		t.Error("an unknown permission was given")
	}
}

func TestLogTextIsSafeToStore(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b": "/a/b", "/a\x00b\r\nc": "/abc", "/\xff\xfe": "/�", "/äöü": "/äöü", "/a\u202eb": "/ab",
		strings.Repeat("ä", 10): "ääää",
	} {
		if got := LogText(in, 9); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestNewPasswordsAreChecked(t *testing.T) {
	for password, ok := range map[string]bool{
		"correct horse": true, "short": false, "": false, strings.Repeat("x", 20): false, strings.Repeat(
			"ab", 129,
		): false,
		"you@example.com": false, "ÄÖÜäöüß123": true,
	} {
		if (passwordProblem(password, "you@example.com") == "") != ok {
			t.Errorf("%q: %q", password, passwordProblem(password, "you@example.com"))
		}
	}
}

func TestEmailAddressesAreNormalizedAndChecked(t *testing.T) {
	for in, want := range map[string]string{
		" Ada@Example.COM ": "ada@example.com", "a@b.co": "a@b.co", "root@localhost": "root@localhost",
		"a": "", "a@b": "", "Ada <a@b.co>": "", "a@b.co, c@d.co": "", "": "", strings.Repeat(
			"a", 250,
		) + "@b.co": "", "a@b.co\nBcc: x": "",
	} {
		got, ok := NormalizeEmail(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
}
