package models

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateKey makes a key with its first version. The secret is returned this once. Errors: the fields of [KeyInput].
func (s *Store) CreateKey(ctx context.Context, projectID, userID int64, in KeyInput) (*Key, Secret, error) {
	if err := in.normalize(nil, s.Now()); err != nil {
		return nil, Secret{}, err
	}
	var (
		key    *Key
		secret Secret
	)
	err := s.tx(ctx, func(tx *gorm.DB) error {
		var project Project
		if err := tx.Take(&project, projectID).Error; err != nil {
			return notFoundAs(err, "project")
		}
		var err error
		key, secret, err = s.createKey(tx, &project, userID, in, false)
		return err
	})
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, nil
}

func (s *Store) createKey(tx *gorm.DB, project *Project, userID int64, in KeyInput, isDefault bool) (*Key, Secret, error) {
	now := s.Now()
	category, err := ensureCategory(tx, project.ID, in.Category, now)
	if err != nil {
		return nil, Secret{}, err
	}
	key := &Key{
		ProjectID: project.ID, Name: in.Name, Description: in.Description, Type: in.Type, CategoryID: category.ID,
		State: StateActive, IsDefault: isDefault, SelfRotation: in.SelfRotation, ExpiresAt: in.ExpiresAt,
		Version: 1, CreatedBy: &userID, CreatedAt: now, UpdatedAt: now,
	}
	if err := tx.Create(key).Error; err != nil {
		return nil, Secret{}, nameTaken(err)
	}
	if err := claimName(tx, key); err != nil {
		return nil, Secret{}, err
	}
	secret, err := newSecret(s.random, project.KeyPrefix, in.Type.secretKind())
	if err != nil {
		return nil, Secret{}, err
	}
	digest := s.pepper.Digest(secret)
	version := &KeyVersion{
		KeyID: key.ID, Number: key.Version, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		CreatedBy: &userID, CreatedAt: now,
	}
	return key, secret, tx.Create(version).Error
}

func (s *Store) createDefaultKey(tx *gorm.DB, project *Project, userID int64) (*Key, Secret, error) {
	suffix, err := rand.Int(s.random, big.NewInt(1_000_000))
	if err != nil {
		return nil, Secret{}, err
	}
	return s.createKey(tx, project, userID, KeyInput{
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
func (s *Store) UpdateKey(ctx context.Context, projectID, keyID int64, in KeyInput) (*Key, error) {
	var key *Key
	err := s.tx(ctx, func(tx *gorm.DB) error {
		var err error
		if key, err = lockKey(tx, projectID, keyID); err != nil {
			return err
		}
		if key.State == StateRevoked {
			return Conflict("A revoked key stays as it was and cannot be edited.")
		}
		if err := in.normalize(key, s.Now()); err != nil {
			return err
		}
		category, err := ensureCategory(tx, projectID, in.Category, s.Now())
		if err != nil {
			return err
		}
		key.Name, key.Description, key.CategoryID = in.Name, in.Description, category.ID
		key.ExpiresAt, key.SelfRotation, key.UpdatedAt = in.ExpiresAt, in.SelfRotation, s.Now()
		err = tx.Model(key).Select("name", "description", "category_id", "expires_at", "self_rotation", "updated_at").Updates(key).Error
		if err != nil {
			return nameTaken(err)
		}
		return claimName(tx, key)
	})
	return key, err
}

// ChangeKeyState activates, deactivates or revokes a key; [CodeConflict] with the reason where that is not possible.
func (s *Store) ChangeKeyState(ctx context.Context, projectID, keyID int64, action KeyAction) (*Key, error) {
	next, known := map[KeyAction]KeyState{
		ActionActivate: StateActive, ActionDeactivate: StateInactive, ActionRevoke: StateRevoked,
	}[action]
	if !known {
		return nil, fmt.Errorf("no state follows from %q", action)
	}
	var key *Key
	err := s.tx(ctx, func(tx *gorm.DB) error {
		var err error
		if key, err = lockKey(tx, projectID, keyID); err != nil {
			return err
		}
		if why := key.Obstacle(action); why != "" {
			return Conflict(why)
		}
		key.State, key.UpdatedAt = next, s.Now()
		return tx.Model(key).Select("state", "updated_at").Updates(key).Error
	})
	return key, err
}

// DeleteKey removes a key that was never used. Its name stays taken.
func (s *Store) DeleteKey(ctx context.Context, projectID, keyID int64) (*Key, error) {
	var key *Key
	err := s.tx(ctx, func(tx *gorm.DB) error {
		var err error
		if key, err = lockKey(tx, projectID, keyID); err != nil {
			return err
		}
		if why := key.Obstacle(ActionDelete); why != "" {
			return Conflict(why)
		}
		return tx.Where("project_id = ? AND last_used_at IS NULL", projectID).Delete(key).Error
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
		like := "%" + likeEscaper.Replace(strings.ToLower(f.Search)) + "%"
		q = q.Where(`(lower(keys.name) LIKE ? ESCAPE '\' OR lower(keys.description) LIKE ? ESCAPE '\' OR key_versions.last4 = ?)`,
			like, like, f.Search)
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

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

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
	Version       int
	VersionEndsAt *time.Time
}

// Refusal is the code with which the key itself is turned away at now, or [Valid]: checks 4 to 6 of product.md, section 3.
func (k *GateKey) Refusal(now time.Time) Code {
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
	return Valid
}

// FindKey looks a digest up among the versions of all keys; nil where there is none.
func (s *Store) FindKey(ctx context.Context, digest Digest) (*GateKey, error) {
	var key GateKey
	err := s.read.WithContext(ctx).Table("key_versions").
		Select("keys.project_id, keys.id AS key_id, keys.name, keys.type, categories.name AS category, keys.state, keys.expires_at, "+
			"key_versions.number AS version, key_versions.ends_at AS version_ends_at").
		Joins("JOIN keys ON keys.id = key_versions.key_id").
		Joins("JOIN categories ON categories.id = keys.category_id").
		Where("key_versions.digest = ?", digest[:]).Take(&key).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &key, err
}
