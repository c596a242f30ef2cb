package models

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateKey makes a key with its first version. The secret is returned this once. Errors: the fields of [KeyInput].
func (s *Store) CreateKey(ctx context.Context, projectID int64, actor Actor, in KeyInput) (*Key, Secret, error) {
	if err := in.normalize(nil, s.Now()); err != nil {
		return nil, Secret{}, err
	}
	var (
		key    *Key
		secret Secret
	)
	err := s.change(ctx, projectID, actor, func(c *change) error {
		var project Project
		if err := c.tx.Take(&project, projectID).Error; err != nil {
			return notFoundAs(err, "project")
		}
		var err error
		key, secret, err = c.createKey(&project, in, false)
		return err
	})
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, nil
}

func (c *change) createKey(project *Project, in KeyInput, isDefault bool) (*Key, Secret, error) {
	category, err := c.ensureCategory(project.ID, in.Category)
	if err != nil {
		return nil, Secret{}, err
	}
	key := &Key{
		ProjectID: project.ID, Name: in.Name, Description: in.Description, Type: in.Type, CategoryID: category.ID,
		State: StateActive, IsDefault: isDefault, SelfRotation: in.SelfRotation, ExpiresAt: in.ExpiresAt,
		Restrictions: in.Restrictions, Quotas: in.Quotas,
		Version: 1, CreatedBy: c.actor.userID(), CreatedAt: c.now, UpdatedAt: c.now,
	}
	if err := c.tx.Create(key).Error; err != nil {
		return nil, Secret{}, nameTaken(err)
	}
	if err := claimName(c.tx, key); err != nil {
		return nil, Secret{}, err
	}
	secret, err := c.createVersion(key, project.KeyPrefix)
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, c.log("key.create", key.object(), nil, key.facts(category.Name))
}

// createVersion makes the secret of the key's version.
func (c *change) createVersion(key *Key, prefix string) (Secret, error) {
	secret, err := newSecret(c.store.random, prefix, key.Type.secretKind())
	if err != nil {
		return Secret{}, err
	}
	digest := c.store.pepper.Digest(secret)
	return secret, c.tx.Create(&KeyVersion{
		KeyID: key.ID, Number: key.Version, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		CreatedBy: c.actor.userID(), CreatedByName: c.actor.Name, CreatedAt: c.now,
	}).Error
}

func (c *change) createDefaultKey(project *Project) (*Key, Secret, error) {
	suffix, err := rand.Int(c.store.random, big.NewInt(1_000_000))
	if err != nil {
		return nil, Secret{}, err
	}
	return c.createKey(project, KeyInput{
		Name:        fmt.Sprintf("%d_default_%06d", project.ID, suffix),
		Description: "Made with the project.",
		Type:        TypeProduction,
		Category:    BuiltInCategories[0],
	}, true)
}

// claimName writes the key's name into the book of names. Its own former names are free to it, those of others never.
func claimName(tx *gorm.DB, key *Key) error {
	err := tx.Clauses(clause.OnConflict{DoNothing: true}).
		Create(&KeyName{ProjectID: key.ProjectID, Name: key.Name, KeyID: key.ID}).Error
	if err != nil {
		return err
	}
	var owner int64
	err = tx.Model(&KeyName{}).Where("project_id = ? AND name = ?", key.ProjectID, key.Name).Pluck("key_id", &owner).Error
	if err == nil && owner != key.ID {
		return invalidField("name", "Another key had this name before. Names are never used again, so that history stays clear.")
	}
	return err
}

func nameTaken(err error) error {
	if isDuplicate(err) {
		return invalidField("name", "A key of this project has this name already.")
	}
	return err
}

// UpdateKey changes what a person may change of a key: all of [KeyInput] but the type.
func (s *Store) UpdateKey(ctx context.Context, projectID, keyID int64, actor Actor, in KeyInput) (*Key, error) {
	return s.changeKey(ctx, projectID, keyID, actor, ActionEdit, func(c *change, key *Key) error {
		if err := in.normalize(key, c.now); err != nil {
			return err
		}
		var was Category
		if err := c.tx.Take(&was, key.CategoryID).Error; err != nil {
			return err
		}
		before := key.facts(was.Name)
		category, err := c.ensureCategory(projectID, in.Category)
		if err != nil {
			return err
		}
		key.Name, key.Description, key.CategoryID = in.Name, in.Description, category.ID
		key.ExpiresAt, key.SelfRotation, key.UpdatedAt = in.ExpiresAt, in.SelfRotation, c.now
		key.Restrictions, key.Quotas = in.Restrictions, in.Quotas
		err = c.tx.Model(key).Select("name", "description", "category_id", "expires_at", "self_rotation", "updated_at",
			"platform_ios", "platform_android", "ios_bundle_id", "android_package",
			"quota_total", "quota_daily", "quota_weekly", "quota_monthly").Updates(key).Error
		if err != nil {
			return nameTaken(err)
		}
		if err := claimName(c.tx, key); err != nil {
			return err
		}
		return c.log("key.edit", key.object(), before, key.facts(category.Name))
	})
}

// ChangeKeyState activates, deactivates or revokes a key; [CodeConflict] with the reason where that is not possible.
func (s *Store) ChangeKeyState(ctx context.Context, projectID, keyID int64, actor Actor, action KeyAction) (*Key, error) {
	next, known := map[KeyAction]KeyState{
		ActionActivate: StateActive, ActionDeactivate: StateInactive, ActionRevoke: StateRevoked,
	}[action]
	if !known {
		return nil, fmt.Errorf("no state follows from %q", action)
	}
	return s.changeKey(ctx, projectID, keyID, actor, action, func(c *change, key *Key) error {
		before := Facts{"state": key.State}
		key.State, key.UpdatedAt = next, c.now
		if err := c.tx.Model(key).Select("state", "updated_at").Updates(key).Error; err != nil {
			return err
		}
		return c.log("key."+string(action), key.object(), before, Facts{"state": key.State})
	})
}

// DeleteKey removes a key that was never used. Its name stays taken.
func (s *Store) DeleteKey(ctx context.Context, projectID, keyID int64, actor Actor) (*Key, error) {
	return s.changeKey(ctx, projectID, keyID, actor, ActionDelete, func(c *change, key *Key) error {
		result := c.tx.Where("project_id = ? AND last_used_at IS NULL", projectID).Delete(key)
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected == 0 { // a request was written down at this moment
			key.LastUsedAt = &c.now
			return Conflict(key.Obstacle(ActionDelete))
		}
		return c.log("key.delete", key.object(), Facts{"name": key.Name, "type": key.Type, "state": key.State}, nil)
	})
}

// changeKey runs fn with a key of the project that is locked, where the key as it is allows the action.
func (s *Store) changeKey(ctx context.Context, projectID, keyID int64, actor Actor, action KeyAction, fn func(*change, *Key) error) (*Key, error) {
	var key *Key
	err := s.change(ctx, projectID, actor, func(c *change) error {
		var err error
		if key, err = lockKey(c.tx, projectID, keyID); err != nil {
			return err
		}
		if why := key.Obstacle(action); why != "" {
			return Conflict(why)
		}
		return fn(c, key)
	})
	return key, err
}

// lockKey reads a key of the project for changing it.
func lockKey(tx *gorm.DB, projectID, keyID int64) (*Key, error) {
	var key Key
	err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("project_id = ? AND id = ?", projectID, keyID).Take(&key).Error
	return &key, notFoundAs(err, "key")
}

// keyDetails selects keys of a project with what [KeyDetails] adds, in one query.
func (s *Store) keyDetails(ctx context.Context, projectID int64) *gorm.DB {
	return s.read.WithContext(ctx).Table("keys").
		Select("keys.*, categories.name AS category, COALESCE(users.email, '') AS creator_email, key_versions.prefix, key_versions.last4").
		Joins("JOIN categories ON categories.id = keys.category_id").
		Joins("JOIN key_versions ON key_versions.key_id = keys.id AND key_versions.number = keys.version").
		Joins("LEFT JOIN users ON users.id = keys.created_by").
		Where("keys.project_id = ?", projectID)
}

// Key reads one key of the project, or [CodeNotFound].
func (s *Store) Key(ctx context.Context, projectID, keyID int64) (*KeyDetails, error) {
	var key KeyDetails
	err := s.keyDetails(ctx, projectID).Where("keys.id = ?", keyID).Take(&key).Error
	return &key, notFoundAs(err, "key")
}

// KeyFilter narrows a list of keys; empty fields do not.
type KeyFilter struct {
	Search   string // part of the name or the description, or the last 4 characters
	Type     KeyType
	Category string
	Status   KeyStatus
	Before   int64 // only keys with a smaller id: the cursor
	Limit    int
}

// KeyPage is a stretch of the list, newest first.
type KeyPage struct {
	Keys []KeyDetails
	Next int64 // cursor of the next page, 0 on the last one
}

// Keys lists keys of a project, newest first.
func (s *Store) Keys(ctx context.Context, projectID int64, f KeyFilter) (KeyPage, error) {
	q := s.keyDetails(ctx, projectID)
	if f.Search != "" {
		q = q.Where(`(lower(keys.name) LIKE ? ESCAPE '\' OR lower(keys.description) LIKE ? ESCAPE '\' OR key_versions.last4 = ?)`,
			like(f.Search), like(f.Search), f.Search)
	}
	if f.Type != "" {
		q = q.Where("keys.type = ?", f.Type)
	}
	if f.Category != "" {
		q = q.Where("categories.name = ?", f.Category)
	}
	now := s.Now()
	switch f.Status { // the same rule as StatusOf, for the database
	case StatusActive:
		q = q.Where("keys.state = 'active' AND (keys.expires_at IS NULL OR keys.expires_at > ?)", now)
	case StatusExpired:
		q = q.Where("keys.state = 'active' AND keys.expires_at <= ?", now)
	case StatusInactive, StatusRevoked:
		q = q.Where("keys.state = ?", string(f.Status))
	}
	if f.Before > 0 {
		q = q.Where("keys.id < ?", f.Before)
	}
	var page KeyPage
	if err := q.Order("keys.id DESC").Limit(f.Limit + 1).Find(&page.Keys).Error; err != nil {
		return KeyPage{}, err
	}
	if len(page.Keys) > f.Limit {
		page.Keys = page.Keys[:f.Limit]
		page.Next = page.Keys[f.Limit-1].ID
	}
	return page, nil
}

// CountActiveKeys counts the keys that are active at this moment: not inactive, not revoked, not expired.
func (s *Store) CountActiveKeys(ctx context.Context, projectID int64) (n int64, err error) {
	err = s.read.WithContext(ctx).Model(&Key{}).
		Where("project_id = ? AND state = 'active' AND (expires_at IS NULL OR expires_at > ?)", projectID, s.Now()).Count(&n).Error
	return n, err
}

// KeyIDByName finds the key that has or had the name.
func (s *Store) KeyIDByName(ctx context.Context, projectID int64, name string) (int64, error) {
	var row KeyName
	err := s.read.WithContext(ctx).Where("project_id = ? AND name = ?", projectID, name).Take(&row).Error
	return row.KeyID, notFoundAs(err, "key")
}

// FreeKeyName gives a name like the given one that no key of the project has or had: "server_prod_2".
func (s *Store) FreeKeyName(ctx context.Context, projectID int64, name string) (string, error) {
	base := numberAtEnd.ReplaceAllString(name, "")
	for n := 2; ; n++ {
		suffix := "_" + strconv.Itoa(n)
		candidate := cut(base, maxKeyName-len(suffix)) + suffix
		_, err := s.KeyIDByName(ctx, projectID, candidate)
		if IsNotFound(err) {
			return candidate, nil
		}
		if err != nil {
			return "", err
		}
	}
}

var numberAtEnd = regexp.MustCompile(`_[0-9]{1,3}$`)

// RecentKeyNames lists the names of the keys used last, for suggestions.
func (s *Store) RecentKeyNames(ctx context.Context, projectID int64, limit int) (names []string, err error) {
	err = s.read.WithContext(ctx).Model(&Key{}).Where("project_id = ?", projectID).
		Order("last_used_at IS NULL, last_used_at DESC, id DESC").Limit(limit).Pluck("name", &names).Error
	return names, err
}

// GateKey is what the gate needs of one version of a key. It is read once and then shared by all requests: never changed.
type GateKey struct {
	ProjectID     int64
	KeyID         int64
	Name          string
	Type          KeyType
	Category      string
	State         KeyState
	ExpiresAt     *time.Time
	SelfRotation  bool
	Restrictions  `gorm:"embedded"`
	Version       int
	VersionEndsAt *time.Time // of a version that is retiring, or has ended
}

// Use is what a request says of the app that makes it.
type Use struct {
	Platform string // ios, android, or empty where nothing was said
	BundleID string // an iOS bundle ID or an Android package name
}

// Refusal is the code with which the key itself is turned away at now, or [Valid]: checks 4 to 8 of product.md, section 3.
func (k *GateKey) Refusal(now time.Time, use Use) Code {
	if k.VersionEndsAt != nil && !now.Before(*k.VersionEndsAt) {
		return KeyRevoked
	}
	switch StatusOf(k.State, k.ExpiresAt, now) {
	case StatusRevoked:
		return KeyRevoked
	case StatusInactive:
		return KeyInactive
	case StatusExpired:
		return KeyExpired
	}
	return k.Restrictions.Refusal(use)
}

// Refusal compares what a request says of its app with what the key allows. Both are headers, which can be forged: they
// keep honest mistakes out, and nobody else.
func (r *Restrictions) Refusal(use Use) Code {
	bundle := ""
	switch use.Platform {
	case "ios":
		bundle = r.IOSBundleID
		if !r.PlatformIOS && r.PlatformAndroid {
			return PlatformNotAllowed
		}
	case "android":
		bundle = r.AndroidPackage
		if !r.PlatformAndroid && r.PlatformIOS {
			return PlatformNotAllowed
		}
	default:
		if r.PlatformIOS || r.PlatformAndroid {
			return PlatformNotAllowed
		}
		// Without a platform either one will do.
		if (r.IOSBundleID != "" || r.AndroidPackage != "") && use.BundleID != "" &&
			use.BundleID != r.IOSBundleID && use.BundleID != r.AndroidPackage {
			return BundleNotAllowed
		}
		return Valid
	}
	if bundle != "" && use.BundleID != bundle {
		return BundleNotAllowed
	}
	return Valid
}

// FindKey looks a digest up among the versions of all keys; nil where there is none.
func (s *Store) FindKey(ctx context.Context, digest Digest) (*GateKey, error) {
	var key GateKey
	err := s.read.WithContext(ctx).Table("key_versions").
		Select("keys.project_id, keys.id AS key_id, keys.name, keys.type, categories.name AS category, keys.state, keys.expires_at, keys.self_rotation, "+
			"keys.platform_ios, keys.platform_android, keys.ios_bundle_id, keys.android_package, "+
			"key_versions.number AS version, key_versions.ends_at AS version_ends_at").
		Joins("JOIN keys ON keys.id = key_versions.key_id").
		Joins("JOIN categories ON categories.id = keys.category_id").
		Where("key_versions.digest = ?", digest[:]).Take(&key).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &key, err
}
