package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// The faces that are served over HTTP, as --face-addrs names them.
const (
	faceAPI    = "api"    // the API, its document and its page
	faceAction = "action" // the Action API
	faceDevice = "device" // /auth, /topic/…, short URLs
	faceMQTT   = "mqtt"   // MQTT over WebSocket
	faceOps    = "ops"    // /metrics
)

var faceNames = []string{faceAPI, faceAction, faceDevice, faceMQTT, faceOps}

// faceAddr is a face with an address of its own: it is served there and no more on the common ones.
type faceAddr struct {
	face, addr string
	tls        bool
}

// faceAddrs reads --face-addrs: face=http://host:port or face=https://host:port.
func (c *Config) faceAddrs() (list []faceAddr, err error) {
	for _, text := range c.FaceAddrs {
		face, rest, ok := strings.Cut(text, "=")
		scheme, addr, ok2 := strings.Cut(rest, "://")
		if !ok || !ok2 || !slices.Contains(faceNames, face) || scheme != "http" && scheme != "https" {
			return nil, fmt.Errorf("--face-addrs %q: must be like device=https://:443, of %s", text, strings.Join(faceNames, ", "))
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("--face-addrs %q: must end in host:port: %w", text, err)
		}
		list = append(list, faceAddr{face, addr, scheme == "https"})
	}
	return list, nil
}

// faceDoor is the socket of a face with an address of its own.
type faceDoor struct {
	faceAddr
	ln  net.Listener
	web *webServer
}

// listenFaces opens the sockets of the faces that have their own.
func (ls *listeners) listenFaces(ctx context.Context, c *Config) error {
	addrs, err := c.faceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", a.addr)
		if err != nil {
			return listenError("face-addrs", a.addr, err)
		}
		ls.faces = append(ls.faces, &faceDoor{faceAddr: a, ln: ln})
	}
	return nil
}

// common tells whether a face is served on the common addresses.
func (ls *listeners) common(face string) bool {
	return !slices.ContainsFunc(ls.faces, func(d *faceDoor) bool { return d.face == face })
}

// serveFaces makes the servers of all faces.
func (h *Hub) serveFaces(f *faces) {
	h.web = newWebServer(f.mux(h.doors.common), h.log.With("part", "http"))
	for _, d := range h.doors.faces {
		d.web = newWebServer(f.mux(func(face string) bool { return face == d.face }), h.log.With("part", "http"))
	}
}

// openFaces starts to accept on the faces' own addresses.
func (h *Hub) openFaces(g *errgroup.Group) {
	for _, d := range h.doors.faces {
		h.log.Info("face on its own address", "face", d.face, "addr", d.ln.Addr().String(), "tls", d.tls)
		g.Go(func() error {
			if err := d.web.serve(d.ln); err != nil && !h.stopping.Load() {
				return fmt.Errorf("face %s on %s: %w", d.face, d.ln.Addr(), err)
			}
			return nil
		})
	}
}

// stopFaces ends the servers of all faces, those in hand are finished.
func (h *Hub) stopFaces(ctx context.Context) {
	for _, d := range h.doors.faces {
		d.web.stop(ctx)
	}
	h.web.stop(ctx)
}

// when serves h if the face is served here, and otherwise says that there is nothing.
func when(here bool, h http.Handler) http.Handler {
	if here {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, "not found on this address")
	})
}
