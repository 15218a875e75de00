package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestPosts(t *testing.T) {
	h := newHouse(t, gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}},
		HTTP: gateway.HTTP{Listen: "127.0.0.1:0", Token: "token"}})
	base := "http://" + h.g.AddrHTTP().String()
	upload := "/topic" + topic.Name(meter, "upload")
	for _, tt := range []struct {
		name, method, path, token, body string
		durable                         error
		asked                           bool // the way up was
		status                          int
		want                            string
	}{
		{"taken", "POST", upload, "token", "x", nil, true, 200, `{"RetCode":0,"Message":"success"}`},
		{"two slashes", "POST", "/topic/" + topic.Name(meter, "upload"), "token", "x", nil, true, 200, `"RetCode":0`},
		{"not durable", "POST", upload, "token", "x", fmt.Errorf("%w: disk full", server.ErrUnavailable), true, 503, `"RetCode":130`},
		{"no token", "POST", upload, "", "x", nil, false, 401, `"RetCode":100073`},
		{"wrong token", "POST", upload, "taken", "x", nil, false, 401, `"RetCode":100073`},
		{"a stranger's topic", "POST", "/topic" + topic.Name(pump, "upload"), "token", "x", nil, false, 200, `"RetCode":100075`},
		{"not to be published", "POST", "/topic" + topic.System(meter, topic.PropertySet), "token", "x", nil, false, 200, `"RetCode":100075`},
		{"no topic", "POST", "/topic/upload", "token", "x", nil, false, 200, `"RetCode":100075`},
		{"too long", "POST", upload, "token", strings.Repeat("x", 128<<10+1), nil, false, 200, `"RetCode":100076`},
		{"get", "GET", upload, "token", "", nil, false, 405, ""},
		{"elsewhere", "GET", "/", "token", "", nil, false, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.asked {
				go func() { (<-h.up.forwarded)(tt.durable) }()
			}
			status, body := do(t, http.DefaultClient, tt.method, base+tt.path, tt.token, tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.want)
			}
		})
	}
}

func do(t *testing.T, c *http.Client, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	return resp.StatusCode, string(b)
}

// TestTLS: both doors have the certificate, and a sub-device comes in by it.
func TestTLS(t *testing.T) {
	lend := httptest.NewTLSServer(nil) // a certificate for 127.0.0.1 and a client that trusts it
	defer lend.Close()
	h := newHouse(t, gateway.Config{ListenTLS: "127.0.0.1:0", TLS: &tls.Config{Certificates: lend.TLS.Certificates, MinVersion: tls.VersionTLS12},
		Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}}, HTTP: gateway.HTTP{Listen: "127.0.0.1:0", Token: "token"}})
	if h.g.Addr() != nil {
		t.Error("there is a plain listener")
	}
	go func() { (<-h.up.forwarded)(nil) }()
	if status, body := do(t, lend.Client(), "POST", "https://"+h.g.AddrHTTP().String()+"/topic"+topic.Name(meter, "upload"), "token", "x"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lend.Certificate().Raw})
	l, err := link.New(link.Config{Server: "tls://" + h.g.AddrTLS().String(), Device: meter, Secret: secret, TLS: link.TLS{CA: ca}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if err := l.WaitConnected(deadline(t)); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
