package server_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// TestClientCertificate: the owner sees the verified chain at Connect, over TLS and over WebSocket.
func TestClientCertificate(t *testing.T) {
	seen := make(chan string, 1)
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) {
		name := ""
		if chain := c.Chain(); len(chain) > 0 {
			name = chain[0].Subject.CommonName
		}
		seen <- name
		return server.Welcome{}, nil
	}}
	s, _ := start(t, server.DefaultConfig(), o)
	d := &doors{}
	d.certificate(t)
	conf := &tls.Config{Certificates: []tls.Certificate{d.serverSideCert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: d.roots}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := tls.NewListener(server.Poll(inner), conf)
	serve(t, s, ln, "tls")
	web := httptest.NewUnstartedServer(s.WebSocket())
	web.TLS = conf
	web.StartTLS()
	t.Cleanup(web.Close)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, c := range []struct {
		name, url string
		certs     []tls.Certificate
		want      string
	}{
		{"tls with", "ssl://127.0.0.1:" + port, []tls.Certificate{d.serverSideCert}, "test"},
		{"tls without", "ssl://127.0.0.1:" + port, nil, ""},
		{"wss with", "wss" + strings.TrimPrefix(web.URL, "https"), []tls.Certificate{d.serverSideCert}, "test"},
		{"wss without", "wss" + strings.TrimPrefix(web.URL, "https"), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := mqtt.NewClientOptions().AddBroker(c.url).SetClientID("d").SetAutoReconnect(false).SetConnectTimeout(limit).
				SetTLSConfig(&tls.Config{RootCAs: d.roots, Certificates: c.certs})
			client := mqtt.NewClient(opts)
			if tok := client.Connect(); !tok.WaitTimeout(limit) || tok.Error() != nil {
				t.Fatalf("connect: %v", tok.Error())
			}
			defer client.Disconnect(0)
			if got := <-seen; got != c.want {
				t.Errorf("owner saw %q, want %q", got, c.want)
			}
		})
	}
}
