package models

import (
	"context"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"gorm.io/gorm/clause"
)

// RotateKey makes a new version of a key. The previous version ends after grace, at once if it is 0. seen is the
// number of the newest version that the caller knows, 0 for any. If it is not the newest, because somebody else has
// rotated the key meanwhile, the error is [CodeConflict]. It returns the new secret, which cannot be read again
// later. Other errors: [CodePlanLimit], and if a key rotates itself the codes of its state, [CodeSelfRotationOff] and
// [CodeVersionRetiring].
func (s *Store) RotateKey(
	ctx context.Context, projectID, keyID int64, actor Actor, seen int, grace time.Duration,
) (_ *Key, _ Secret, err error) {
	defer doing(&err, "rotate key")
	var secret Secret
	key, err := s.changeKey(ctx, projectID, keyID, actor, ActionRotate, func(a *auditedTx, key *Key) error {
		if actor.Kind == ActorKey {
			if err := key.selfRotationDenied(seen, a.now); err != nil {
				return err
			}
		}
		if seen != 0 && seen != key.Version {
			return Conflict("The key was rotated at the same moment by somebody else. " +
				"Look at the newest version first.")
		}
		project, err := a.project()
		if err != nil {
			return err
		}
		plan, err := projectPlan(a.tx, project)
		if err != nil {
			return err
		}
		if err := planLimitError(plan.RotationBlockedReason(key, actor)); err != nil {
			return err
		}
		ends := a.now.Add(grace)
		err = a.tx.Model(&KeyVersion{}).
			Where("key_id = ? AND number = ?", key.ID, key.Version).
			Update("ends_at", ends).Error
		if err != nil {
			return err
		}
		before := AuditSnapshot{"version": key.Version}
		key.Version++
		key.RotatedAt, key.UpdatedAt = &a.now, a.now
		if err := a.tx.Model(key).Select("version", "rotated_at", "updated_at").Updates(key).Error; err != nil {
			return err
		}
		// The new secret has the project's current prefix, which may differ from that of the previous version.
		if secret, err = a.createVersion(key, project.KeyPrefix); err != nil {
			return err
		}
		after := AuditSnapshot{"version": key.Version, "previous_ends_at": ends}
		return a.log("key.rotate", key.auditTarget(), before, after)
	})
	if err != nil {
		return nil, Secret{}, err
	}
	return key, secret, nil
}

// selfRotationDenied returns an error if the key may not rotate itself with the secret of version used.
func (k *Key) selfRotationDenied(used int, now time.Time) error {
	switch status := k.Status(now); {
	case status == StatusInactive:
		return Denied(requestlog.CodeKeyInactive)
	case status == StatusExpired:
		return Denied(requestlog.CodeKeyExpired)
	case !k.SelfRotation:
		return &Error{
			Code:    CodeSelfRotationOff,
			Message: "This key may not rotate itself. A member of the project can turn self-rotation on.",
		}
	case used != k.Version:
		return &Error{
			Code: CodeVersionRetiring,
			Message: "This secret has been replaced. Only the newest secret of a key may rotate it, " +
				"so that nobody can take over a key with an old secret.",
		}
	}
	return nil
}

// EndVersion moves the end of a retiring version to the time in from now, or to now if in is 0. The error is
// [CodeConflict] if the version is current or has ended.
func (s *Store) EndVersion(
	ctx context.Context, projectID, keyID int64, actor Actor, number int, in time.Duration,
) (_ *Key, err error) {
	defer doing(&err, "end version")
	return s.changeKey(ctx, projectID, keyID, actor, ActionRotate, func(a *auditedTx, key *Key) error {
		var version KeyVersion
		err := a.tx.Clauses(clause.Locking{Strength: "UPDATE"}).
			Where("key_id = ? AND number = ?", key.ID, number).
			Take(&version).Error
		if err != nil {
			return notFoundAs(err, "version")
		}
		switch version.Status(a.now) {
		case VersionCurrent:
			return Conflict("This is the newest version. Rotate the key to replace it, or revoke the key to end it.")
		case VersionEnded:
			return Conflict("This version has already ended. An ended secret is never valid again.")
		}
		before := AuditSnapshot{"ends_at": *version.EndsAt} // a copy, because the update writes through the pointer
		ends := a.now.Add(in)
		if err := a.tx.Model(&version).Update("ends_at", ends).Error; err != nil {
			return err
		}
		return a.log("key.end_version", key.auditTarget(), before, AuditSnapshot{"ends_at": ends, "version": number})
	})
}

// Versions lists the newest 200 versions of a key of the project, newest first.
func (s *Store) Versions(ctx context.Context, projectID, keyID int64) (_ []KeyVersion, err error) {
	defer doing(&err, "list versions")
	var list []KeyVersion
	err = s.read.WithContext(ctx).Table("key_versions").Select("key_versions.*").
		Joins("JOIN keys ON keys.id = key_versions.key_id AND keys.project_id = ?", projectID).
		Where("key_versions.key_id = ?", keyID).Order("key_versions.number DESC").Limit(200).Find(&list).Error
	return list, err
}
