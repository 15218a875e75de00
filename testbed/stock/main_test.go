package stock

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

// base is the public base of URLs in these tests: without a port, as stock devices want it.
const base = "https://iot.example.com"

// start is a hub with devices of one product.
func start(t *testing.T, n int, fields map[string]any, args ...string) (*harness.Hub, []harness.Credentials) {
	t.Helper()
	hub := harness.StartHub(t, harness.HubOptions{Args: append([]string{"--device-base-url", base, "--rule-allow-local"}, args...)})
	all := map[string]any{"name": t.Name(), "kind": "device", "shadow": true}
	for k, v := range fields {
		all[k] = v
	}
	return hub, hub.Devices(hub.Product(all), n)
}

// client speaks HTTP as a small client does, on one connection.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// dial connects with TLS 1.2, which is what such a client can do.
func dial(t *testing.T, hub *harness.Hub, overTLS bool) *client {
	t.Helper()
	if !overTLS {
		conn, err := net.Dial("tcp", hub.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return &client{t, conn, bufio.NewReader(conn)}
	}
	conn, err := tls.Dial("tcp", hub.HTTPS, &tls.Config{RootCAs: roots(t, hub), ServerName: "localhost", MaxVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func roots(t *testing.T, hub *harness.Hub) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(hub.Data, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// send writes a request as it stands.
func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(c.conn, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer and holds it to what a small client can read.
func (c *client) answer() (status int, body string) {
	c.t.Helper()
	head, body := c.read()
	line, _, _ := strings.Cut(head, "\r\n")
	var reason string
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		c.t.Fatalf("status line %q", line)
	}
	_, reason, _ = strings.Cut(strings.TrimPrefix(line, "HTTP/1.1 "), " ")
	switch {
	case len(reason) > 17:
		c.t.Errorf("reason %q has %d characters: it looks for the end of the line within 32 bytes", reason, len(reason))
	case len(head) > 900:
		c.t.Errorf("a head of %d bytes: more than 1,023 crash it", len(head))
	case strings.Contains(head, "chunked") || strings.Contains(head, "Location:") || strings.Contains(head, "Content-Encoding"):
		c.t.Errorf("head %q: it knows neither chunks nor redirects nor compression", head)
	case status == 200 && len(body) < 32 || status >= 300 && body != "" && len(body) < 32:
		c.t.Errorf("body %q is shorter than 32 bytes", body)
	}
	return status, body
}

// read reads one answer by its Content-Length, spelled as a small client looks for it.
func (c *client) read() (head, body string) {
	c.t.Helper()
	var b strings.Builder
	n := -1
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			c.t.Fatalf("head %q: %v", b.String(), err)
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &n)
		b.WriteString(line)
	}
	if n < 0 {
		c.t.Fatalf("no Content-Length in %q", b.String())
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(c.r, text); err != nil {
		c.t.Fatal(err)
	}
	return b.String(), string(text)
}

// value finds a string member as a small client does: by searching for its name.
func value(t *testing.T, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `"`+name+`":"`)
	v, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		t.Fatalf("no %s in %s", name, body)
	}
	return v
}
