package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hawser-iot/hawser/cloud/actionapi"
	"github.com/hawser-iot/hawser/cloud/console"
	"github.com/hawser-iot/hawser/cloud/ingress"
)

// faces are what is served over HTTP and HTTPS, told apart by path and Upgrade: devices have only one host and port.
type faces struct {
	api     http.Handler // /v1/…, /openapi.yaml, /docs/api
	action  http.Handler // / with an Action; nil when it is switched off
	device  http.Handler // /auth, /topic/…
	socket  http.Handler // MQTT over WebSocket
	console http.Handler // /console/: pages for people
	pki     http.Handler // /pki/…: certificates and revocation lists of the hub's own authority
	ready   func(context.Context) error
	gather  prometheus.Gatherer
	log     *slog.Logger
}

// mux serves those of the faces that are here. What tells that the hub is well, and its certificates, are everywhere.
func (f *faces) mux(here func(face string) bool) http.Handler {
	mux := http.NewServeMux()
	api := when(here(faceAPI), f.api)
	mux.Handle("/v1/", api)
	mux.Handle("/openapi.yaml", api)
	mux.Handle("/docs/api", api)
	web := when(here(faceAPI), f.console) // its pages call the API on their own origin
	mux.Handle(console.Base, web)
	socket := when(here(faceMQTT), f.socket)
	mux.Handle("/mqtt", socket)
	mux.Handle("/pki/", f.pki)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("/readyz", f.readyz)
	mux.Handle("/metrics", when(here(faceOps), promhttp.HandlerFor(f.gather, promhttp.HandlerOpts{})))
	action := f.action
	if action != nil {
		action = when(here(faceAction), action)
	}
	pages := here(faceAPI)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.root(w, r, socket, action, pages) })
	device := when(here(faceDevice), f.device)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Past the mux, which would answer a doubled slash with a redirect that stock devices do not follow.
		if ingress.Takes(r) {
			device.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// root is MQTT for a WebSocket upgrade on /, the Action API when there is an Action, the console for a browser, else a pointer to what there is.
func (f *faces) root(w http.ResponseWriter, r *http.Request, socket, action http.Handler, pages bool) {
	switch {
	case r.URL.Path != "/":
		answer(w, http.StatusNotFound, "not found; the API is below /v1, its document /openapi.yaml")
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		socket.ServeHTTP(w, r)
	case action != nil && actionapi.Takes(r):
		action.ServeHTTP(w, r)
	case pages && strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Redirect(w, r, console.Base, http.StatusFound)
	default:
		answer(w, http.StatusOK, "Hawser hub. The console is on /console/. The API is below /v1, its document /openapi.yaml, to be read on /docs/api; MQTT over WebSocket is on /mqtt.")
	}
}

// readyTimeout bounds the question whether the store answers.
const readyTimeout = 2 * time.Second

func (f *faces) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := f.ready(ctx); err != nil {
		answer(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	answer(w, http.StatusOK, "ready")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may have gone
}

// profiles are Go's own, by its usual paths.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// webServer serves the faces on one listener.
type webServer struct {
	*http.Server
	end func() // ends the context of all requests
}

func newWebServer(h http.Handler, log *slog.Logger) *webServer {
	ctx, end := context.WithCancel(context.Background())
	return &webServer{end: end, Server: &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		// A stock device reads a body over minutes on a bad line, so there is no ReadTimeout; it keeps its connection for
		// at least 15 s.
		IdleTimeout: 2 * time.Minute,
		// Stock devices repeat their body, up to 128 KB, in a header.
		MaxHeaderBytes: 256 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// serve blocks until stop.
func (s *webServer) serve(ln net.Listener) error {
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// requestGrace is how long a request in hand may still take when the hub stops; one that waits for a device, which has
// gone by then, could take a minute.
const requestGrace = 5 * time.Second

// stop refuses new requests and waits for those in hand: for requestGrace undisturbed, then with their context ended,
// and when ctx ends they are cut off.
func (s *webServer) stop(ctx context.Context) {
	defer time.AfterFunc(requestGrace, s.end).Stop()
	defer s.end()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close() // they had their time
	}
}
