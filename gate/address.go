package gate

// consumer returns the address of the client on whose behalf the request is made, or "" if it is not known. hasToken
// says whether the caller showed a service token.
//
// A caller with a token is the project's own server, which speaks for many clients, so its own address is not that of
// a client. Behind a trusted proxy the address that the proxy saw counts and not one in the body: the body may come
// from the client, which could have another address blocked.
func (r *Request) consumer(hasToken bool) string {
	origin := r.Peer
	if hasToken || r.Peer.Proxy {
		origin = r.Claimed
	}
	if origin.Proxy {
		return ""
	}
	return origin.IP
}
