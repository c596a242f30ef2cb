package models

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateKey makes a key with its first version. It returns the secret, which cannot be read again later. Errors: the
// fields of [KeyInput]; [CodePlanLimit].
func (s *Store) CreateKey(
	ctx context.Context, projectID int64, actor Actor, in KeyInput,
) (_ *Key, _ Secret, err error) {
	defer doing(&err, "create key")
	if err := in.normalize(nil, s.Now()); err != nil {
		return nil, Secret{}, err
	}
	var (
		key    *Key
		secret Secret
	)
	err = s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		project, err := a.project()
		if err != nil {
			return err
		}
		if err := a.roomForKey(project); err != nil {
			return err
		}
		key, secret, err = a.createKey(project, in, false)
		return err
	})
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, nil
}

func (a *auditedTx) createKey(project *Project, in KeyInput, isDefault bool) (*Key, Secret, error) {
	category, err := a.ensureCategory(project.ID, in.Category)
	if err != nil {
		return nil, Secret{}, err
	}
	key := &Key{
		ProjectID: project.ID, Name: in.Name, Description: in.Description, Type: in.Type, CategoryID: category.ID,
		State: StateActive, IsDefault: isDefault, SelfRotation: in.SelfRotation, ExpiresAt: in.ExpiresAt,
		Restrictions: in.Restrictions, Quotas: in.Quotas,
		Version: 1, CreatedBy: a.actor.userID(), CreatedAt: a.now, UpdatedAt: a.now,
	}
	if err := a.tx.Create(key).Error; err != nil {
		return nil, Secret{}, nameTaken(err)
	}
	if err := claimName(a.tx, key); err != nil {
		return nil, Secret{}, err
	}
	secret, err := a.createVersion(key, project.KeyPrefix)
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, a.log("key.create", key.auditTarget(), nil, key.snapshot(category.Name))
}

// createVersion makes the row of the key's current version, with a new secret.
func (a *auditedTx) createVersion(key *Key, prefix string) (Secret, error) {
	secret, err := NewSecret(a.store.random, prefix, key.Type.SecretKind())
	if err != nil {
		return Secret{}, err
	}
	digest := a.store.pepper.Digest(secret)
	return secret, a.tx.Create(&KeyVersion{
		KeyID: key.ID, Number: key.Version, Digest: digest[:], Prefix: secret.Prefix, Last4: secret.Last4(),
		CreatedBy: a.actor.userID(), CreatedByName: a.actor.Name, CreatedAt: a.now,
	}).Error
}

func (a *auditedTx) createDefaultKey(project *Project) (*Key, Secret, error) {
	suffix, err := rand.Int(a.store.random, big.NewInt(1_000_000))
	if err != nil {
		return nil, Secret{}, err
	}
	return a.createKey(project, KeyInput{
		Name:        fmt.Sprintf("%d_default_%06d", project.ID, suffix),
		Description: "Made with the project.",
		Type:        TypeProduction,
		Category:    BuiltInCategories[0],
	}, true)
}

// claimName stores the key's name in key_names. A key may have its own former names again, but never one that another
// key has or had.
func claimName(tx *gorm.DB, key *Key) error {
	err := tx.Clauses(clause.OnConflict{DoNothing: true}).
		Create(&KeyName{ProjectID: key.ProjectID, Name: key.Name, KeyID: key.ID}).Error
	if err != nil {
		return err
	}
	var owner int64
	err = tx.Model(&KeyName{}).
		Where("project_id = ? AND name = ?", key.ProjectID, key.Name).
		Pluck("key_id", &owner).Error
	if err == nil && owner != key.ID {
		return invalidField("name",
			"Another key had this name before. Names are never used again, so that history stays clear.")
	}
	return err
}

func nameTaken(err error) error {
	if isDuplicate(err) {
		return invalidField("name", "A key of this project has this name already.")
	}
	return err
}

// UpdateKey sets all fields of [KeyInput] except the type, which cannot be changed. Errors: the fields of [KeyInput];
// [CodeConflict] for a revoked key; [CodePlanLimit] if a later expiry would make the key active again.
func (s *Store) UpdateKey(
	ctx context.Context, projectID, keyID int64, actor Actor, in KeyInput,
) (_ *Key, err error) {
	defer doing(&err, "update key")
	return s.EditKey(ctx, projectID, keyID, actor, func(*Key, KeyInput) (KeyInput, error) { return in, nil })
}

// EditKey is [Store.UpdateKey] with the input that edit returns. edit gets the key and its current input, and must not
// change the key. It runs with the row locked, so concurrent changes of different fields do not overwrite each other.
func (s *Store) EditKey(
	ctx context.Context, projectID, keyID int64, actor Actor, edit func(key *Key, current KeyInput) (KeyInput, error),
) (_ *Key, err error) {
	defer doing(&err, "edit key")
	return s.changeKey(ctx, projectID, keyID, actor, ActionEdit, func(a *auditedTx, key *Key) error {
		var was Category
		if err := a.tx.Take(&was, key.CategoryID).Error; err != nil {
			return err
		}
		in, err := edit(key, key.input(was.Name))
		if err != nil {
			return err
		}
		if err := in.normalize(key, a.now); err != nil {
			return err
		}
		before, status := key.snapshot(was.Name), key.Status(a.now)
		category, err := a.ensureCategory(projectID, in.Category)
		if err != nil {
			return err
		}
		key.Name, key.Description, key.CategoryID = in.Name, in.Description, category.ID
		key.ExpiresAt, key.SelfRotation, key.UpdatedAt = in.ExpiresAt, in.SelfRotation, a.now
		key.Restrictions, key.Quotas = in.Restrictions, in.Quotas
		if err := a.roomIfActive(key, status); err != nil { // a later expiry makes an expired key active again
			return err
		}
		err = a.tx.Model(key).Select(
			"name", "description", "category_id", "expires_at", "self_rotation", "updated_at",
			"platform_ios", "platform_android", "ios_bundle_id", "android_package",
			"quota_total", "quota_daily", "quota_weekly", "quota_monthly",
		).Updates(key).Error
		if err != nil {
			return nameTaken(err)
		}
		if err := claimName(a.tx, key); err != nil {
			return err
		}
		return a.log("key.edit", key.auditTarget(), before, key.snapshot(category.Name))
	})
}

// ChangeKeyState activates, deactivates or revokes a key. Errors: [CodeConflict] with the reason if that is not
// possible; [CodePlanLimit].
func (s *Store) ChangeKeyState(
	ctx context.Context, projectID, keyID int64, actor Actor, action KeyAction,
) (_ *Key, err error) {
	defer doing(&err, "change key state")
	next, known := map[KeyAction]KeyState{
		ActionActivate: StateActive, ActionDeactivate: StateInactive, ActionRevoke: StateRevoked,
	}[action]
	if !known {
		return nil, fmt.Errorf("the action %q does not change the state", action)
	}
	return s.changeKey(ctx, projectID, keyID, actor, action, func(a *auditedTx, key *Key) error {
		before, status := AuditSnapshot{"state": key.State}, key.Status(a.now)
		key.State, key.UpdatedAt = next, a.now
		if err := a.roomIfActive(key, status); err != nil {
			return err
		}
		if err := a.tx.Model(key).Select("state", "updated_at").Updates(key).Error; err != nil {
			return err
		}
		return a.log("key."+string(action), key.auditTarget(), before, AuditSnapshot{"state": key.State})
	})
}

// DeleteKey removes a key that was never used. Its name stays taken. The error is [CodeConflict] with the reason if the
// key cannot be deleted.
func (s *Store) DeleteKey(ctx context.Context, projectID, keyID int64, actor Actor) (key *Key, err error) {
	defer doing(&err, "delete key")
	err = s.log.HoldUse(ctx, keyID, func(used bool) error {
		key, err = s.changeKey(ctx, projectID, keyID, actor, ActionDelete, func(a *auditedTx, key *Key) error {
			result := a.tx.Where("project_id = ? AND last_used_at IS NULL AND NOT ?", projectID, used).Delete(key)
			if result.Error != nil {
				return result.Error
			}
			if result.RowsAffected == 0 { // the request log has a request that the key's row does not show yet
				key.LastUsedAt = &a.now
				return Conflict(key.BlockedReason(ActionDelete))
			}
			before := AuditSnapshot{"name": key.Name, "type": key.Type, "state": key.State}
			return a.log("key.delete", key.auditTarget(), before, nil)
		})
		return err
	})
	return key, err
}

// changeKey runs fn with a locked key of the project in an audit transaction. The error is [CodeConflict] with the
// reason if the key's state does not allow the action.
func (s *Store) changeKey(
	ctx context.Context, projectID, keyID int64, actor Actor, action KeyAction, fn func(*auditedTx, *Key) error,
) (*Key, error) {
	var key *Key
	err := s.inAuditedTx(ctx, projectID, actor, func(a *auditedTx) error {
		var err error
		if key, err = lockKey(a.tx, projectID, keyID); err != nil {
			return err
		}
		if why := key.BlockedReason(action); why != "" {
			return Conflict(why)
		}
		return fn(a, key)
	})
	return key, err
}

// lockKey reads a key of the project and locks its row.
func lockKey(tx *gorm.DB, projectID, keyID int64) (*Key, error) {
	var key Key
	err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).
		Where("project_id = ? AND id = ?", projectID, keyID).
		Take(&key).Error
	return &key, notFoundAs(err, "key")
}
