//go:build !linux

package server

import (
	"crypto/tls"
	"net"
)

// tellingBelow is what tells of bytes for a connection that cannot itself.
func tellingBelow(net.Conn) telling { return nil }

// newSecured returns the non-waiting side of a TLS connection, nil when it has none.
func newSecured(*tls.Conn) tryConn { return nil }
