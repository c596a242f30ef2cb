package gate

import "testing"

func TestConsumerAddress(t *testing.T) {
	peer, claim := Origin{IP: "192.0.2.1"}, Origin{IP: "203.0.113.7"}
	proxy, proxyClaim := Origin{IP: "10.0.0.1", Proxy: true}, Origin{IP: "10.0.0.2", Proxy: true}
	for _, c := range []struct {
		name          string
		peer, claimed Origin
		hasToken      bool
		want          string
	}{
		{"a client", peer, Origin{}, false, "192.0.2.1"},
		{"a client that names another", peer, claim, false, "192.0.2.1"},
		{"a token that names the consumer", peer, claim, true, "203.0.113.7"},
		{"a token that names no address", peer, Origin{}, true, ""},
		{"a token that names a proxy", peer, proxyClaim, true, ""},
		{"a proxy that names the consumer", proxy, claim, false, "203.0.113.7"},
		{"a proxy that names no address", proxy, Origin{}, false, ""},
		{"a proxy that names a proxy", proxy, proxyClaim, false, ""},
		{"a token behind a proxy that names no address", peer, Origin{}, true, ""},
	} {
		r := Request{Peer: c.peer, Claimed: c.claimed}
		if got := r.consumer(c.hasToken); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
