package models

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"gorm.io/gorm"
)

// GateKey has the fields that the gate needs of one version of a key.
type GateKey struct {
	ProjectID     int64
	KeyID         int64
	Name          string
	Type          KeyType
	Category      string
	State         KeyState
	ExpiresAt     time.Time // zero: never
	SelfRotation  bool
	Restrictions  `gorm:"embedded"`
	Version       int
	VersionEndsAt time.Time // end of a replaced version; zero for the newest
	Caps          Caps      `gorm:"-"`
}

// ClientApp is what a request says about the app that sent it.
type ClientApp struct {
	Platform string // ios or android; empty if the request did not say
	BundleID string // an iOS bundle ID or an Android package name
}

// DenialCode returns the code with which a rule of the key rejects a request at now, or [requestlog.CodeValid]. It
// makes the checks of product.md, section 3, that need only the key and the request: state, version, expiry, platform
// and bundle.
func (k *GateKey) DenialCode(now time.Time, app ClientApp) requestlog.Code {
	if code := k.StateDenialCode(now); code != requestlog.CodeValid {
		return code
	}
	return k.Restrictions.DenialCode(app)
}

// StateDenialCode is DenialCode without the checks that depend on the request: state, version and expiry only.
func (k *GateKey) StateDenialCode(now time.Time) requestlog.Code {
	if !k.VersionEndsAt.IsZero() && !now.Before(k.VersionEndsAt) {
		return requestlog.CodeKeyRevoked
	}
	var expires *time.Time
	if !k.ExpiresAt.IsZero() {
		expires = &k.ExpiresAt
	}
	switch StatusOf(k.State, expires, now) {
	case StatusRevoked:
		return requestlog.CodeKeyRevoked
	case StatusInactive:
		return requestlog.CodeKeyInactive
	case StatusExpired:
		return requestlog.CodeKeyExpired
	}
	return requestlog.CodeValid
}

// DenialCode returns the code with which the restrictions reject a request of app, or [requestlog.CodeValid]. What a
// request says about its app can be forged, so restrictions only prevent honest mistakes.
func (r *Restrictions) DenialCode(app ClientApp) requestlog.Code {
	bundle := ""
	switch app.Platform {
	case "ios":
		bundle = r.IOSBundleID
		if !r.PlatformIOS && r.PlatformAndroid {
			return requestlog.CodePlatformNotAllowed
		}
	case "android":
		bundle = r.AndroidPackage
		if !r.PlatformAndroid && r.PlatformIOS {
			return requestlog.CodePlatformNotAllowed
		}
	default:
		if r.PlatformIOS || r.PlatformAndroid {
			return requestlog.CodePlatformNotAllowed
		}
		// Without a platform, the bundle ID of either platform is accepted.
		if (r.IOSBundleID != "" || r.AndroidPackage != "") &&
			app.BundleID != "" &&
			app.BundleID != r.IOSBundleID &&
			app.BundleID != r.AndroidPackage {
			return requestlog.CodeBundleNotAllowed
		}
		return requestlog.CodeValid
	}
	if bundle != "" && app.BundleID != bundle {
		return requestlog.CodeBundleNotAllowed
	}
	return requestlog.CodeValid
}

// FindKey finds the version of a key with that digest. It returns nil if there is none.
func (s *Store) FindKey(ctx context.Context, digest Digest) (_ *GateKey, err error) {
	defer doing(&err, "find key")
	var row struct {
		GateKey `gorm:"embedded"`
		Quotas  `gorm:"embedded;embeddedPrefix:quota_"`
	}
	err = s.read.WithContext(ctx).Table("key_versions").
		Select(`
			keys.project_id, keys.id AS key_id, keys.name, keys.type, categories.name AS category,
			keys.state, keys.expires_at, keys.self_rotation,
			keys.platform_ios, keys.platform_android, keys.ios_bundle_id, keys.android_package,
			keys.quota_total, keys.quota_daily, keys.quota_weekly, keys.quota_monthly,
			key_versions.number AS version, key_versions.ends_at AS version_ends_at
		`).
		Joins("JOIN keys ON keys.id = key_versions.key_id").
		Joins("JOIN categories ON categories.id = keys.category_id").
		Where("key_versions.digest = ?", digest[:]).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	row.GateKey.Caps = row.Quotas.Caps()
	return &row.GateKey, err
}
