package models

// ActorKind is the kind of an [Actor].
type ActorKind string

const (
	ActorMember       ActorKind = "member"
	ActorServiceToken ActorKind = "service_token"
	ActorKey          ActorKind = "key" // a key that rotates itself
	ActorSystem       ActorKind = "system"
)

// Actor is the person, token, key or command that makes a change. Audit rows store its kind, id, name and address.
type Actor struct {
	Kind           ActorKind
	ID             int64
	Name           string          // e-mail address, or name of the token or key
	IP             string          // address that the request came from; empty for a command
	Admin          bool            // a member who is admin of the instance
	IdempotencyKey *IdempotencyKey // as a service token's request gave it; nil otherwise
}

// Actor returns the actor of a signed-in user's request.
func (u *User) Actor(ip string) Actor {
	return Actor{Kind: ActorMember, ID: u.ID, Name: u.Email, IP: ip, Admin: u.IsAdmin}
}

// Actor returns the actor of a request with a service token. key is nil if the request gave no idempotency key.
func (t *ServiceToken) Actor(ip string, key *IdempotencyKey) Actor {
	return Actor{Kind: ActorServiceToken, ID: t.ID, Name: t.Name, IP: ip, IdempotencyKey: key}
}

// Actor returns the actor of a request in which a key rotates itself.
func (k *GateKey) Actor(ip string) Actor {
	return Actor{Kind: ActorKey, ID: k.KeyID, Name: k.Name, IP: ip}
}

// userID returns the id of the member's account, nil for other actors.
func (a Actor) userID() *int64 {
	if a.Kind != ActorMember {
		return nil
	}
	return &a.ID
}
