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
	Status         models.KeyStatus `json:"status"` // at this moment
	State          models.KeyState  `json:"state"`  // as it was switched
	IsDefault      bool             `json:"is_default"`
	Version        int              `json:"version"`
	Prefix         string           `json:"prefix"` // what the newest secret begins with
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

// issuedKey is a key with the secret that was just made.
type issuedKey struct {
	keyObject
	Secret   *string `json:"secret"` // null where the request was made before
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

// keyBody is what a caller may say of a key in JSON. Null and absent are the same for a new key; of one that is there,
// null clears and what is absent stays.
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

// readKeyInput gives a key's settings as they are with what the body says in their place. key is the one that has
// them, nil for a new one. Errors: [requestlog.CodeBadRequest], and [models.CodeInvalid] with everything that is
// wrong.
func readKeyInput(body []byte, key *models.Key, as models.KeyInput, now time.Time) (models.KeyInput, error) {
	said := newKeyBody(as)
	if err := web.ParseJSON(body, said); err != nil {
		return models.KeyInput{}, err
	}
	problems := map[string]string{}
	in := models.KeyInput{
		Name: valueOf(said.Name), Description: valueOf(said.Description), Type: models.KeyType(valueOf(said.Type)),
		Category:     valueOf(said.Category),
		SelfRotation: valueOf(said.SelfRotation), Quotas: models.Quotas(valueOf(said.Quotas)),
		Restrictions: models.Restrictions{IOSBundleID: valueOf(said.IOSBundleID),
			AndroidPackage: valueOf(said.AndroidPackage)},
	}
	for _, platform := range said.Platforms {
		switch platform {
		case platformIOS:
			in.PlatformIOS = true
		case platformAndroid:
			in.PlatformAndroid = true
		default:
			problems["platforms"] = "Use ios and android only."
		}
	}
	if said.ExpiresAt != nil {
		if at, err := time.Parse(time.RFC3339, *said.ExpiresAt); err == nil {
			in.ExpiresAt = &at
		} else {
			problems["expires_at"] = "Give a time as in RFC 3339, such as 2026-03-14T09:26:53Z."
		}
	}
	if key != nil && in.Type != key.Type {
		problems["type"] = "The type of a key is fixed when it is made."
	}
	if len(problems) > 0 {
		return in, web.WithProblems(problems, in.Check(key, now))
	}
	return in, nil
}

// newKeyBody is the body that says what is so already: reading JSON over it changes what the JSON says.
func newKeyBody(as models.KeyInput) *keyBody {
	kind, quotas := string(as.Type), keyQuotas(as.Quotas)
	body := &keyBody{
		Name: &as.Name, Description: &as.Description, Type: &kind, Category: &as.Category,
		SelfRotation: &as.SelfRotation,
		Platforms:    platforms(as.Restrictions), IOSBundleID: &as.IOSBundleID, AndroidPackage: &as.AndroidPackage,
		Quotas: quotas.copy(),
	}
	if as.ExpiresAt != nil {
		text := as.ExpiresAt.UTC().Format(time.RFC3339Nano)
		body.ExpiresAt = &text
	}
	return body
}

// copy gives quotas of their own: reading JSON writes where their pointers point.
func (q keyQuotas) copy() *keyQuotas {
	for _, cap := range []**int64{&q.Total, &q.Daily, &q.Weekly, &q.Monthly} {
		if *cap != nil {
			n := **cap
			*cap = &n
		}
	}
	return &q
}

// valueOf is what p points to, the zero value for null.
func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// keyFieldsOfJSON gives the fields of an error about a key the names that they have in JSON.
func keyFieldsOfJSON(err error) error {
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
