package models

import (
	"context"
)

// SetupResult is what [Store.Setup] made. Its secrets cannot be read again later.
type SetupResult struct {
	User         *User
	UserCreated  bool // false if the account existed before
	Project      *Project
	Key          Secret
	ServiceToken Secret
}

// Setup makes a project with that slug, its default key, and a service token with every scope. If the instance has no
// account, it also makes the admin's. Otherwise email must be that of an account, and password is ignored. It makes
// all or nothing. Errors: fields email, password, slug.
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
	system := Actor{Kind: ActorSystem, Name: "claviger setup"}
	err = s.inAuditedTx(ctx, InstanceChain, system, func(a *auditedTx) error {
		if result.User, err = a.setupUser(admin, email); err != nil {
			return err
		}
		result.UserCreated = result.User == admin
		a.actor = result.User.Actor("") // the account is the owner of the project
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

// setupUser creates admin if it is not nil and the instance still has no account. Otherwise it finds the account of
// email.
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
		return nil, invalidField("email",
			"This instance has accounts, but none with this address. Give the address of one of them.")
	}
	return &user, err
}
