package models

import (
	"context"
)

// SetupResult is what a script needs to go on. The secrets are in it this once.
type SetupResult struct {
	User         *User
	UserCreated  bool // false where the account was there before
	Project      *Project
	Key          Secret
	ServiceToken Secret
}

// Setup makes, all or nothing: the instance admin where the instance has no account, a project of slug, its default key
// and a service token with every scope. On an instance with accounts, email must name one of them, and password is not looked at.
func (s *Store) Setup(ctx context.Context, email, password, slug string) (_ *SetupResult, err error) {
	defer doing(&err, "set up")
	in := ProjectInput{Name: slug, Slug: slug}
	if err := in.normalize(); err != nil {
		return nil, err
	}
	some, err := s.HasUsers(ctx)
	if err != nil {
		return nil, err
	}
	var admin *User
	if !some {
		if admin, err = s.newUser(ctx, email, password); err != nil {
			return nil, err
		}
		admin.IsAdmin = true
	}
	result := &SetupResult{}
	err = s.inAuditedTx(ctx, InstanceChain, Actor{Kind: ActorSystem, Name: "claviger setup"}, func(a *auditedTx) error {
		if result.User, err = a.setupUser(admin, email); err != nil {
			return err
		}
		result.UserCreated = result.User == admin
		a.actor = result.User.Actor("") // what follows is theirs
		if result.Project, _, result.Key, err = a.createProject(in); err != nil {
			return err
		}
		_, result.ServiceToken, err = a.createServiceToken(result.Project, "setup", AllScopes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// setupUser creates admin where it is given and the instance is still empty, and finds the account of email otherwise.
func (a *auditedTx) setupUser(admin *User, email string) (*User, error) {
	if some, err := hasUsers(a.tx); err != nil {
		return nil, err
	} else if !some && admin != nil {
		return admin, a.createUser(admin)
	}
	email, _ = NormalizeEmail(email)
	var user User
	err := a.tx.Where("email = ?", email).Limit(1).Find(&user).Error
	if err == nil && user.ID == 0 {
		return nil, invalidField("email", "This instance has accounts, but none with this address. Give the address of one of them.")
	}
	return &user, err
}
