package outbound

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/cloud/rules"
)

func TestLocal(t *testing.T) {
	for _, text := range []string{"127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "224.0.0.1", "ff02::1", "fe80::1%eth0",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1:7f00:0:100::", "64:ff9b:1::127.0.0.1", "2002:7f00:1::", "::127.0.0.1", "fd00:ec2::254", "100.100.100.200"} {
		if !Local(netip.MustParseAddr(text)) {
			t.Errorf("%s is not taken for local", text)
		}
	}
	for _, text := range []string{"10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1", "64:ff9b::8.8.8.8", "2002:808:808::1", "100.64.0.1"} {
		if Local(netip.MustParseAddr(text)) {
			t.Errorf("%s is taken for local", text)
		}
	}
}

func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	socket := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	closed, open := New(Options{}), New(Options{AllowLocal: true})
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0"} {
		if _, err := closed.Dial(t.Context(), "tcp", net.JoinHostPort(host, port)); !errors.Is(err, ErrLocal) || !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s: %v", host, err)
		}
		c, err := open.Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s, allowed: %v", host, err)
			continue
		}
		_ = c.Close()
	}
	if _, err := closed.Dial(t.Context(), "unix", socket); !errors.Is(err, ErrLocal) {
		t.Errorf("a socket of this machine: %v", err)
	}
}

func TestCheckHost(t *testing.T) {
	closed, open := New(Options{}), New(Options{AllowLocal: true})
	for host, bad := range map[string]bool{"127.0.0.1": true, "::1": true, "10.0.0.1": false, "localhost": false, "example.com": false} {
		if err := closed.CheckHost(host); errors.Is(err, ErrLocal) != bad {
			t.Errorf("%s: %v", host, err)
		}
		if err := open.CheckHost(host); err != nil {
			t.Errorf("%s, allowed: %v", host, err)
		}
	}
}
