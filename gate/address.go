package gate

// consumer is the address of whom the request is made for, as far as it is believed; empty where nothing says it. tokened tells
// that the caller showed a service token.
//
// The project's own server speaks for many, so its address stands for nobody. Behind a trusted proxy the address that the
// proxy itself saw goes first: a body may come from the client, and nobody must get another's address blocked.
func (r *Request) consumer(tokened bool) string {
	who := r.Peer
	if tokened || r.Peer.Proxy {
		who = r.Claimed
	}
	if who.Proxy {
		return ""
	}
	return who.IP
}
