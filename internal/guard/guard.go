// Package guard decides which addresses may be dialled on behalf of somebody who is not
// trusted with the network: a notifier whose target a user wrote, a plugin.
package guard

import (
	"net/netip"
	"syscall"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Guard decides which addresses may be dialled. It looks at the address itself, after
// every name was resolved, so that no name, notation or redirect leads around it.
type Guard struct{ allowed []netip.Prefix }

// refused are the networks of IANA's special-purpose registries that are no public
// destination, and addresses that clouds give to their metadata services.
func refused() []string {
	return []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // Azure's wire server: a public address that means the host's own
		"::/96",            // unspecified, loopback and the old IPv4-compatible form
		"::ffff:0:0:0/96",  // IPv4-translated
		"64:ff9b::/96",     // NAT64: any IPv4 address in disguise
		"64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", // 6to4: the same
		"2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	}
}

// metadata are the addresses that hand out a machine's credentials.
func metadata() []string {
	return []string{"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"}
}

// New returns a guard that lets through public addresses and those in the
// prefixes, such as 10.1.0.0/16. A metadata address has to stand there by itself.
func New(allow []string) (Guard, error) {
	var g Guard
	for _, s := range allow {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil || a.Zone() != "" {
				return g, sentinel.Errorf(sentinel.Invalid, "%.60q is no network, want one such as 10.1.0.0/16", s)
			}
			p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		if p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return g, sentinel.Errorf(sentinel.Invalid, "%.60q: write IPv4 networks as such, and no zone", s)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	return g, nil
}

// Allows returns a Forbidden error for an address that must not be dialled.
func (g Guard) Allows(addr netip.Addr) error {
	a := addr.Unmap().WithZone("")
	if !a.IsValid() {
		return sentinel.Errorf(sentinel.Forbidden, "no address")
	}
	secret := false
	for _, m := range metadata() {
		secret = secret || netip.MustParseAddr(m) == a
	}
	for _, p := range g.allowed {
		if p.Contains(a) && (!secret || p.IsSingleIP()) {
			return nil
		}
	}
	if !secret {
		public := true
		for _, n := range refused() {
			public = public && !netip.MustParsePrefix(n).Contains(a)
		}
		if public {
			return nil
		}
	}
	return sentinel.Errorf(sentinel.Forbidden, "the address %s is not public, and its network is not allowed", a)
}

// Control is a net.Dialer's: it sees the address that is really dialled. Errors are
// Forbidden.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return sentinel.Errorf(sentinel.Forbidden, "%s is not spoken here", network)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return sentinel.Errorf(sentinel.Forbidden, "%.60q is no address", address)
	}
	return g.Allows(ap.Addr())
}
