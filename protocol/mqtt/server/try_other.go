//go:build !unix

package server

import "net"

// newTryConn returns nc's non-blocking side, nil when it has none.
func newTryConn(nc net.Conn) tryConn {
	t, _ := nc.(tryConn)
	return t
}
