package gate

import "net/netip"

// address is what counts as one caller: an IPv4 address, in its form of 16 bytes, or the /64 of an IPv6 address, which is what
// one customer of a provider has.
type address [16]byte

// translated is where IPv6 networks show IPv4 callers (RFC 6052). All of IPv4 is one /64 there.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// addressGroup is the caller that an IP address stands for; false where ip is none.
func addressGroup(ip string) (address, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return address{}, false
	}
	group := addr.As16()
	switch {
	case addr.Is4(), addr.Is4In6():
	case translated.Contains(addr.WithZone("")):
		group = netip.AddrFrom4([4]byte(group[12:])).As16()
	default:
		clear(group[8:])
	}
	return group, true
}

// String is the address as people and the database know it: "203.0.113.7", "2001:db8::/64".
func (a address) String() string {
	addr := netip.AddrFrom16(a)
	if addr.Is4In6() {
		return addr.Unmap().String()
	}
	return netip.PrefixFrom(addr, 64).String()
}

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
