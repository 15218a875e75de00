package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listeners are the doors' sockets; nil is a door that is off.
type listeners struct{ mqtt, mqtts, http, https, pprof net.Listener }

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
		if *d.ln, err = lc.Listen(ctx, "tcp", d.addr); err != nil {
			return ls, listenError(d.flag, d.addr, err)
		}
	}
	return ls, nil
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
}

// wrapTLS puts TLS round the doors that have it.
func (ls *listeners) wrapTLS(config func(protocols ...string) *tls.Config) {
	if ls.mqtts != nil {
		ls.mqtts = tls.NewListener(ls.mqtts, config())
	}
	if ls.https != nil {
		ls.https = tls.NewListener(ls.https, config("h2", "http/1.1"))
	}
}

// address is where ln listens, "off" for a door that is off.
func address(ln net.Listener) string {
	if ln == nil {
		return Off
	}
	return ln.Addr().String()
}
