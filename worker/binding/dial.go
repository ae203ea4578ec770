package binding

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// DialPolicy says which addresses a service's requests may reach. It is asked with
// the address that is dialled, after the name was resolved, so that a name which
// changes its address between check and use gains nothing.
type DialPolicy struct {
	Allow    []netip.Prefix // private ranges that the file allows
	Loopback bool           // base_url says loopback
}

// ErrAddressDenied says that a policy does not allow an address.
var ErrAddressDenied = errors.New("address is not allowed")

// prefixes that need allow_cidrs: private, carrier-grade NAT, and those in which
// another address may hide.
var privatePrefixes = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

// prefixes that are never dialled: nobody's API is there, and the credentials of
// cloud machines are.
var deniedPrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved, broadcast
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS metadata
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba metadata
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's host
}

// nat64 is the prefix behind whose last four bytes an IPv4 address is reached.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Check reports why the address may not be dialled; nil if it may.
func (p DialPolicy) Check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if b := ip.As16(); ip.Is6() && [12]byte(b[:12]) == [12]byte{} && !ip.IsLoopback() && !ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte(b[12:])) // IPv4-compatible, long deprecated
	}
	for _, d := range deniedPrefixes {
		if d.Contains(ip) {
			return fmt.Errorf("%w: %s is link-local, metadata, multicast or reserved, which is never called", ErrAddressDenied, ip)
		}
	}
	for _, a := range p.Allow {
		if a.Contains(ip) {
			return nil
		}
	}
	if ip.IsLoopback() {
		if p.Loopback {
			return nil
		}
		return fmt.Errorf("%w: %s is loopback, and the address of the service does not say so", ErrAddressDenied, ip)
	}
	for _, d := range privatePrefixes {
		if d.Contains(ip) {
			return fmt.Errorf("%w: %s is in the private range %s; add a range with it to allow_cidrs of the service", ErrAddressDenied, ip, d)
		}
	}
	return nil
}

// control is the net.Dialer's Control: it sees each address before it is connected to.
func (p DialPolicy) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrAddressDenied, address, err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrAddressDenied, address, err)
	}
	return p.Check(ip)
}

// IsLoopback reports whether a host of a base_url is a loopback literal.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
