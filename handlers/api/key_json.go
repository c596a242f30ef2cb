package api

import (
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/web"
)

// keyObject is a key in JSON.
type keyObject struct {
	ID             int64            `json:"id"`
	Name           string           `json:"name"`
	Description    string           `json:"description"`
	Type           models.KeyType   `json:"type"`
	Category       string           `json:"category"`
	Status         models.KeyStatus `json:"status"` // now, which depends on the clock
	State          models.KeyState  `json:"state"`  // as it was set
	IsDefault      bool             `json:"is_default"`
	Version        int              `json:"version"`
	Prefix         string           `json:"prefix"` // of the newest secret
	Last4          string           `json:"last4"`
	ExpiresAt      *time.Time       `json:"expires_at"`
	SelfRotation   bool             `json:"self_rotation"`
	Platforms      []string         `json:"platforms"`
	IOSBundleID    *string          `json:"ios_bundle_id"`
	AndroidPackage *string          `json:"android_package"`
	Quotas         keyQuotas        `json:"quotas"`
	RotationDue    bool             `json:"rotation_due"`
	CreatedBy      *string          `json:"created_by"`
	CreatedAt      time.Time        `json:"created_at"`
	UpdatedAt      time.Time        `json:"updated_at"`
	RotatedAt      *time.Time       `json:"rotated_at"`
	LastUsedAt     *time.Time       `json:"last_used_at"`
}

type keyQuotas struct {
	Total   *int64 `json:"total"`
	Daily   *int64 `json:"daily"`
	Weekly  *int64 `json:"weekly"`
	Monthly *int64 `json:"monthly"`
}

// issuedKey is a key with the secret that was just created.
type issuedKey struct {
	keyObject
	Secret   *string `json:"secret"` // null if the request was made before
	Replayed bool    `json:"replayed"`
}

const (
	platformIOS     = "ios"
	platformAndroid = "android"
)

func (a *API) keyObject(k *models.KeyView) keyObject {
	return keyObject{
		ID: k.ID, Name: k.Name, Description: k.Description, Type: k.Type, Category: k.Category,
		Status: k.Status(a.Now()), State: k.State,
		IsDefault: k.IsDefault, Version: k.Version, Prefix: k.Prefix + "_" + string(k.Type.SecretKind()),
		Last4:     k.Last4,
		ExpiresAt: utc(k.ExpiresAt), SelfRotation: k.SelfRotation, Platforms: platforms(k.Restrictions),
		IOSBundleID: web.TextOrNull(k.IOSBundleID), AndroidPackage: web.TextOrNull(k.AndroidPackage),
		Quotas:      keyQuotas(k.Quotas),
		RotationDue: k.RotationDue(a.Now()), CreatedBy: web.TextOrNull(k.Creator),
		CreatedAt: k.CreatedAt.UTC(), UpdatedAt: k.UpdatedAt.UTC(), RotatedAt: utc(k.RotatedAt),
		LastUsedAt: utc(k.LastUsedAt),
	}
}

func platforms(r models.Restrictions) []string {
	list := []string{}
	if r.PlatformIOS {
		list = append(list, platformIOS)
	}
	if r.PlatformAndroid {
		list = append(list, platformAndroid)
	}
	return list
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	moment := at.UTC()
	return &moment
}

// keyBody is the body of a request that creates or changes a key. For a new key null and absent mean the same. For an
// existing one null clears a field, and an absent field stays unchanged.
type keyBody struct {
	Name           *string    `json:"name"`
	Description    *string    `json:"description"`
	Type           *string    `json:"type"`
	Category       *string    `json:"category"`
	ExpiresAt      *string    `json:"expires_at"`
	SelfRotation   *bool      `json:"self_rotation"`
	Platforms      []string   `json:"platforms"`
	IOSBundleID    *string    `json:"ios_bundle_id"`
	AndroidPackage *string    `json:"android_package"`
	Quotas         *keyQuotas `json:"quotas"`
}

// readKeyInput returns the settings current with the changes of the body. key is the key that has these settings, nil
// for a new one. Errors: [requestlog.CodeBadRequest], and [models.CodeInvalid] with all fields that are wrong.
func readKeyInput(body []byte, key *models.Key, current models.KeyInput, now time.Time) (models.KeyInput, error) {
	b := newKeyBody(current)
	if err := web.ParseJSON(body, b); err != nil {
		return models.KeyInput{}, err
	}
	problems := map[string]string{}
	in := models.KeyInput{
		Name: valueOf(b.Name), Description: valueOf(b.Description), Type: models.KeyType(valueOf(b.Type)),
		Category:     valueOf(b.Category),
		SelfRotation: valueOf(b.SelfRotation), Quotas: models.Quotas(valueOf(b.Quotas)),
		Restrictions: models.Restrictions{IOSBundleID: valueOf(b.IOSBundleID),
			AndroidPackage: valueOf(b.AndroidPackage)},
	}
	for _, platform := range b.Platforms {
		switch platform {
		case platformIOS:
			in.PlatformIOS = true
		case platformAndroid:
			in.PlatformAndroid = true
		default:
			problems["platforms"] = "Use only ios and android."
		}
	}
	if b.ExpiresAt != nil {
		if at, err := time.Parse(time.RFC3339, *b.ExpiresAt); err == nil {
			in.ExpiresAt = &at
		} else {
			problems["expires_at"] = "Use a time in RFC 3339 format, such as 2026-03-14T09:26:53Z."
		}
	}
	if key != nil && in.Type != key.Type {
		problems["type"] = "The type of a key cannot be changed."
	}
	if len(problems) > 0 {
		return in, web.WithProblems(problems, in.Check(key, now))
	}
	return in, nil
}

// newKeyBody returns a body with the current settings. Reading JSON into it changes only the fields of the JSON.
func newKeyBody(current models.KeyInput) *keyBody {
	kind, quotas := string(current.Type), keyQuotas(current.Quotas)
	body := &keyBody{
		Name:           &current.Name,
		Description:    &current.Description,
		Type:           &kind,
		Category:       &current.Category,
		SelfRotation:   &current.SelfRotation,
		Platforms:      platforms(current.Restrictions),
		IOSBundleID:    &current.IOSBundleID,
		AndroidPackage: &current.AndroidPackage,
		Quotas:         quotas.copy(),
	}
	if current.ExpiresAt != nil {
		text := current.ExpiresAt.UTC().Format(time.RFC3339Nano)
		body.ExpiresAt = &text
	}
	return body
}

// copy returns a deep copy, because reading JSON writes to the values that the pointers refer to.
func (q keyQuotas) copy() *keyQuotas {
	for _, cap := range []**int64{&q.Total, &q.Daily, &q.Weekly, &q.Monthly} {
		if *cap != nil {
			n := **cap
			*cap = &n
		}
	}
	return &q
}

// valueOf returns the value that p points to, or the zero value for nil.
func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// withJSONNames renames the fields of an error about a key to their names in JSON.
func withJSONNames(err error) error {
	var known *models.Error
	if !errors.As(err, &known) || known.Fields == nil {
		return err
	}
	renamed := *known
	renamed.Fields = maps.Clone(known.Fields)
	for name, text := range known.Fields {
		if quota, found := strings.CutPrefix(name, "quota_"); found {
			delete(renamed.Fields, name)
			renamed.Fields["quotas."+quota] = text
		}
	}
	return &renamed
}
