package models

import "net/netip"

// Network is what counts as one caller: an IPv4 address, in its form of 16 bytes, or the /64 of an IPv6 address, which is what
// one customer of a provider has.
type Network [16]byte

// translated is where IPv6 networks show IPv4 callers (RFC 6052). All of IPv4 is one /64 there.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// NetworkOf is whom an IP address stands for; false where ip is none.
func NetworkOf(ip string) (Network, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return Network{}, false
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
func (n Network) String() string {
	addr := netip.AddrFrom16(n)
	if addr.Is4In6() {
		return addr.Unmap().String()
	}
	return netip.PrefixFrom(addr, 64).String()
}
