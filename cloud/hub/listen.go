package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// listeners are the doors' sockets; nil is a door that is off.
type listeners struct {
	mqtt, mqtts, http, https, pprof net.Listener
	faces                           []*faceDoor // those that have an address of their own
}

// listen opens every door that is on. Nothing is accepted yet: a client that comes now waits until the hub is ready.
func listen(ctx context.Context, c *Config) (ls listeners, err error) {
	defer func() {
		if err != nil {
			ls.close()
		}
	}()
	for _, d := range []struct {
		flag, addr string
		ln         *net.Listener
	}{
		{"mqtt-addr", c.MQTTAddr, &ls.mqtt}, {"mqtts-addr", c.MQTTSAddr, &ls.mqtts},
		{"http-addr", c.HTTPAddr, &ls.http}, {"https-addr", c.HTTPSAddr, &ls.https},
		{"pprof-addr", c.PprofAddr, &ls.pprof},
	} {
		if isOff(d.addr) {
			continue
		}
		var lc net.ListenConfig
		if d.ln == &ls.mqtt || d.ln == &ls.mqtts {
			lc.SetMultipathTCP(false) // devices have one path, and each login would pay for it
		}
		if *d.ln, err = lc.Listen(ctx, "tcp", d.addr); err != nil {
			return ls, listenError(d.flag, d.addr, err)
		}
	}
	if err := ls.listenFaces(ctx, c); err != nil {
		return ls, err
	}
	ls.wrapProxies(c)
	return ls, nil
}

// proxyWait is how long a load balancer may take for its header.
const proxyWait = 10 * time.Second

// proxies are the networks that are believed.
func (c *Config) proxies() (list []netip.Prefix, err error) {
	for _, text := range c.ProxyProtocol {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--proxy-protocol %q: must be a network such as 10.0.0.0/8 or fd00::/8", text)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

func (c *Config) validateProxies() error {
	for _, door := range c.ProxyDoors {
		if !slices.Contains([]string{"mqtt", "mqtts", "http", "https"}, door) {
			return fmt.Errorf("--proxy-doors %q: must be mqtt, mqtts, http or https", door)
		}
	}
	_, err := c.proxies()
	return err
}

// wrapProxies lets load balancers say who the client is, below TLS.
func (ls *listeners) wrapProxies(c *Config) {
	trusted, err := c.proxies()
	if err != nil || len(trusted) == 0 { // Validate has told of an error
		return
	}
	for name, ln := range map[string]*net.Listener{"mqtt": &ls.mqtt, "mqtts": &ls.mqtts, "http": &ls.http, "https": &ls.https} {
		if *ln != nil && slices.Contains(c.ProxyDoors, name) {
			*ln = server.Proxied(*ln, trusted, proxyWait)
		}
	}
	for _, d := range ls.faces {
		if door := map[bool]string{false: "http", true: "https"}[d.tls]; slices.Contains(c.ProxyDoors, door) {
			d.ln = server.Proxied(d.ln, trusted, proxyWait)
		}
	}
}

func listenError(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--%s %s: the port is in use: stop what listens there, choose another one, or 0 for a free one", flag, addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("--%s %s: not allowed: ports below 1024 want the capability CAP_NET_BIND_SERVICE", flag, addr)
	}
	return fmt.Errorf("--%s %s: %w", flag, addr, err)
}

// close closes all that are open; for a hub that could not be built.
func (ls *listeners) close() {
	for _, ln := range []net.Listener{ls.mqtt, ls.mqtts, ls.http, ls.https, ls.pprof} {
		if ln != nil {
			_ = ln.Close() // nothing was accepted
		}
	}
	for _, d := range ls.faces {
		_ = d.ln.Close()
	}
}

// wrapTLS puts TLS round the doors that have it.
func (ls *listeners) wrapTLS(config func(protocols ...string) *tls.Config) {
	if ls.mqtts != nil {
		ls.mqtts = tls.NewListener(server.Poll(ls.mqtts), config())
	}
	if ls.https != nil {
		ls.https = tls.NewListener(ls.https, config("h2", "http/1.1"))
	}
	for _, d := range ls.faces {
		if d.tls {
			d.ln = tls.NewListener(d.ln, config("h2", "http/1.1"))
		}
	}
}

// address is where ln listens, "off" for a door that is off.
func address(ln net.Listener) string {
	if ln == nil {
		return Off
	}
	return ln.Addr().String()
}
