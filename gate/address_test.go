package gate

import "testing"

func TestAnAddressIsAnIPv4AddressOrThe64OfAnIPv6Address(t *testing.T) {
	for ip, want := range map[string]string{
		"203.0.113.7":                  "203.0.113.7",
		"::ffff:203.0.113.7":           "203.0.113.7",
		"64:ff9b::203.0.113.7":         "203.0.113.7", // as an IPv6 network shows it
		"2001:db8::":                   "2001:db8::/64",
		"2001:db8::1":                  "2001:db8::/64",
		"2001:db8:0:0:ffff:1:2:3":      "2001:db8::/64",
		"2001:db8:0:1::1":              "2001:db8:0:1::/64",
		"fe80::1%eth0":                 "fe80::/64",
		"::1":                          "::/64",
		"0:ffff:cb00:7107::1":          "0:ffff:cb00:7107::/64",
		"":                             "",
		"localhost":                    "",
		"203.0.113.7:80":               "",
		"203.0.113.7, 198.51.100.1":    "",
		"2001:db8::/64":                "",
		"\x00":                         "",
		"1111111111111111111111111111": "",
	} {
		group, ok := addressGroup(ip)
		if ok != (want != "") || ok && group.String() != want {
			t.Errorf("%q is %s %v, want %q", ip, group, ok, want)
		}
	}
}

func TestWhoseAddressCounts(t *testing.T) {
	peer, claim := Origin{IP: "192.0.2.1"}, Origin{IP: "203.0.113.7"}
	proxy, proxyClaim := Origin{IP: "10.0.0.1", Proxy: true}, Origin{IP: "10.0.0.2", Proxy: true}
	for _, c := range []struct {
		name          string
		peer, claimed Origin
		tokened       bool
		want          string
	}{
		{"a stranger", peer, Origin{}, false, "192.0.2.1"},
		{"a stranger that names another", peer, claim, false, "192.0.2.1"},
		{"a token that names the consumer", peer, claim, true, "203.0.113.7"},
		{"a token that names nobody", peer, Origin{}, true, ""},
		{"a token that names a proxy", peer, proxyClaim, true, ""},
		{"a proxy that names the consumer", proxy, claim, false, "203.0.113.7"},
		{"a proxy that names nobody", proxy, Origin{}, false, ""},
		{"a proxy that names a proxy", proxy, proxyClaim, false, ""},
		{"a token behind a proxy that names nobody", peer, Origin{}, true, ""},
	} {
		r := Request{Peer: c.peer, Claimed: c.claimed}
		if got := r.consumer(c.tokened); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
