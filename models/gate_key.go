package models

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"gorm.io/gorm"
)

// GateKey is what the gate needs of one version of a key.
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
	VersionEndsAt time.Time // of a version that is retiring, or has ended; zero for the newest
	Caps          Caps      `gorm:"-"`
}

// Use is what a request says of the app that makes it.
type ClientApp struct {
	Platform string // ios, android, or empty where nothing was said
	BundleID string // an iOS bundle ID or an Android package name
}

// Refusal is the code with which the key itself is turned away at now, or [requestlog.CodeValid]: checks 4 to 8 of product.md, section 3.
func (k *GateKey) DenialCode(now time.Time, use ClientApp) requestlog.Code {
	if code := k.StateDenialCode(now); code != requestlog.CodeValid {
		return code
	}
	return k.Restrictions.DenialCode(use)
}

// StateRefusal is checks 4 to 6 alone: what does not depend on who uses the key.
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

// Refusal compares what a request says of its app with what the key allows. Both are headers, which can be forged: they
// keep honest mistakes out, and nobody else.
func (r *Restrictions) DenialCode(use ClientApp) requestlog.Code {
	bundle := ""
	switch use.Platform {
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
		// Without a platform either one will do.
		if (r.IOSBundleID != "" || r.AndroidPackage != "") && use.BundleID != "" &&
			use.BundleID != r.IOSBundleID && use.BundleID != r.AndroidPackage {
			return requestlog.CodeBundleNotAllowed
		}
		return requestlog.CodeValid
	}
	if bundle != "" && use.BundleID != bundle {
		return requestlog.CodeBundleNotAllowed
	}
	return requestlog.CodeValid
}

// FindKey looks a digest up among the versions of all keys; nil where there is none.
func (s *Store) FindKey(ctx context.Context, digest Digest) (_ *GateKey, err error) {
	defer doing(&err, "find key")
	var row struct {
		GateKey `gorm:"embedded"`
		Quotas  `gorm:"embedded;embeddedPrefix:quota_"`
	}
	err = s.read.WithContext(ctx).Table("key_versions").
		Select("keys.project_id, keys.id AS key_id, keys.name, keys.type, categories.name AS category, keys.state, keys.expires_at, keys.self_rotation, "+
			"keys.platform_ios, keys.platform_android, keys.ios_bundle_id, keys.android_package, "+
			"keys.quota_total, keys.quota_daily, keys.quota_weekly, keys.quota_monthly, "+
			"key_versions.number AS version, key_versions.ends_at AS version_ends_at").
		Joins("JOIN keys ON keys.id = key_versions.key_id").
		Joins("JOIN categories ON categories.id = keys.category_id").
		Where("key_versions.digest = ?", digest[:]).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	row.GateKey.Caps = row.Quotas.Caps()
	return &row.GateKey, err
}
