package web

import (
	"net"
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
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range trusted {
		options = append(options, echo.TrustIPRange(ipNet(prefix)))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

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

// LastForwardedFor is the address that the nearest proxy put behind the others in X-Forwarded-For; empty where there is none.
func LastForwardedFor(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	header := headers[len(headers)-1]
	last := strings.TrimSpace(header[strings.LastIndexByte(header, ',')+1:])
	ip, err := netip.ParseAddr(last)
	if err != nil {
		return ""
	}
	return ip.Unmap().WithZone("").String()
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
