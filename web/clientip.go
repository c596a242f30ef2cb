package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// ClientIP reads X-Forwarded-For only from trusted proxies. Without any, the peer's own address counts.
func ClientIP(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	return func(r *http.Request) string {
		caller, _ := Callers(r, trusted)
		return caller
	}
}

// Callers gives the address that called, as the trusted proxies in between saw it, and the one for which that says it
// calls; before is empty where it does not say. Where no proxy is trusted the peer calls.
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
		case !ok: // nobody knows who is behind
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

// PlainAddr is how addresses are compared and kept: IPv4 as such, and no zone.
func PlainAddr(addr netip.Addr) string { return addr.Unmap().WithZone("").String() }

// FromProxy tells whether the peer itself is a trusted proxy.
func FromProxy(remoteAddr string, trusted []netip.Prefix) bool {
	if len(trusted) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && contains(trusted, peer.Addr())
}

// IsProxy tells whether an address is a trusted proxy's.
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
