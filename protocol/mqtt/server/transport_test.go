package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/gorilla/websocket"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// forward is an owner that forwards every publish to every session, as a small broker does.
func forward() (*owner, *forwarder) {
	f := &forwarder{}
	return &owner{publish: f.publish, attached: f.attach}, f
}

type forwarder struct {
	s     *server.Server
	mu    sync.Mutex
	users map[string]bool // transports seen
}

func (f *forwarder) attach(s *server.Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users == nil {
		f.users = map[string]bool{}
	}
	transport, _ := s.Data().(string)
	f.users[transport] = true
}

func (f *forwarder) publish(_ *server.Session, p *server.Publish) {
	f.s.Each(func(to *server.Session) bool {
		_ = to.Send(server.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS})
		return true
	})
	p.Done(nil)
}

// doors are the addresses of one server on all transports.
type doors struct {
	s              *server.Server
	tcp, tls       string
	ws, wss        string
	roots          *x509.CertPool
	caFile         string
	usersOf        *forwarder
	mem            dialer
	serverSideCert tls.Certificate
}

func openDoors(t *testing.T) *doors {
	t.Helper()
	o, f := forward()
	o.connect = func(c *server.Connect) (server.Welcome, error) {
		if (c.TLS != nil) != (c.Transport == "tls" || c.Transport == "wss") {
			t.Errorf("transport %s with TLS state %v", c.Transport, c.TLS)
		}
		if c.UserName != "user" || string(c.Password) != "secret" {
			return server.Welcome{}, &server.Refusal{Code: packet.BadCredentials, Reason: "test"}
		}
		return server.Welcome{Identity: c.ClientID, Data: c.Transport}, nil
	}
	d := &doors{usersOf: f}
	d.s, d.mem = start(t, server.DefaultConfig(), o)
	f.s = d.s
	d.certificate(t)
	conf := &tls.Config{Certificates: []tls.Certificate{d.serverSideCert}}

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.tcp = tcp.Addr().String()
	serve(t, d.s, tcp, "tcp")
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(server.Poll(inner), conf)
	d.tls = secure.Addr().String()
	serve(t, d.s, secure, "tls")

	plain := httptest.NewServer(d.s.WebSocket())
	t.Cleanup(plain.Close)
	d.ws = "ws" + strings.TrimPrefix(plain.URL, "http")
	crypt := httptest.NewUnstartedServer(d.s.WebSocket())
	crypt.TLS = conf
	crypt.StartTLS()
	t.Cleanup(crypt.Close)
	d.wss = "wss" + strings.TrimPrefix(crypt.URL, "https")
	return d
}

// dialTLS opens a TLS connection to the door.
func (d *doors) dialTLS(t *testing.T) net.Conn {
	t.Helper()
	nc, err := tls.Dial("tcp", d.tls, &tls.Config{RootCAs: d.roots, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// certificate makes a self-signed one for 127.0.0.1.
func (d *doors) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"127.0.0.1", "localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	d.serverSideCert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	crt, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	d.roots = x509.NewCertPool()
	d.roots.AddCert(crt)
	d.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(d.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wait fails the test unless the token completes without an error.
func wait(t *testing.T, what string, tok mqtt.Token) {
	t.Helper()
	if !tok.WaitTimeout(limit) || tok.Error() != nil {
		t.Fatalf("%s: %v", what, tok.Error())
	}
}

func (d *doors) paho(t *testing.T, url, id string) mqtt.Client {
	t.Helper()
	opts := mqtt.NewClientOptions().AddBroker(url).SetClientID(id).SetUsername("user").SetPassword("secret").
		SetTLSConfig(&tls.Config{RootCAs: d.roots}).SetAutoReconnect(false).SetConnectTimeout(limit)
	c := mqtt.NewClient(opts)
	wait(t, "connect "+url, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// TestPaho: a client that we did not write, over all transports, QoS 0 to 2, small and large.
func TestPaho(t *testing.T) {
	d := openDoors(t)
	for name, url := range map[string]string{"tcp": "tcp://" + d.tcp, "tls": "tls://" + d.tls, "ws": d.ws + "/mqtt", "wss": d.wss} {
		t.Run(name, func(t *testing.T) {
			c := d.paho(t, url, "paho-"+name)
			got := make(chan string, 1000)
			wait(t, "subscribe", c.Subscribe(name+"/#", 2, func(_ mqtt.Client, m mqtt.Message) {
				got <- fmt.Sprintf("%s %d %d", m.Topic(), m.Qos(), len(m.Payload()))
			}))
			for qos := range byte(3) {
				for _, size := range []int{0, 10, 5000, 200_000} {
					topic := fmt.Sprintf("%s/%d", name, qos)
					wait(t, "publish", c.Publish(topic, qos, false, make([]byte, size)))
					select {
					case m := <-got:
						if want := fmt.Sprintf("%s %d %d", topic, qos, size); m != want {
							t.Errorf("got %q, want %q", m, want)
						}
					case <-time.After(limit):
						t.Fatalf("qos %d size %d did not come", qos, size)
					}
				}
			}
			var toks []mqtt.Token
			for i := range 500 {
				toks = append(toks, c.Publish(name+"/many", byte(i%2), false, "x"))
			}
			for _, tok := range toks {
				wait(t, "publish many", tok)
			}
			for range 500 {
				select {
				case <-got:
				case <-time.After(limit):
					t.Fatal("messages missing")
				}
			}
			d.usersOf.mu.Lock()
			if !d.usersOf.users[name] {
				t.Errorf("the owner saw transports %v", d.usersOf.users)
			}
			d.usersOf.mu.Unlock()
		})
	}
}

// TestMosquittoClients: the command-line clients of another project, over TCP and TLS.
//
//nolint:misspell // the programs are spelled like this
func TestMosquittoClients(t *testing.T) {
	sub, err := exec.LookPath("mosquitto_sub")
	if err != nil {
		t.Fatal("mosquitto_sub is needed: apt-get install -y --no-install-recommends mosquitto-clients")
	}
	d := openDoors(t)
	for name, args := range map[string][]string{"tcp": portArgs(t, d.tcp), "tls": append(portArgs(t, d.tls), "--cafile", d.caFile)} {
		for _, version := range []string{"mqttv31", "mqttv311"} {
			t.Run(name+" "+version, func(t *testing.T) {
				id := "sub-" + name + version
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				common := append([]string{"-u", "user", "-P", "secret", "-V", version, "-q", "1", "-t", "m/" + id}, args...)
				listen := exec.CommandContext(ctx, sub, append([]string{"-i", id, "-C", "2", "-v"}, common...)...)
				var out strings.Builder
				listen.Stdout, listen.Stderr = &out, &out
				if err := listen.Start(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "mosquitto_sub subscribed", func() bool {
					s, ok := d.s.Session(id)
					return ok && len(s.Subscriptions()) == 1
				})
				for _, m := range []string{"hello", "world"} {
					pubCmd := exec.CommandContext(ctx, "mosquitto_pub", append([]string{"-i", "pub-" + id, "-m", m}, common...)...)
					if b, err := pubCmd.CombinedOutput(); err != nil {
						t.Fatalf("mosquitto_pub: %v: %s", err, b)
					}
				}
				if err := listen.Wait(); err != nil {
					t.Fatalf("mosquitto_sub: %v: %s", err, out.String())
				}
				if want := fmt.Sprintf("m/%s hello\nm/%s world\n", id, id); out.String() != want {
					t.Errorf("mosquitto_sub printed %q, want %q", out.String(), want)
				}
			})
		}
	}
	bad := exec.Command("mosquitto_pub", append([]string{"-i", "bad", "-u", "user", "-P", "wrong", "-t", "t", "-m", "x"}, portArgs(t, d.tcp)...)...)
	if b, err := bad.CombinedOutput(); err == nil || !strings.Contains(strings.ToLower(string(b)), "bad user name or password") &&
		!strings.Contains(strings.ToLower(string(b)), "not authori") {
		t.Errorf("wrong password: %v: %s", err, b)
	}
}

func portArgs(t *testing.T, addr string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-h", host, "-p", port}
}

// TestWebSocketFrames: frames split and join packets as they like; a text frame ends the connection.
func TestWebSocketFrames(t *testing.T) {
	d := openDoors(t)
	for _, proto := range []string{"mqtt", "mqttv3.1"} {
		dialer := websocket.Dialer{Subprotocols: []string{proto}}
		ws, resp, err := dialer.Dial(d.ws+"/mqtt", map[string][]string{"Origin": {"http://elsewhere.example"}})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if ws.Subprotocol() != proto {
			t.Errorf("subprotocol %q, want %q", ws.Subprotocol(), proto)
		}
		all := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("ws"), Clean: true,
			HasUserName: true, UserName: []byte("user"), HasPassword: true, Password: []byte("secret")})
		all = packet.AppendSubscribe(all, 1, []packet.Filter{{Filter: "a", QoS: 1}})
		all = append(all, pub("a", "hello", 1, 2)...)
		all = packet.AppendEmpty(all, packet.PINGREQ)
		for len(all) > 0 { // 1, 2, 3 … bytes a frame: both splitting and joining
			n := min(len(all), 1+len(all)%7)
			if err := ws.WriteMessage(websocket.BinaryMessage, all[:n]); err != nil {
				t.Fatal(err)
			}
			all = all[n:]
		}
		var got []byte
		want := packet.AppendConnack(nil, false, packet.Accepted)
		want = packet.AppendSuback(want, 1, []byte{1})
		want = append(want, pub("a", "hello", 1, 1)...)
		want = packet.AppendID(want, packet.PUBACK, 2)
		want = packet.AppendEmpty(want, packet.PINGRESP)
		_ = ws.SetReadDeadline(time.Now().Add(limit))
		for len(got) < len(want) {
			kind, b, err := ws.ReadMessage()
			if err != nil || kind != websocket.BinaryMessage {
				t.Fatalf("frame of kind %d: %v; so far % x", kind, err, got)
			}
			got = append(got, b...)
		}
		if string(got) != string(want) {
			t.Errorf("got % x, want % x", got, want)
		}
		if err := ws.WriteMessage(websocket.TextMessage, []byte{0xc0, 0}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ws.ReadMessage(); err == nil {
			t.Error("a text frame was answered")
		}
		_ = ws.Close()
	}
	eventually(t, "counted", func() bool { return d.s.Stats().Closed[server.CauseProtocol] == 2 })
}

// TestTLSRefused: bytes that are not TLS end the handshake and are counted.
func TestTLSRefused(t *testing.T) {
	d := openDoors(t)
	nc, err := net.Dial("tcp", d.tls)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	c.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	_, _, _ = c.read()
	eventually(t, "counted", func() bool { return d.s.Stats().Closed[server.CauseTLS] == 1 })
}

// TestTCPSplit: a large packet that comes in small pieces, then many in one.
func TestTCPSplit(t *testing.T) {
	d := openDoors(t)
	nc, err := net.Dial("tcp", d.tcp)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	c.connect(&packet.Connect{ClientID: []byte("split"), Clean: true,
		HasUserName: true, UserName: []byte("user"), HasPassword: true, Password: []byte("secret")})
	big := pub("t", strings.Repeat("0123456789", 20_000), 1, 1)
	for len(big) > 0 {
		n := min(len(big), 7001)
		c.send(big[:n])
		big = big[n:]
	}
	c.wantID(packet.PUBACK, 1)
	var all []byte
	for i := range uint16(1000) {
		all = append(all, pub("t", strings.Repeat("x", int(i)), 1, i+2)...)
	}
	go func() { _, _ = nc.Write(all) }()
	for i := range uint16(1000) {
		c.wantID(packet.PUBACK, i+2)
	}
	if d.s.Stats().PublishIn[1] != 1001 {
		t.Errorf("owner got %d", d.s.Stats().PublishIn[1])
	}
}
