package binding_test

import (
	"net/netip"
	"testing"

	"github.com/odradek/odradek/worker/binding"
)

// TestAddresses: which addresses a request may reach.
func TestAddresses(t *testing.T) {
	t.Parallel()
	strict := binding.DialPolicy{}
	inside := binding.DialPolicy{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("169.254.0.0/16")}}
	local := binding.DialPolicy{Loopback: true}
	for _, c := range []struct {
		ip                    string
		strict, inside, local bool
	}{
		{"93.184.216.34", true, true, true},
		{"2606:2800:220:1::1", true, true, true},
		{"10.1.2.3", false, true, false},
		{"::ffff:10.1.2.3", false, true, false},
		{"64:ff9b::a01:203", false, true, false},    // NAT64 of 10.1.2.3
		{"64:ff9b::a9fe:a9fe", false, false, false}, // NAT64 of 169.254.169.254
		{"::a9fe:a9fe", false, false, false},        // IPv4-compatible
		{"2002:a00:1::1", false, false, false},      // 6to4 of 10.0.0.1
		{"2001:0:1::1", false, false, false},        // Teredo
		{"172.16.0.1", false, false, false},
		{"172.32.0.1", true, true, true},
		{"192.168.1.1", false, false, false},
		{"100.64.0.1", false, false, false},
		{"100.100.100.200", false, false, false},
		{"169.254.169.254", false, false, false},
		{"::ffff:169.254.169.254", false, false, false},
		{"fe80::1", false, false, false},
		{"fe80::1%eth0", false, false, false},
		{"fd00:ec2::254", false, false, false},
		{"fd00:1::1", false, true, false},
		{"fd00:2::1", false, false, false},
		{"127.0.0.1", false, false, true},
		{"127.8.8.8", false, false, true},
		{"::1", false, false, true},
		{"::ffff:127.0.0.1", false, false, true},
		{"0.0.0.0", false, false, false},
		{"::", false, false, false},
		{"224.0.0.1", false, false, false},
		{"255.255.255.255", false, false, false},
		{"ff02::1", false, false, false},
		{"168.63.129.16", false, false, false},
	} {
		ip := netip.MustParseAddr(c.ip)
		for name, p := range map[string]struct {
			policy binding.DialPolicy
			ok     bool
		}{"strict": {strict, c.strict}, "inside": {inside, c.inside}, "local": {local, c.local}} {
			if err := p.policy.Check(ip); (err == nil) != p.ok {
				t.Errorf("%s, %s: %v, want allowed=%v", c.ip, name, err, p.ok)
			}
		}
	}
}
