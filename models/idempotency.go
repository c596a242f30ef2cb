package models

import (
	"bytes"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// IdempotencyKey identifies a request of a service token. Repeated requests with the same key make their change only
// once, so a caller that got no reply may repeat its request.
type IdempotencyKey struct {
	Key     string // as the caller chose it
	Request string // the request's content; the same key with another request is an error
}

// AlreadyApplied is the error of a change that an earlier request with the same [IdempotencyKey] has made.
type AlreadyApplied struct {
	ObjectID int64 // id of the key or category that was made
}

func (AlreadyApplied) Error() string {
	return "an earlier request with this idempotency key made the change"
}

const (
	// appliedLifetime is how long an idempotency key is remembered.
	appliedLifetime = 24 * time.Hour
	// oldAppliedAtOnce is the most older rows that each change with an idempotency key removes.
	oldAppliedAtOnce = 20
)

// appliedRequest is the row of a request that was made with an idempotency key.
type appliedRequest struct {
	ID          int64
	TokenID     int64
	KeyHash     []byte
	RequestHash []byte
	ObjectID    int64
	CreatedAt   time.Time
}

func (appliedRequest) TableName() string { return "idempotency_keys" }

// applyOnce runs fn unless a request with the actor's idempotency key was applied before, and stores the key with the
// id of what fn made. The chain's lock is held, so the second of two concurrent requests finds the row of the first.
// Errors: [AlreadyApplied], [CodeIdempotencyMismatch].
func (a *auditedTx) applyOnce(fn func(a *auditedTx) error) error {
	key := a.actor.IdempotencyKey
	if key == nil {
		return fn(a)
	}
	row := appliedRequest{
		TokenID:     a.actor.ID,
		KeyHash:     a.store.pepper.hashIdempotency("key", key.Key),
		RequestHash: a.store.pepper.hashIdempotency("request", key.Request),
		CreatedAt:   a.now,
	}
	var before appliedRequest
	err := a.tx.Where("token_id = ? AND key_hash = ?", row.TokenID, row.KeyHash).Take(&before).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
	case err != nil:
		return err
	case a.now.Sub(before.CreatedAt) >= appliedLifetime:
		if err := a.tx.Delete(&before).Error; err != nil {
			return err
		}
	case !bytes.Equal(before.RequestHash, row.RequestHash):
		return &Error{
			Code:    CodeIdempotencyMismatch,
			Message: "This Idempotency-Key was used with another request. Use a new one for each request.",
		}
	default:
		return AlreadyApplied{before.ObjectID}
	}
	if err := fn(a); err != nil {
		return err
	}
	if len(a.changes) == 0 {
		return nil // nothing was changed, so repeating it changes nothing either
	}
	row.ObjectID = a.changes[len(a.changes)-1].ID // the change that was requested is logged last
	if err := a.tx.Create(&row).Error; err != nil {
		return err
	}
	return a.removeOldApplied()
}

// removeOldApplied removes some rows that are older than appliedLifetime. Each change adds one row, so the table does
// not grow for good.
func (a *auditedTx) removeOldApplied() error {
	var old []int64
	err := a.tx.Model(&appliedRequest{}).
		Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).
		Where("created_at <= ?", a.now.Add(-appliedLifetime)).
		Order("created_at").
		Limit(oldAppliedAtOnce).
		Pluck("id", &old).Error
	if err != nil || len(old) == 0 {
		return err
	}
	return a.tx.Delete(&appliedRequest{}, old).Error
}

func (p Pepper) hashIdempotency(what, text string) []byte {
	d := p.digest("idempotency " + what + " " + text)
	return d[:]
}
