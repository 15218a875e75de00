package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// ErrProxy: the proxy did not let the connection through; the message says what it answered.
var ErrProxy = errors.New("link: the proxy refuses the connection")

// addresses are where the hub is, in the order in which they are tried.
func (c *Config) addresses() []string { return append([]string{c.Server}, c.Fallback...) }

// dialer opens connections below MQTT: direct ones, or through the proxy.
func (l *Link) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	if l.cfg.Proxy == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	proxy := l.cfg.Proxy.Host
	if l.cfg.Proxy.Port() == "" {
		proxy = net.JoinHostPort(l.cfg.Proxy.Hostname(), "3128")
	}
	conn, err := d.DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", proxy, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	through, err := connect(conn, l.cfg.Proxy, addr)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return through, nil
}

// connect asks a proxy for a way to addr (RFC 9110 section 9.3.6).
func connect(conn net.Conn, proxy *url.URL, addr string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: make(http.Header)}
	if u := proxy.User; u != nil {
		pass, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+pass)))
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", ErrProxy, resp.Status)
	}
	if r.Buffered() > 0 {
		return nil, fmt.Errorf("%w: it speaks before the hub", ErrProxy)
	}
	return conn, nil
}

// dialTLS is dialTCP with TLS over it.
func (l *Link) dialTLS(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := l.dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	cfg := l.tls
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// proxyFor is the proxy of WebSocket connections: the one that is configured, not the environment's.
func (l *Link) proxyFor(*http.Request) (*url.URL, error) { return l.cfg.Proxy, nil }
