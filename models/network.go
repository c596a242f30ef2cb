package models

import "net/netip"

// Network is what counts as one caller: an IPv4 address, in its 16-byte form, or the /64 of an IPv6 address, because
// providers give each customer at least a /64.
type Network [16]byte

// translated is the prefix under which IPv6 networks show IPv4 callers (RFC 6052). All of IPv4 would be one /64 there.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// NetworkOf returns the network that an IP address belongs to. It returns false if ip is not an IP address.
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

// String returns the network as pages show it and the database stores it: "203.0.113.7", "2001:db8::/64".
func (n Network) String() string {
	addr := netip.AddrFrom16(n)
	if addr.Is4In6() {
		return addr.Unmap().String()
	}
	return netip.PrefixFrom(addr, 64).String()
}
