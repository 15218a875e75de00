package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Proxied returns a listener whose connections from trusted networks begin with a PROXY protocol header, version 1 or 2: the
// client's address is what it says. Connections from elsewhere are as they come. Accept does not wait for the header; it is
// read when the connection's address is asked for or its first byte is, and must come within wait.
func Proxied(ln net.Listener, trusted []netip.Prefix, wait time.Duration) net.Listener {
	return &proxyListener{Listener: ln, trusted: trusted, wait: wait}
}

type proxyListener struct {
	net.Listener
	trusted []netip.Prefix
	wait    time.Duration
}

// Accept implements net.Listener.
func (l *proxyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil || !l.trusts(nc.RemoteAddr()) {
		return nc, err
	}
	return &proxyConn{Conn: nc, wait: l.wait}, nil
}

func (l *proxyListener) trusts(addr net.Addr) bool {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap()
	for _, p := range l.trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// proxyConn is a connection that begins with a header.
type proxyConn struct {
	net.Conn
	wait time.Duration
	once sync.Once
	addr net.Addr // nil: the connection's own
	err  error
}

// ErrProxyHeader is the error of a connection whose PROXY protocol header is missing or damaged.
var ErrProxyHeader = errors.New("mqtt server: no PROXY protocol header from a trusted proxy")

// header reads the header once.
func (p *proxyConn) header() error {
	p.once.Do(func() {
		_ = p.SetReadDeadline(time.Now().Add(p.wait))
		p.addr, p.err = readProxyHeader(p.Conn)
		_ = p.SetReadDeadline(time.Time{})
	})
	return p.err
}

// Read implements net.Conn.
func (p *proxyConn) Read(b []byte) (int, error) {
	if err := p.header(); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

// RemoteAddr is the client's address.
func (p *proxyConn) RemoteAddr() net.Addr {
	if p.header() != nil || p.addr == nil {
		return p.Conn.RemoteAddr()
	}
	return p.addr
}

var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	// proxyFirst is how much both versions have at least, so that nothing behind the header is read with it.
	proxyFirst = 13
	// proxyMax1 is the longest header of version 1, proxyMax2 the longest that is taken of version 2.
	proxyMax1 = 107
	proxyMax2 = 2048
)

// readProxyHeader reads exactly the header; addr is nil when it names none.
func readProxyHeader(r io.Reader) (addr net.Addr, err error) {
	var buf [proxyMax1]byte
	if _, err := io.ReadFull(r, buf[:proxyFirst]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxyHeader, err)
	}
	switch {
	case bytes.HasPrefix(buf[:proxyFirst], proxySignature):
		return readProxy2(r, buf[:])
	case bytes.HasPrefix(buf[:proxyFirst], []byte("PROXY ")):
		return readProxy1(r, buf[:])
	}
	return nil, ErrProxyHeader
}

// readProxy1 reads the rest of a line, a byte at a time.
func readProxy1(r io.Reader, buf []byte) (net.Addr, error) {
	n := proxyFirst
	for !bytes.HasSuffix(buf[:n], []byte("\r\n")) {
		if n == len(buf) {
			return nil, ErrProxyHeader
		}
		if _, err := io.ReadFull(r, buf[n:n+1]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProxyHeader, err)
		}
		n++
	}
	f := strings.Split(string(buf[:n-2]), " ")
	switch {
	case f[1] == "UNKNOWN":
		return nil, nil
	case len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6":
		return nil, ErrProxyHeader
	}
	ip, err := netip.ParseAddr(f[2])
	if err != nil || ip.Is4() != (f[1] == "TCP4") {
		return nil, ErrProxyHeader
	}
	port, err := parsePort(f[4])
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), err
}

func parsePort(s string) (uint16, error) {
	if s == "" || len(s) > 5 {
		return 0, ErrProxyHeader
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, ErrProxyHeader
		}
		n = 10*n + int(c-'0')
	}
	if n > 65_535 {
		return 0, ErrProxyHeader
	}
	return uint16(n), nil
}

// readProxy2 reads the rest of the binary form.
func readProxy2(r io.Reader, buf []byte) (net.Addr, error) {
	if _, err := io.ReadFull(r, buf[proxyFirst:16]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxyHeader, err)
	}
	version, family, size := buf[12], buf[13], int(binary.BigEndian.Uint16(buf[14:]))
	if version>>4 != 2 || version&15 > 1 || size > proxyMax2 {
		return nil, ErrProxyHeader
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxyHeader, err)
	}
	if version&15 == 0 { // LOCAL: the proxy itself, looking whether we are there
		return nil, nil
	}
	n := map[byte]int{0x11: 4, 0x21: 16}[family]
	switch {
	case n == 0: // not TCP
		return nil, nil
	case size < 2*n+4:
		return nil, ErrProxyHeader
	}
	ip, _ := netip.AddrFromSlice(body[:n])
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(body[2*n:]))), nil
}
