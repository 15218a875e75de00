// Package outbound is the way from rules to the world: a dialer that connects to no address of this machine or of the link
// (loopback, link-local, multicast, unspecified), however a name resolves, unless the hub's configuration allows it. Rules and connectors are
// written by people who may not have the hub's own network in their hands.
//
// The address is looked at after the name was resolved, when the socket is made: there is no moment between the check and the
// connection in which a name could come to mean something else.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// ErrLocal is permanent: trying again does not make the address another one.
var ErrLocal = fmt.Errorf("%w: it is an address of this machine or link, which this hub's configuration does not allow (--rule-allow-local)", rules.ErrPermanent)

// DefaultTimeout bounds making a connection when the caller's context does not.
const DefaultTimeout = 10 * time.Second

// Options are the operator's.
type Options struct {
	AllowLocal bool // addresses of this machine and link too
	UserAgent  string
}

// New is the way that o allows.
func New(o Options) rules.Outbound {
	d := &net.Dialer{Timeout: DefaultTimeout, KeepAlive: 15 * time.Second}
	if !o.AllowLocal {
		d.Control = refuse
	}
	return rules.Outbound{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil && errors.Is(err, ErrLocal) {
			return nil, fmt.Errorf("%s: %w", address, ErrLocal) // without what the name resolved to
		}
		return c, err
	}, UserAgent: o.UserAgent, CheckHost: func(host string) error {
		if a, err := netip.ParseAddr(host); err == nil && !o.AllowLocal && Local(a) {
			return fmt.Errorf("%s: %w", host, ErrLocal)
		}
		return nil
	}}
}

// Local tells whether a is an address that only this machine or its link has, also where an IPv6 address stands for an IPv4 one that is.
func Local(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || metadata[a] {
		return true
	}
	four, ok := translated(a)
	return ok && Local(four)
}

// metadata are addresses that are routed and yet answer each machine of a cloud with its own secrets; 169.254.169.254 is of the link.
var metadata = map[netip.Addr]bool{netip.MustParseAddr("fd00:ec2::254"): true, netip.MustParseAddr("100.100.100.200"): true}

// embeddings are the prefixes of IPv6 addresses that a translator or tunnel makes IPv4 of, and where the four bytes are.
var embeddings = []struct {
	prefix netip.Prefix
	at     [4]int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}}, // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}},  // NAT64 of a site's own, RFC 8215, as /48 and below as /96
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}}, // 6to4, RFC 3056
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}}, // IPv4-compatible, RFC 4291
}

// translated is an IPv4 address that a stands for: a local one, if a may stand for several.
func translated(a netip.Addr) (four netip.Addr, ok bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	for _, e := range embeddings {
		if e.prefix.Contains(a) {
			four, ok = netip.AddrFrom4([4]byte{b[e.at[0]], b[e.at[1]], b[e.at[2]], b[e.at[3]]}), true
			if Local(four) {
				break
			}
		}
	}
	return four, ok
}

// refuse sees the address that is connected to, after the name was resolved.
func refuse(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || Local(a.Addr()) {
		return ErrLocal
	}
	return nil
}
