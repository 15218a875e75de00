// Package port finds ports for servers that have to be told theirs. A port that was found stays this process's until it ends: also other
// processes that look for one here pass it over, so that tests that run side by side don't take each other's.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The range is below that from which the kernel serves outgoing connections, so that none of them takes a port before its server does.
const (
	first = 20_000
	count = 12_000
)

// held are the reservations: a UDP socket on the port, which no TCP server is in the way of.
var held struct {
	mu   sync.Mutex
	list []net.PacketConn
}

// Free returns an address on 127.0.0.1 to which no TCP server is bound. Whoever stops a server may start it there again.
func Free() (string, error) {
	var err error
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))
		var reservation net.PacketConn
		if reservation, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		var probe net.Listener
		if probe, err = net.Listen("tcp", addr); err != nil {
			_ = reservation.Close()
			continue
		}
		_ = probe.Close()
		held.mu.Lock()
		held.list = append(held.list, reservation)
		held.mu.Unlock()
		return addr, nil
	}
	return "", fmt.Errorf("free port: %w", err)
}
