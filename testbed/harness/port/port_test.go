package port_test

import (
	"net"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness/port"
)

func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		addr, err := port.Free()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Fatalf("%s was given twice", addr)
		}
		seen[addr] = true
		for range 2 {
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = ln.Close()
		}
		if c, err := net.ListenPacket("udp", addr); err == nil {
			_ = c.Close()
			t.Fatalf("%s is not held for this process", addr)
		}
	}
}
