package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// ClientIP returns an extractor of the client's address. X-Forwarded-For is read only from trusted proxies; without
// any, the address is the peer's own.
func ClientIP(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	return func(r *http.Request) string {
		caller, _ := Callers(r, trusted)
		return caller
	}
}

// Callers returns the address of the caller, as the trusted proxies saw it, and the address that the caller names as
// its own client in X-Forwarded-For: before, which may be empty. If the peer is not a trusted proxy, it is the
// caller. Both are empty if RemoteAddr cannot be read.
func Callers(r *http.Request, trusted []netip.Prefix) (caller, before string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", ""
	}
	at := peer.Addr()
	forwarded := r.Header["X-Forwarded-For"]
	if len(forwarded) == 0 {
		return PlainAddr(at), ""
	}
	chain := strings.Split(strings.Join(forwarded, ","), ",") // the nearest last
	for ; len(chain) > 0; chain = chain[:len(chain)-1] {
		next, ok := forwardedAddr(chain[len(chain)-1])
		switch {
		case !ok: // the client of this proxy is unknown
			return PlainAddr(at), ""
		case !contains(trusted, at):
			return PlainAddr(at), PlainAddr(next)
		}
		at = next
	}
	return PlainAddr(at), ""
}

// forwardedAddr reads one address of X-Forwarded-For. Some proxies add the port.
func forwardedAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")) // some put IPv6 in brackets
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		addr = withPort.Addr()
	}
	return addr, err == nil
}

// PlainAddr returns the form in which addresses are compared and stored: IPv4 not mapped into IPv6, without a zone.
func PlainAddr(addr netip.Addr) string { return addr.Unmap().WithZone("").String() }

// FromProxy reports whether the peer itself is a trusted proxy.
func FromProxy(remoteAddr string, trusted []netip.Prefix) bool {
	if len(trusted) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && contains(trusted, peer.Addr())
}

// IsProxy reports whether ip is the address of a trusted proxy.
func IsProxy(ip string, trusted []netip.Prefix) bool {
	if len(trusted) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	return err == nil && contains(trusted, addr)
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}
