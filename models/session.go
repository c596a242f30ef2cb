package models

import (
	"context"
	"crypto/sha256"
	"time"

	"gorm.io/gorm"
)

const (
	// SessionIdle is how long a session lasts without being used.
	SessionIdle = 7 * 24 * time.Hour
	// SessionLifetime is how long a session lasts, used or not.
	SessionLifetime = 30 * 24 * time.Hour
	// sessionTouch is how old last_seen_at may be before a request updates it, so that not every request writes.
	sessionTouch = time.Minute
	maxUserAgent = 255
)

// SessionHash is the SHA-256 of the secret in a session cookie. The secret itself is random, so no salt is needed.
type SessionHash [sha256.Size]byte

// HashSession returns the hash of a session's secret.
func HashSession(secret []byte) SessionHash { return sha256.Sum256(secret) }

// Session is the login of a browser.
type Session struct {
	ID         int64
	SecretHash []byte
	UserID     int64
	Data       []byte // other values of the session, such as messages to show; encoded by web
	IP         string
	UserAgent  string
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time

	User User
}

// CreateSession starts a session of the account userID. It deletes the account's ended sessions.
func (s *Store) CreateSession(
	ctx context.Context, hash SessionHash, userID int64, data []byte, ip, userAgent string,
) (_ *Session, err error) {
	defer doing(&err, "create session")
	now := s.Now()
	session := &Session{
		SecretHash: hash[:],
		UserID:     userID,
		Data:       data,
		IP:         ip,
		UserAgent:  LogText(userAgent, maxUserAgent),
		CreatedAt:  now,
		LastSeenAt: now,
		ExpiresAt:  now.Add(SessionLifetime),
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		// Without this, ended sessions would never be deleted.
		err := tx.
			Where("user_id = ? AND (expires_at <= ? OR last_seen_at <= ?)", userID, now, now.Add(-SessionIdle)).
			Delete(&Session{}).Error
		if err != nil {
			return err
		}
		return tx.Omit("User").Create(session).Error
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// FindSession returns the session with its account. The error is [CodeNotFound] if there is none or it has ended.
func (s *Store) FindSession(ctx context.Context, hash SessionHash) (_ *Session, err error) {
	defer doing(&err, "find session")
	now := s.Now()
	var session Session
	err = s.read.WithContext(ctx).Joins("User").
		Where("sessions.secret_hash = ?", hash[:]).
		Where("sessions.expires_at > ? AND sessions.last_seen_at > ?", now, now.Add(-SessionIdle)).
		Take(&session).Error
	if err != nil {
		return nil, notFoundAs(err, "session")
	}
	if now.Sub(session.LastSeenAt) >= sessionTouch {
		err = s.write.WithContext(ctx).Model(&Session{}).
			Where("id = ?", session.ID).
			Update("last_seen_at", now).Error
	}
	return &session, err
}

// SaveSessionData replaces the session's Data.
func (s *Store) SaveSessionData(ctx context.Context, hash SessionHash, data []byte) (err error) {
	defer doing(&err, "save session")
	return s.write.WithContext(ctx).Model(&Session{}).
		Where("secret_hash = ?", hash[:]).
		Update("data", data).Error
}

// UserSessions lists the sessions of an account that have not ended, the most recently used first: 100 at most.
func (s *Store) UserSessions(ctx context.Context, userID int64) (_ []Session, err error) {
	defer doing(&err, "list sessions")
	now := s.Now()
	var sessions []Session
	err = s.read.WithContext(ctx).
		Where("user_id = ? AND expires_at > ? AND last_seen_at > ?", userID, now, now.Add(-SessionIdle)).
		Order("last_seen_at DESC, id DESC").Limit(100).Find(&sessions).Error
	return sessions, err
}

// DeleteSession ends the session of a cookie. It returns no error if there is none.
func (s *Store) DeleteSession(ctx context.Context, hash SessionHash) (err error) {
	defer doing(&err, "delete session")
	return s.write.WithContext(ctx).Where("secret_hash = ?", hash[:]).Delete(&Session{}).Error
}

// EndSession ends one session of the account. The error is [CodeNotFound] if the account has none with that id.
func (s *Store) EndSession(ctx context.Context, userID, sessionID int64) (err error) {
	defer doing(&err, "end session")
	result := s.write.WithContext(ctx).Where("user_id = ? AND id = ?", userID, sessionID).Delete(&Session{})
	if result.Error == nil && result.RowsAffected == 0 {
		return NotFound("session")
	}
	return result.Error
}

// EndAllSessions ends all sessions of the actor's account.
func (s *Store) EndAllSessions(ctx context.Context, actor Actor) (err error) {
	defer doing(&err, "end all sessions")
	return s.inAuditedTx(ctx, InstanceChain, actor, func(a *auditedTx) error {
		if err := a.tx.Where("user_id = ?", actor.ID).Delete(&Session{}).Error; err != nil {
			return err
		}
		return a.log("account.end_sessions", AuditTarget{"account", actor.ID, actor.Name}, nil, nil)
	})
}
