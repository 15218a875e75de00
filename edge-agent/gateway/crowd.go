package gateway

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// How many connections there may be at the doors, so that who is on the local network cannot take the files and the memory that the agent needs: of MQTT these
// beside two for each sub-device and some for each application, of HTTP these.
const (
	spareConns = 256
	appConns   = 8
	webConns   = 128
)

// crowd is a listener that closes at once who comes while it is full.
type crowd struct {
	net.Listener
	full   func() bool
	turned *atomic.Int64 // away
}

// Accept is net.Listener's.
func (l *crowd) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.full() {
			return c, err
		}
		l.turned.Add(1)
		_ = c.Close()
	}
}

// bounded is a listener for MQTT. TLS goes over it, so that nobody is shaken hands with in vain.
func (g *Gateway) bounded(ln net.Listener) net.Listener {
	return &crowd{server.Poll(ln), g.crowded, &g.turned}
}

func (g *Gateway) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.engine.Connections() >= g.spare+2*len(g.members)+appConns*len(g.apps)
	if now := time.Now(); full && now.Sub(g.toldFull) > time.Minute {
		g.toldFull = now
		g.log.Warn("there are too many connections at the door for sub-devices; more are closed at once", "turned_away", g.turned.Load()+1)
	}
	return full
}

// Turned is how many connections were closed at once because there were too many.
func (g *Gateway) Turned() int64 { return g.turned.Load() }

// count keeps how many connections of HTTP there are.
func (in *intake) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		in.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		in.conns.Add(-1)
	}
}
