package models

import (
	"time"
)

// KeyType is fixed when a key is made. Each type has its own secret prefix and its own counters.
type KeyType string

const (
	TypeProduction KeyType = "production"
	TypeTest       KeyType = "test"
)

// KeyTypes are all there are.
var KeyTypes = []KeyType{TypeProduction, TypeTest}

// SecretKind is the middle part of the secrets of such keys.
func (t KeyType) SecretKind() SecretKind {
	if t == TypeTest {
		return SecretTest
	}
	return SecretProduction
}

// KeyState is what people switch; [KeyStatus] is what follows from it and the clock.
type KeyState string

const (
	StateActive   KeyState = "active"
	StateInactive KeyState = "inactive"
	StateRevoked  KeyState = "revoked"
)

// KeyStatus is what a key is at a moment: its state, or expired.
type KeyStatus string

const (
	StatusActive   KeyStatus = "active"
	StatusInactive KeyStatus = "inactive"
	StatusExpired  KeyStatus = "expired"
	StatusRevoked  KeyStatus = "revoked"
)

// StatusOf is the one rule of what a key is at a moment. The gate rejects by it and the dashboard shows it.
// Where several hold, the one that validate would name comes out.
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
	LastUsedAt   *time.Time // moment of the newest logged request, to the second; nil if there was none ever
}

// Restrictions are what a key that ships in an app is held to. No platform means any.
type Restrictions struct {
	PlatformIOS     bool   `gorm:"column:platform_ios"`
	PlatformAndroid bool   `gorm:"column:platform_android"`
	IOSBundleID     string `gorm:"column:ios_bundle_id"`
	AndroidPackage  string
}

// Quotas cap the admitted requests of a key in rolling windows: 24 hours, 7 days, 30 days, and for ever. Nil is no cap.
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
	// CreatedByName is who made the version, as they were called then.
	CreatedByName string
	CreatedAt     time.Time
	EndsAt        *time.Time // from then on the secret is rejected
}

// VersionStatus is what a version of a key is at a moment.
type VersionStatus string

const (
	VersionCurrent  VersionStatus = "current"
	VersionRetiring VersionStatus = "retiring" // replaced, and valid until its end
	VersionEnded    VersionStatus = "ended"
)

// Status of the version at now. Whether it may be used also depends on its key.
func (v *KeyVersion) Status(now time.Time) VersionStatus {
	switch {
	case v.EndsAt == nil:
		return VersionCurrent
	case now.Before(*v.EndsAt):
		return VersionRetiring
	}
	return VersionEnded
}

// KeyName is a name that some key of the project has or had.
type KeyName struct {
	ProjectID int64 `gorm:"primaryKey"`
	Name      string
	KeyID     int64
}

// KeyDetails is a key with what lists and pages show beside it.
type KeyView struct {
	Key
	Category string
	Creator  string // e-mail address, or name of the service token; empty where nobody knows
	Prefix   string // of the newest version
	Last4    string
}

// Status is what the key is at now.
func (k *Key) Status(now time.Time) KeyStatus { return StatusOf(k.State, k.ExpiresAt, now) }

// RotationAge is after how long since its last rotation a key is flagged as due.
const RotationAge = 90 * 24 * time.Hour

// RotationDue tells whether the newest version is older than [RotationAge]. Of a revoked key it never is.
func (k *Key) RotationDue(now time.Time) bool {
	made := k.CreatedAt
	if k.RotatedAt != nil {
		made = *k.RotatedAt
	}
	return k.State != StateRevoked && now.Sub(made) > RotationAge
}

// Graces are how long a replaced version may stay valid, in the order in which forms offer them.
var Graces = []struct {
	Name   string
	Length time.Duration
}{{"now", 0}, {"15m", 15 * time.Minute}, {"1h", time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

// ParseGrace finds a grace by its name; empty is "now".
func ParseGrace(name string) (time.Duration, bool) {
	for _, g := range Graces {
		if g.Name == name || name == "" && g.Length == 0 {
			return g.Length, true
		}
	}
	return 0, false
}

// KeyAction is something a person does to a key's state.
type KeyAction string

const (
	ActionActivate   KeyAction = "activate"
	ActionDeactivate KeyAction = "deactivate"
	ActionRevoke     KeyAction = "revoke"
	ActionDelete     KeyAction = "delete"
	ActionRotate     KeyAction = "rotate"
	ActionEdit       KeyAction = "edit"
)

// BlockedReason says why the action is not possible with the key as it is, or "" where it is: the table of product.md,
// section 2. Pages show it beside the disabled button, and the transaction checks it again.
func (k *Key) BlockedReason(a KeyAction) string {
	switch {
	case k.State == StateRevoked && (a == ActionEdit || a == ActionRotate):
		return "A revoked key stays as it was and cannot be " + pastOf[a] + "."
	case a == ActionEdit || a == ActionRotate:
		return ""
	case k.IsDefault && a != ActionActivate:
		return "The default key cannot be " + pastOf[a] + ", so that a project always has a key that works."
	case k.State == StateRevoked && (a == ActionActivate || a == ActionDeactivate):
		return "A revoked key cannot be " + pastOf[a] + ": revoking is final."
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

var pastOf = map[KeyAction]string{
	ActionActivate: "activated", ActionDeactivate: "deactivated", ActionRevoke: "revoked", ActionDelete: "deleted",
	ActionRotate: "rotated", ActionEdit: "edited",
}

// facts are what the audit log keeps of a key's settings.
func (k *Key) snapshot(category string) AuditSnapshot {
	return AuditSnapshot{
		"name": k.Name, "description": k.Description, "type": k.Type, "category": category, "state": k.State, "expires_at": k.ExpiresAt,
		"self_rotation": k.SelfRotation, "platform_ios": k.PlatformIOS, "platform_android": k.PlatformAndroid,
		"ios_bundle_id": k.IOSBundleID, "android_package": k.AndroidPackage, "quota_total": k.Total, "quota_daily": k.Daily,
		"quota_weekly": k.Weekly, "quota_monthly": k.Monthly, "version": k.Version,
	}
}

func (k *Key) auditTarget() AuditTarget { return AuditTarget{"key", k.ID, k.Name} }
