package models

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// KeyInput has the fields of a key that people choose.
type KeyInput struct {
	Name         string
	Description  string
	Type         KeyType // at creation only
	Category     string  // name of a category, which is created if the project has none of that name
	ExpiresAt    *time.Time
	SelfRotation bool
	Restrictions
	Quotas
}

// input returns the key's current values of the fields that people choose.
func (k *Key) input(category string) KeyInput {
	return KeyInput{
		Name: k.Name, Description: k.Description, Type: k.Type, Category: category, ExpiresAt: k.ExpiresAt,
		SelfRotation: k.SelfRotation, Restrictions: k.Restrictions, Quotas: k.Quotas,
	}
}

const (
	maxBundleID       = 155 // Apple's limit
	maxQuota          = 1_000_000_000_000
	maxKeyName        = 64
	maxKeyDescription = 500
)

var (
	keyNamePattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	// Apple: letters, digits, hyphens and periods; Android: letters, digits and _, each part starting with a letter.
	bundleIDPattern = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	packagePattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$`)
)

// Check checks the input against the rules that need no database. before is the key before the edit, nil for a new key.
// Errors: the fields of [KeyInput].
func (in KeyInput) Check(before *Key, now time.Time) error { return in.normalize(before, now) }

// normalize trims and checks each field. before is the key before the edit, nil for a new key.
func (in *KeyInput) normalize(before *Key, now time.Time) error {
	problems := fieldErrors{}
	in.Name = strings.TrimSpace(in.Name)
	switch {
	case in.Name == "":
		problems.add("name", "Enter a name.")
	case len(in.Name) > maxKeyName:
		problems.add("name", "Use at most 64 characters.")
	case !keyNamePattern.MatchString(in.Name):
		problems.add("name", "Use letters, digits and _ only.")
	}

	in.Description = strings.TrimSpace(strings.ReplaceAll(in.Description, "\r\n", "\n"))
	if utf8.RuneCountInString(in.Description) > maxKeyDescription {
		problems.add("description", "Use at most 500 characters.")
	} else if !utf8.ValidString(in.Description) || strings.ContainsRune(in.Description, 0) {
		problems.add("description", "Use valid text.")
	}

	if before == nil && in.Type != TypeProduction && in.Type != TypeTest {
		problems.add("type", "Choose production or test.")
	}
	problems.add("category", categoryProblem(in.Category))
	in.checkRestrictions(problems)
	for field, quota := range map[string]*int64{
		"quota_total":   in.Total,
		"quota_daily":   in.Daily,
		"quota_weekly":  in.Weekly,
		"quota_monthly": in.Monthly,
	} {
		if quota != nil && (*quota < 1 || *quota > maxQuota) {
			problems.add(field, "Enter a whole number of at least 1, or leave it empty for no cap.")
		}
	}

	if in.ExpiresAt != nil {
		at := in.ExpiresAt.UTC().Truncate(time.Millisecond)
		in.ExpiresAt = &at
		unchanged := before != nil && before.ExpiresAt != nil && before.ExpiresAt.Equal(at)
		switch {
		case before != nil && before.IsDefault:
			problems.add("expires_at",
				"The default key does not expire, so that a project always has a key that works.")
		case !unchanged && !at.After(now):
			problems.add("expires_at", "Choose a moment in the future, or leave it empty.")
		case at.Year() > 9999:
			problems.add("expires_at", "Choose a year before 10000.")
		}
	}
	return problems.err()
}

func (in *KeyInput) checkRestrictions(problems fieldErrors) {
	if in.SelfRotation && (in.PlatformIOS || in.PlatformAndroid) {
		problems.add("self_rotation",
			"A key with platforms ships in an app, where everybody can read it, so it must not rotate itself.")
	}
	in.IOSBundleID = strings.TrimSpace(in.IOSBundleID)
	in.AndroidPackage = strings.TrimSpace(in.AndroidPackage)
	for _, c := range []struct {
		field, value, example string
		pattern               *regexp.Regexp
		platform, other       bool
	}{
		{"ios_bundle_id", in.IOSBundleID, "com.example.app", bundleIDPattern, in.PlatformIOS, in.PlatformAndroid},
		{"android_package", in.AndroidPackage, "com.example.app", packagePattern, in.PlatformAndroid, in.PlatformIOS},
	} {
		switch {
		case c.value == "":
		case len(c.value) > maxBundleID:
			problems.add(c.field, "Use at most 155 characters.")
		case !c.pattern.MatchString(c.value):
			problems.add(c.field, "Use reverse-DNS form, such as "+c.example+".")
		case c.other && !c.platform:
			problems.add(c.field, "The platforms chosen above leave this one out.")
		}
	}
}
