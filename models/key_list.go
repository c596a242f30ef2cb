package models

import (
	"context"
	"regexp"
	"strconv"

	"gorm.io/gorm"
)

// keyViews selects the keys of a project with the fields of [KeyView], in one query.
func (s *Store) keyViews(ctx context.Context, projectID int64) *gorm.DB {
	return s.read.WithContext(ctx).Table("keys").
		Select(`
			keys.*,
			categories.name AS category,
			COALESCE(users.email, first.created_by_name, '') AS creator,
			key_versions.prefix,
			key_versions.last4
		`).
		Joins("JOIN categories ON categories.id = keys.category_id").
		Joins("JOIN key_versions ON key_versions.key_id = keys.id AND key_versions.number = keys.version").
		Joins("LEFT JOIN users ON users.id = keys.created_by").
		Joins("LEFT JOIN key_versions AS first ON first.key_id = keys.id AND first.number = 1").
		Where("keys.project_id = ?", projectID)
}

// Key reads one key of the project, or [CodeNotFound].
func (s *Store) Key(ctx context.Context, projectID, keyID int64) (_ *KeyView, err error) {
	defer doing(&err, "read key")
	var key KeyView
	if err := s.keyViews(ctx, projectID).Where("keys.id = ?", keyID).Take(&key).Error; err != nil {
		return &key, notFoundAs(err, "key")
	}
	return &key, s.addLastUses(ctx, []*Key{&key.Key})
}

// addLastUses sets LastUsedAt of keys that the request log has newer requests of than their rows say.
func (s *Store) addLastUses(ctx context.Context, keys []*Key) error {
	var ids []int64
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	used, err := s.log.LastUsed(ctx, ids)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if at, newer := used[k.ID]; newer && (k.LastUsedAt == nil || at.After(*k.LastUsedAt)) {
			k.LastUsedAt = &at
		}
	}
	return nil
}

// KeyFilter narrows a list of keys. Empty fields do not filter.
type KeyFilter struct {
	Search   string // part of the name or the description, or the last 4 characters
	Type     KeyType
	Category string
	Status   KeyStatus
	Before   int64 // only keys with a smaller id: the cursor
	Limit    int
}

// KeyPage is a page of the list, newest first.
type KeyPage struct {
	Keys []KeyView
	Next int64 // cursor of the next page, 0 on the last one
}

// Keys lists keys of a project, newest first.
func (s *Store) Keys(ctx context.Context, projectID int64, f KeyFilter) (_ KeyPage, err error) {
	defer doing(&err, "list keys")
	q := s.keyViews(ctx, projectID)
	if f.Search != "" {
		q = q.Where(`(
			lower(keys.name) LIKE ? ESCAPE '\'
			OR lower(keys.description) LIKE ? ESCAPE '\'
			OR key_versions.last4 = ?
		)`, like(f.Search), like(f.Search), f.Search)
	}
	if f.Type != "" {
		q = q.Where("keys.type = ?", f.Type)
	}
	if f.Category != "" {
		q = q.Where("categories.name = ?", f.Category)
	}
	now := s.Now()
	switch f.Status { // the rule of StatusOf, in SQL
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
	var keys []*Key
	for i := range page.Keys {
		keys = append(keys, &page.Keys[i].Key)
	}
	return page, s.addLastUses(ctx, keys)
}

// CountActiveKeys returns how many keys of the project are active now: not inactive, not revoked, not expired.
func (s *Store) CountActiveKeys(ctx context.Context, projectID int64) (n int64, err error) {
	defer doing(&err, "count active keys")
	return n, activeKeys(s.read.WithContext(ctx), projectID, s.Now()).Count(&n).Error
}

// KeyIDByName returns the id of the key that has or had the name, or [CodeNotFound].
func (s *Store) KeyIDByName(ctx context.Context, projectID int64, name string) (_ int64, err error) {
	defer doing(&err, "find key by name")
	var row KeyName
	err = s.read.WithContext(ctx).Where("project_id = ? AND name = ?", projectID, name).Take(&row).Error
	return row.KeyID, notFoundAs(err, "key")
}

// FreeKeyName returns a name like the given one that no key of the project has or had, such as "server_prod_2".
func (s *Store) FreeKeyName(ctx context.Context, projectID int64, name string) (_ string, err error) {
	defer doing(&err, "find free key name")
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

// RecentKeyNames lists the names of the keys that were used last, for suggestions.
func (s *Store) RecentKeyNames(ctx context.Context, projectID int64, limit int) (names []string, err error) {
	defer doing(&err, "list recent key names")
	err = s.read.WithContext(ctx).Model(&Key{}).Where("project_id = ?", projectID).
		Order("last_used_at IS NULL, last_used_at DESC, id DESC").Limit(limit).Pluck("name", &names).Error
	return names, err
}
