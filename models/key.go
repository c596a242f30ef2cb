package models

import (
	"time"
)

// KeyType separates keys for production from those for tests. It is fixed when a key is made. Secrets of each type have
// their own form, and each type has its own counts.
type KeyType string

const (
	TypeProduction KeyType = "production"
	TypeTest       KeyType = "test"
)

// KeyTypes lists all types.
var KeyTypes = []KeyType{TypeProduction, TypeTest}

// SecretKind returns the middle part of the secrets of keys of this type.
func (t KeyType) SecretKind() SecretKind {
	if t == TypeTest {
		return SecretTest
	}
	return SecretProduction
}

// KeyState is the stored state of a key, which people change. [KeyStatus] follows from it and the time.
type KeyState string

const (
	StateActive   KeyState = "active"
	StateInactive KeyState = "inactive"
	StateRevoked  KeyState = "revoked"
)

// KeyStatus is the status of a key at some time: its state, or expired.
type KeyStatus string

const (
	StatusActive   KeyStatus = "active"
	StatusInactive KeyStatus = "inactive"
	StatusExpired  KeyStatus = "expired"
	StatusRevoked  KeyStatus = "revoked"
)

// StatusOf returns the status of a key at now. Both the gate and the dashboard use it. If a key is expired and
// inactive or revoked, the status is the one that validate names first.
func StatusOf(state KeyState, expiresAt *time.Time, now time.Time) KeyStatus {
	switch {
	case state == StateRevoked:
		return StatusRevoked
	case state == StateInactive:
		return StatusInactive
	case expiresAt != nil && !now.Before(*expiresAt):
		return StatusExpired
	}
	return StatusActive
}

// Key is a lasting identity with one or more versions.
type Key struct {
	ID           int64
	ProjectID    int64
	Name         string
	Description  string
	Type         KeyType
	CategoryID   int64
	State        KeyState
	IsDefault    bool
	SelfRotation bool
	ExpiresAt    *time.Time
	Restrictions `gorm:"embedded"`
	Quotas       `gorm:"embedded;embeddedPrefix:quota_"`
	Version      int // number of the newest version
	CreatedBy    *int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
	RotatedAt    *time.Time // when the newest version was made; nil while that is the first
	LastUsedAt   *time.Time // time of the newest logged request, to the second; nil if there never was one
}

// Restrictions say in which apps a key may be used. No platform means any.
type Restrictions struct {
	PlatformIOS     bool   `gorm:"column:platform_ios"`
	PlatformAndroid bool   `gorm:"column:platform_android"`
	IOSBundleID     string `gorm:"column:ios_bundle_id"`
	AndroidPackage  string
}

// Quotas cap the admitted requests of a key in rolling windows of 24 hours, 7 days and 30 days, and in total. Nil is no
// cap.
type Quotas struct {
	Total   *int64
	Daily   *int64
	Weekly  *int64
	Monthly *int64
}

// KeyVersion is one secret of a key.
type KeyVersion struct {
	ID        int64
	KeyID     int64
	Number    int
	Digest    []byte
	Prefix    string
	Last4     string
	CreatedBy *int64
	// CreatedByName is the name that the actor had when the version was made.
	CreatedByName string
	CreatedAt     time.Time
	EndsAt        *time.Time // from then on the secret is rejected; nil for the current version
}

// VersionStatus is the status of a version at some time.
type VersionStatus string

const (
	VersionCurrent  VersionStatus = "current"
	VersionRetiring VersionStatus = "retiring" // replaced, and valid until its end
	VersionEnded    VersionStatus = "ended"
)

// Status returns the version's status at now. Whether the secret is valid also depends on its key.
func (v *KeyVersion) Status(now time.Time) VersionStatus {
	switch {
	case v.EndsAt == nil:
		return VersionCurrent
	case now.Before(*v.EndsAt):
		return VersionRetiring
	}
	return VersionEnded
}

// KeyName is a name that a key of the project has or had.
type KeyName struct {
	ProjectID int64 `gorm:"primaryKey"`
	Name      string
	KeyID     int64
}

// KeyView is a key with what lists and pages show beside it.
type KeyView struct {
	Key
	Category string
	Creator  string // e-mail address, or name of the service token; empty if unknown
	Prefix   string // of the newest version
	Last4    string
}

// Status returns the key's status at now.
func (k *Key) Status(now time.Time) KeyStatus { return StatusOf(k.State, k.ExpiresAt, now) }

// RotationAge is the age of the newest version after which a key is flagged as due for rotation.
const RotationAge = 90 * 24 * time.Hour

// RotationDue reports whether the newest version is older than [RotationAge]. It is false for a revoked key.
func (k *Key) RotationDue(now time.Time) bool {
	made := k.CreatedAt
	if k.RotatedAt != nil {
		made = *k.RotatedAt
	}
	return k.State != StateRevoked && now.Sub(made) > RotationAge
}

// Graces are the lengths of grace that can be chosen for a replaced version, in the order in which forms offer them.
var Graces = []struct {
	Name   string
	Length time.Duration
}{
	{"now", 0},
	{"15m", 15 * time.Minute},
	{"1h", time.Hour},
	{"24h", 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
}

// ParseGrace returns the length of the grace of that name; empty is "now". It returns false for an unknown name.
func ParseGrace(name string) (time.Duration, bool) {
	for _, g := range Graces {
		if g.Name == name || name == "" && g.Length == 0 {
			return g.Length, true
		}
	}
	return 0, false
}

// KeyAction is a change of a key that its state may not allow.
type KeyAction string

const (
	ActionActivate   KeyAction = "activate"
	ActionDeactivate KeyAction = "deactivate"
	ActionRevoke     KeyAction = "revoke"
	ActionDelete     KeyAction = "delete"
	ActionRotate     KeyAction = "rotate"
	ActionEdit       KeyAction = "edit"
)

// BlockedReason returns why the action is not possible in the key's current state, or "" if it is possible: the table
// of product.md, section 2. Pages show it beside the disabled button, and the transaction checks it again.
func (k *Key) BlockedReason(a KeyAction) string {
	switch {
	case k.State == StateRevoked && (a == ActionEdit || a == ActionRotate):
		return "A revoked key stays as it was and cannot be " + pastTense[a] + "."
	case a == ActionEdit || a == ActionRotate:
		return ""
	case k.IsDefault && a != ActionActivate:
		return "The default key cannot be " + pastTense[a] + ", so that a project always has a key that works."
	case k.State == StateRevoked && (a == ActionActivate || a == ActionDeactivate):
		return "A revoked key cannot be " + pastTense[a] + ": revoking is final."
	case a == ActionActivate && k.State == StateActive:
		return "The key is active already."
	case a == ActionDeactivate && k.State == StateInactive:
		return "The key is inactive already."
	case a == ActionRevoke && k.State == StateRevoked:
		return "The key is revoked already."
	case a == ActionDelete && k.LastUsedAt != nil:
		return "A key that was used cannot be deleted, because its requests stay on record. Deactivate it instead."
	}
	return ""
}

var pastTense = map[KeyAction]string{
	ActionActivate:   "activated",
	ActionDeactivate: "deactivated",
	ActionRevoke:     "revoked",
	ActionDelete:     "deleted",
	ActionRotate:     "rotated",
	ActionEdit:       "edited",
}

// snapshot returns the key's settings as audit rows store them.
func (k *Key) snapshot(category string) AuditSnapshot {
	return AuditSnapshot{
		"name":             k.Name,
		"description":      k.Description,
		"type":             k.Type,
		"category":         category,
		"state":            k.State,
		"expires_at":       k.ExpiresAt,
		"self_rotation":    k.SelfRotation,
		"platform_ios":     k.PlatformIOS,
		"platform_android": k.PlatformAndroid,
		"ios_bundle_id":    k.IOSBundleID,
		"android_package":  k.AndroidPackage,
		"quota_total":      k.Total,
		"quota_daily":      k.Daily,
		"quota_weekly":     k.Weekly,
		"quota_monthly":    k.Monthly,
		"version":          k.Version,
	}
}

func (k *Key) auditTarget() AuditTarget { return AuditTarget{"key", k.ID, k.Name} }
