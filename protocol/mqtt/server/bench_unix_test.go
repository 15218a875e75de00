//go:build unix

package server_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// BenchmarkIdleTCP reports the server's memory for an idle TCP connection with one subscription; clients are bare
// file descriptors, so that they weigh nothing. Run it with -benchtime 2000x.
func BenchmarkIdleTCP(b *testing.B) {
	s, _ := start(b, server.DefaultConfig(), &owner{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve(b, s, ln, "tcp")
	port := ln.Addr().(*net.TCPAddr).Port
	before := memory()
	fds := make([]int, 0, b.N)
	for i := range b.N {
		fd, err := rawClient(port, i)
		if err != nil {
			b.Fatal(err)
		}
		fds = append(fds, fd)
	}
	b.ReportMetric(float64(memory()-before)/float64(b.N), "B/conn")
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
	eventually(b, "all closed", func() bool { return s.Connections() == 0 })
}

// rawClient connects, subscribes and returns the descriptor.
func rawClient(port, n int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	out := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: fmt.Appendf(nil, "d%d", n), KeepAlive: 600})
	out = packet.AppendSubscribe(out, 1, []packet.Filter{{Filter: fmt.Sprintf("/product/d%d/set", n), QoS: 1}})
	if _, err := syscall.Write(fd, out); err != nil {
		return 0, err
	}
	in := make([]byte, 9) // CONNACK and SUBACK
	for at := 0; at < len(in); {
		m, err := syscall.Read(fd, in[at:])
		if err != nil || m == 0 {
			return 0, fmt.Errorf("read: %d bytes, %w", m, err)
		}
		at += m
	}
	return fd, nil
}
