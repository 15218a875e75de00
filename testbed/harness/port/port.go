// Package port finds ports for servers that have to be told theirs. A port that was found stays this process's until it ends: also other
// processes that look for one here pass it over, so that tests that run side by side don't take each other's.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
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

// Free returns an address on 127.0.0.1 at which no TCP server answers. Whoever stops a server may start it there again. It opens no listener to find
// out: a program that is being started at that moment would keep it, and the port, until it runs.
func Free() (string, error) {
	var err error
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))
		var reservation net.PacketConn
		if reservation, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		if c, dialErr := net.DialTimeout("tcp", addr, time.Second); dialErr == nil {
			err = errors.Join(fmt.Errorf("%s is a server's", addr), c.Close(), reservation.Close())
			continue
		}
		held.mu.Lock()
		held.list = append(held.list, reservation)
		held.mu.Unlock()
		return addr, nil
	}
	return "", fmt.Errorf("free port: %w", err)
}
