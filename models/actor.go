package models

// ActorKind is what kind of hand made a change.
type ActorKind string

const (
	ActorMember       ActorKind = "member"
	ActorServiceToken ActorKind = "service_token"
	ActorKey          ActorKind = "key" // that rotated itself
	ActorSystem       ActorKind = "system"
)

// Actor is who makes a change, as the audit log names them for good.
type Actor struct {
	Kind           ActorKind
	ID             int64
	Name           string          // e-mail address, or name of the token or key
	IP             string          // where the request came from; empty for a command
	Admin          bool            // a member who is admin of the instance
	IdempotencyKey *IdempotencyKey // of a service token that gave an idempotency key; nil for everybody else
}

// Actor is the actor of a signed-in user's request.
func (u *User) Actor(ip string) Actor {
	return Actor{Kind: ActorMember, ID: u.ID, Name: u.Email, IP: ip, Admin: u.IsAdmin}
}

// Actor is the actor of a request with a service token.
func (t *ServiceToken) Actor(ip string, once *IdempotencyKey) Actor {
	return Actor{Kind: ActorServiceToken, ID: t.ID, Name: t.Name, IP: ip, IdempotencyKey: once}
}

// Actor is the actor of a request in which a key rotates itself.
func (k *GateKey) Actor(ip string) Actor {
	return Actor{Kind: ActorKey, ID: k.KeyID, Name: k.Name, IP: ip}
}

// userID is the member's account, nil for other actors.
func (a Actor) userID() *int64 {
	if a.Kind != ActorMember {
		return nil
	}
	return &a.ID
}
