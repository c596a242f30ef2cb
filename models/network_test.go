package models

import "testing"

func TestANetworkIsAnIPv4AddressOrThe64OfAnIPv6Address(t *testing.T) {
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
		who, ok := NetworkOf(ip)
		if ok != (want != "") || ok && who.String() != want {
			t.Errorf("%q is %s %v, want %q", ip, who, ok, want)
		}
	}
}
