package server_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

const (
	proxy2    = "\r\n\r\n\x00\r\nQUIT\n"
	proxy2TCP = proxy2 + "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x00\x50"
)

// listen opens a TCP listener.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestProxyHeader(t *testing.T) {
	long := "PROXY TCP4 1.2.3.4 5.6.7.8 " + strings.Repeat("1", 200) + "\r\n"
	seen := make(chan string, 1)
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) { seen <- c.Remote; return server.Welcome{}, nil }}
	s, _ := start(t, server.Config{}, o)
	for _, c := range []struct{ name, header, want string }{
		{"1 over IPv4", "PROXY TCP4 1.2.3.4 5.6.7.8 4660 80\r\n", "1.2.3.4:4660"},
		{"1 over IPv6", "PROXY TCP6 2001:db8::1 ::1 4660 80\r\n", "[2001:db8::1]:4660"},
		{"1 unknown", "PROXY UNKNOWN\r\n", "127.0.0.1:"},
		{"1 unknown with words", "PROXY UNKNOWN ff:: ::1 1 2\r\n", "127.0.0.1:"},
		{"2 over IPv4", proxy2TCP, "1.2.3.4:4660"},
		{"2 over IPv6", proxy2 + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 27) + "\x01\x12\x34\x00\x50", "[2001:db8::]:4660"},
		{"2 with extensions", proxy2 + "\x21\x11\x00\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x00\x50\x04\x00\x00", "1.2.3.4:4660"},
		{"2 local", proxy2 + "\x20\x00\x00\x00", "127.0.0.1:"},
		{"2 unix", proxy2 + "\x21\x31\x00\x00", "127.0.0.1:"},
		{"none", "", ""},
		{"http", "GET / HTTP/1.1\r\n\r\n", ""},
		{"1 wrong family", "PROXY TCP4 ::1 5.6.7.8 4660 80\r\n", ""},
		{"1 no address", "PROXY TCP4 x 5.6.7.8 4660 80\r\n", ""},
		{"1 port too large", "PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n", ""},
		{"1 short", "PROXY TCP4 1.2.3.4\r\n", ""},
		{"1 endless", long, ""},
		{"2 version 1", proxy2 + "\x11\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x00\x50", ""},
		{"2 command 2", proxy2 + "\x22\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x00\x50", ""},
		{"2 too short for its addresses", proxy2 + "\x21\x11\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08", ""},
		{"2 too long", proxy2 + "\x21\x11\xff\xff", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln := listen(t)
			serve(t, s, server.Proxied(ln, loopback, limit), "tcp")
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			cl := newClient(t, nc)
			cl.send([]byte(c.header), packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("p"), Clean: true}))
			if c.want == "" {
				if _, _, err := cl.read(); err == nil {
					t.Error("served")
				}
				return
			}
			if _, code := cl.connack(); code != packet.Accepted {
				t.Fatal(code)
			}
			if got := <-seen; !strings.HasPrefix(got, c.want) {
				t.Errorf("the owner saw %s, want %s", got, c.want)
			}
			cl.subscribe(1, "a", 0) // goes on as any connection
			cl.disconnect()
		})
	}
}

// TestProxyUntrusted: from elsewhere a header is what it is without a proxy: not MQTT.
func TestProxyUntrusted(t *testing.T) {
	s, _ := start(t, server.Config{}, &owner{})
	ln := listen(t)
	serve(t, s, server.Proxied(ln, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, limit), "tcp")
	for header, served := range map[string]bool{"": true, proxy2TCP: false} {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		cl := newClient(t, nc)
		cl.send([]byte(header), packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("p"), Clean: true}))
		if _, _, err := cl.read(); (err == nil) != served {
			t.Errorf("header %q: %v", header, err)
		}
	}
}

// TestProxySilent: a proxy that says nothing keeps nobody waiting but itself.
func TestProxySilent(t *testing.T) {
	t.Parallel()
	once(t)
	s, _ := start(t, server.Config{ConnectTimeout: 5 * time.Second}, &owner{})
	ln := listen(t)
	serve(t, s, server.Proxied(ln, loopback, 5*time.Second), "tcp")
	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cl := newClient(t, nc)
	cl.send([]byte(proxy2TCP))
	cl.connect(&packet.Connect{ClientID: []byte("p"), Clean: true})
	newClient(t, silent).wantClosed()
}

// TestProxyBelow: the header comes before TLS, and before HTTP.
func TestProxyBelow(t *testing.T) {
	seen := make(chan string, 1)
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) { seen <- c.Remote; return server.Welcome{}, nil }}
	s, _ := start(t, server.Config{}, o)
	d := &doors{}
	d.certificate(t)
	secure := listen(t)
	serve(t, s, tls.NewListener(server.Poll(server.Proxied(secure, loopback, limit)), &tls.Config{Certificates: []tls.Certificate{d.serverSideCert}}), "tls")
	web := &httptest.Server{Listener: server.Proxied(listen(t), loopback, limit), Config: &http.Server{Handler: s.WebSocket()}}
	web.Start()
	t.Cleanup(web.Close)
	con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("p"), Clean: true})

	open := func(addr string) net.Conn {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		if _, err := nc.Write([]byte(proxy2TCP)); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	cl := newClient(t, tls.Client(open(secure.Addr().String()), &tls.Config{RootCAs: d.roots, ServerName: "127.0.0.1"}))
	cl.send(con)
	cl.connack()
	if got := <-seen; got != "1.2.3.4:4660" {
		t.Errorf("TLS: %s", got)
	}
	dialer := &websocket.Dialer{NetDial: func(_, addr string) (net.Conn, error) { return open(addr), nil }}
	ws, resp, err := dialer.Dial("ws"+strings.TrimPrefix(web.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	_ = resp.Body.Close()
	if err := ws.WriteMessage(websocket.BinaryMessage, con); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "1.2.3.4:4660" {
		t.Errorf("WebSocket: %s", got)
	}
}
