package server

import (
	"context"
	"net"
	"syscall"
	"testing"
)

// TestOptions: connections have what the net package would set on them, those of an MPTCP listener and of a TCP one, which inherit it.
func TestOptions(t *testing.T) {
	for name, multi := range map[string]bool{"tcp": false, "mptcp": true} {
		t.Run(name, func(t *testing.T) {
			var lc net.ListenConfig
			lc.SetMultipathTCP(multi)
			plain, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ln := Poll(plain)
			defer func() { _ = ln.Close() }()
			if l := ln.(*pollListener); !multi && !l.inherits {
				t.Error("connections of a TCP listener are set one by one")
			}
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = nc.Close() }()
			fd := nc.(*sock).fd
			for _, o := range []struct{ level, name, want int }{
				{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1}, {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
			} {
				if got, err := syscall.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
					t.Errorf("option %d of level %d is %d, %v, want %d", o.name, o.level, got, err, o.want)
				}
			}
		})
	}
}
