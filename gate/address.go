package gate

import "net/netip"

// addressGroup is what is counted as one address: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber
// has. A text that is no address stands for itself.
func addressGroup(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if addr = addr.Unmap(); addr.Is4() {
		return ip
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}
