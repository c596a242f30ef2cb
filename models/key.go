package models

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// KeyType is fixed when a key is made. Each type has its own secret prefix and its own counters.
type KeyType string

const (
	TypeProduction KeyType = "production"
	TypeTest       KeyType = "test"
)

func (t KeyType) secretKind() SecretKind {
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

// KeyStatuses in the order in which filters offer them.
var KeyStatuses = []KeyStatus{StatusActive, StatusInactive, StatusExpired, StatusRevoked}

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
	Version      int // number of the newest version
	CreatedBy    *int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
	LastUsedAt   *time.Time // moment of the newest logged request, to the second; nil if there was none ever
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
	CreatedAt time.Time
	EndsAt    *time.Time // from then on the secret is rejected
}

// KeyName is a name that some key of the project has or had.
type KeyName struct {
	ProjectID int64 `gorm:"primaryKey"`
	Name      string
	KeyID     int64
}

// KeyDetails is a key with what lists and pages show beside it.
type KeyDetails struct {
	Key
	Category     string
	CreatorEmail string // empty for an account that is gone
	Prefix       string // of the newest version
	Last4        string
}

// Status is what the key is at now.
func (k *Key) Status(now time.Time) KeyStatus { return StatusOf(k.State, k.ExpiresAt, now) }

// KeyAction is something a person does to a key's state.
type KeyAction string

const (
	ActionActivate   KeyAction = "activate"
	ActionDeactivate KeyAction = "deactivate"
	ActionRevoke     KeyAction = "revoke"
	ActionDelete     KeyAction = "delete"
)

// Obstacle says why the action is not possible with the key as it is, or "" where it is: the table of product.md,
// section 2. Pages show it beside the disabled button, and the transaction checks it again.
func (k *Key) Obstacle(a KeyAction) string {
	switch {
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
}

// KeyInput is what a person chooses of a key.
type KeyInput struct {
	Name         string
	Description  string
	Type         KeyType // at creation only
	Category     string  // a label of the project, or a new one
	ExpiresAt    *time.Time
	SelfRotation bool
}

const (
	maxKeyName        = 64
	maxKeyDescription = 500
)

var keyNamePattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// normalize trims and checks each field. before is the key as it was, nil for a new one.
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

	if in.ExpiresAt != nil {
		at := in.ExpiresAt.UTC().Truncate(time.Millisecond)
		in.ExpiresAt = &at
		unchanged := before != nil && before.ExpiresAt != nil && before.ExpiresAt.Equal(at)
		switch {
		case before != nil && before.IsDefault:
			problems.add("expires_at", "The default key does not expire, so that a project always has a key that works.")
		case !unchanged && !at.After(now):
			problems.add("expires_at", "Choose a moment in the future, or leave it empty.")
		case at.Year() > 9999:
			problems.add("expires_at", "Choose a year before 10000.")
		}
	}
	return problems.err()
}
