package hub

import (
	"net"
	"os"
	"testing"
)

func TestReachable(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		addr  net.Addr
		hosts []string
		want  string
	}{
		{"one address", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443}, []string{"iot.example"}, "127.0.0.1:8443"},
		{"every address, a host named", &net.TCPAddr{IP: net.IPv6unspecified, Port: 8443}, []string{"iot.example", "b"}, "iot.example:8443"},
		{"every address, an IPv6 host", &net.TCPAddr{IP: net.IPv4zero, Port: 80}, []string{"2001:db8::1"}, "[2001:db8::1]:80"},
		{"every address, no host", &net.TCPAddr{IP: net.IPv6unspecified, Port: 1}, nil, name + ":1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := reachable(tt.addr, tt.hosts); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
