package models

import (
	"context"
	"net/mail"
	"strings"
	"time"

	"gorm.io/gorm"
)

// User is an account. The first one of an instance is its admin.
type User struct {
	ID                int64
	Email             string // lower case
	PasswordHash      string
	IsAdmin           bool
	CreatedAt         time.Time
	PasswordChangedAt time.Time
}

// SignupMode determines who may make an account.
type SignupMode string

const (
	SignupOpen   SignupMode = "open"
	SignupInvite SignupMode = "invite"
	SignupClosed SignupMode = "closed"
	// SignupDefault is open until the first account exists, and invite from then on.
	SignupDefault SignupMode = ""
)

const maxEmail = 254 // bytes: RFC 5321, 4.5.3.1.3, without the angle brackets

// NormalizeEmail returns the form in which an address is stored and compared. ok is false if it is not a valid address.
func NormalizeEmail(email string) (normal string, ok bool) {
	email = strings.ToLower(strings.TrimSpace(email))
	parsed, err := mail.ParseAddress(email)
	if err != nil ||
		parsed.Address != email ||
		len(email) > maxEmail ||
		!strings.Contains(email, ".") && !strings.HasSuffix(email, "@localhost") {
		return email, false
	}
	return email, true
}

// MaySignUp reports whether anybody may make an account now, without an invitation.
func (s *Store) MaySignUp(ctx context.Context, mode SignupMode) (_ bool, err error) {
	defer doing(&err, "check whether sign-up is open")
	switch mode {
	case SignupOpen:
		return true, nil
	case SignupDefault:
		some, err := s.HasUsers(ctx)
		return !some, err
	}
	return false, nil
}

// HasUsers reports whether the instance has any account.
func (s *Store) HasUsers(ctx context.Context) (_ bool, err error) {
	defer doing(&err, "check whether there are users")
	return hasUsers(s.read.WithContext(ctx))
}

func hasUsers(db *gorm.DB) (some bool, err error) {
	return some, db.Raw("SELECT EXISTS (SELECT 1 FROM users)").Scan(&some).Error
}

// SignUp makes an account. The first account is the instance admin. Errors: fields email and password;
// [CodeForbidden] if mode needs an invitation.
func (s *Store) SignUp(ctx context.Context, mode SignupMode, email, password, ip string) (_ *User, err error) {
	defer doing(&err, "sign up")
	user, err := s.newUser(ctx, email, password)
	if err != nil {
		return nil, err
	}
	err = s.inAuditedTx(ctx, InstanceChain, Actor{Kind: ActorMember, IP: ip}, func(a *auditedTx) error {
		some, err := hasUsers(a.tx)
		if err != nil {
			return err
		}
		if mode != SignupOpen && (mode != SignupDefault || some) {
			return Forbidden("Sign-up is by invitation. Ask a member of your team to invite you.")
		}
		user.IsAdmin = !some
		return a.createUser(user)
	})
	if err != nil {
		return nil, err
	}
	return user, nil
}

// newUser checks the fields and hashes the password. Call it outside of transactions, because hashing is slow.
func (s *Store) newUser(ctx context.Context, email, password string) (*User, error) {
	problems := fieldErrors{}
	email, ok := NormalizeEmail(email)
	if !ok {
		problems.add("email", "Enter an e-mail address, such as you@example.com.")
	}
	problems.add("password", passwordProblem(password, email))
	if err := problems.err(); err != nil {
		return nil, err
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	return &User{Email: email, PasswordHash: hash, CreatedAt: now, PasswordChangedAt: now}, nil
}

// createUser inserts the account. If the actor is a member without an id, who is signing up, the new account becomes
// the actor.
func (a *auditedTx) createUser(user *User) error {
	err := a.tx.Create(user).Error
	if isDuplicate(err) {
		return invalidField("email", "There is already an account with this address. Sign in instead.")
	}
	if err != nil {
		return err
	}
	if a.actor.Kind == ActorMember && a.actor.ID == 0 {
		a.actor.ID, a.actor.Name = user.ID, user.Email
	}
	return a.log("account.create", user.auditTarget(), nil, AuditSnapshot{"email": user.Email, "admin": user.IsAdmin})
}

func (u *User) auditTarget() AuditTarget { return AuditTarget{"account", u.ID, u.Email} }

// SignIn returns the account of an address and password. For an unknown address it returns the same error as for a
// wrong password, [CodeUnauthorized], after the same time.
func (s *Store) SignIn(ctx context.Context, email, password string) (_ *User, err error) {
	defer doing(&err, "sign in")
	email, ok := NormalizeEmail(email)
	if !ok {
		email = "" // no account has it, and text that the database rejects must not get into a query
	}
	var user User
	err = s.read.WithContext(ctx).Where("email = ?", email).Limit(1).Find(&user).Error
	if err != nil {
		return nil, err
	}
	matches, err := s.passwords.matches(ctx, password, user.PasswordHash)
	if err != nil {
		return nil, err
	}
	if !matches {
		return nil, &Error{Code: CodeUnauthorized, Message: "The e-mail address or the password is wrong."}
	}
	return &user, nil
}

// ChangePassword checks the current password, sets a new one, and ends all sessions of the account except keep. Errors:
// fields current_password and new_password.
func (s *Store) ChangePassword(
	ctx context.Context, actor Actor, current, next string, keep SessionHash,
) (err error) {
	defer doing(&err, "change password")
	user, err := s.User(ctx, actor.ID)
	if err != nil {
		return err
	}
	matches, err := s.passwords.matches(ctx, current, user.PasswordHash)
	if err != nil {
		return err
	}
	problems := fieldErrors{}
	if !matches {
		problems.add("current_password", "This is not your current password.")
	}
	problems.add("new_password", passwordProblem(next, user.Email))
	if matches && next == current {
		problems.add("new_password", "Choose a password other than the current one.")
	}
	if err := problems.err(); err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, next)
	if err != nil {
		return err
	}
	return s.inAuditedTx(ctx, InstanceChain, actor, func(a *auditedTx) error {
		// The old hash is in the condition, so that only one of two concurrent changes succeeds.
		result := a.tx.Model(&User{}).Where("id = ? AND password_hash = ?", user.ID, user.PasswordHash).
			Updates(map[string]any{"password_hash": hash, "password_changed_at": a.now})
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected == 0 {
			return Conflict("The password was changed in another session at the same moment. Sign in again.")
		}
		err := a.tx.Where("user_id = ? AND secret_hash <> ?", user.ID, keep[:]).Delete(&Session{}).Error
		if err != nil {
			return err
		}
		return a.log("account.change_password", user.auditTarget(), nil, nil)
	})
}

// User reads one account, or [CodeNotFound].
func (s *Store) User(ctx context.Context, id int64) (_ *User, err error) {
	defer doing(&err, "read user")
	var user User
	if err := s.read.WithContext(ctx).Take(&user, id).Error; err != nil {
		return nil, notFoundAs(err, "account")
	}
	return &user, nil
}
