package models

import (
	"bytes"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Once makes a change of a service token happen once, however often it is asked for with the same key: the caller that
// got no answer may ask again.
type IdempotencyKey struct {
	Key     string // as the caller chose it
	Request string // what was asked for: the same key with another request is a mistake
}

// Done is the error of a change that an earlier request with the same [Once] has made already.
type AlreadyApplied struct {
	ObjectID int64 // of what was made: a key or a category
}

func (AlreadyApplied) Error() string { return "this was done already" }

const (
	// onceFor is how long what was done under a key is remembered.
	appliedLifetime = 24 * time.Hour
	// oldOnces is how many rows that are older each change with a key removes at most.
	oldAppliedAtOnce = 20
)

type appliedRequest struct {
	ID          int64
	TokenID     int64
	KeyHash     []byte
	RequestHash []byte
	ObjectID    int64
	CreatedAt   time.Time
}

func (appliedRequest) TableName() string { return "idempotency_keys" }

// once runs fn unless the actor's [Once] was done before, and remembers it with what fn made. The chain's lock is held: of
// two requests at the same moment the second finds what the first one did. Errors: [Done], [CodeIdempotencyMismatch].
func (a *auditedTx) applyOnce(fn func(a *auditedTx) error) error {
	if a.actor.IdempotencyKey == nil {
		return fn(a)
	}
	row := appliedRequest{TokenID: a.actor.ID, CreatedAt: a.now}
	row.KeyHash, row.RequestHash = a.store.pepper.hashIdempotency("key", a.actor.IdempotencyKey.Key), a.store.pepper.hashIdempotency("request", a.actor.IdempotencyKey.Request)
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
		return &Error{Code: CodeIdempotencyMismatch, Message: "This Idempotency-Key was used with another request. Use a new one for each request."}
	default:
		return AlreadyApplied{before.ObjectID}
	}
	if err := fn(a); err != nil {
		return err
	}
	if len(a.done) == 0 {
		return nil // nothing was changed, so that doing it again changes nothing either
	}
	row.ObjectID = a.done[len(a.done)-1].ID // what was written down last is what was asked for
	if err := a.tx.Create(&row).Error; err != nil {
		return err
	}
	return a.removeOldApplied()
}

// forgetOldOnces removes a few rows whose time is over: more than the one that each change adds.
func (a *auditedTx) removeOldApplied() error {
	var old []int64
	err := a.tx.Model(&appliedRequest{}).Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).
		Where("created_at <= ?", a.now.Add(-appliedLifetime)).Order("created_at").Limit(oldAppliedAtOnce).Pluck("id", &old).Error
	if err != nil || len(old) == 0 {
		return err
	}
	return a.tx.Delete(&appliedRequest{}, old).Error
}

func (p Pepper) hashIdempotency(what, text string) []byte {
	d := p.digest("idempotency " + what + " " + text)
	return d[:]
}
