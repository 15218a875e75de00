package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// HTTP is the intake for sub-devices that post: POST /topic/TOPIC, as at the hub, with a token of the gateway's own in the header Password
// or as Authorization: Bearer.
type HTTP struct {
	// Listen is the address, "" is none. With Config.TLS it is HTTPS.
	Listen string
	// Token may post for every sub-device of the gateway.
	Token credential.Secret
	// Handler serves everything but /topic/, with the same token; nil is nothing.
	Handler http.Handler
}

// Bounds of the intake.
const (
	maxBody      = 128 << 10
	maxPosts     = 32 // in hand at once; one more is told to come again
	postDurable  = 10 * time.Second
	webReadIn    = 15 * time.Second
	webIdle      = time.Minute
	webHeaderMax = 8 << 10
)

// intake serves HTTP.
type intake struct {
	g     *Gateway
	ln    net.Listener
	slots chan struct{}
	srv   *http.Server
	conns atomic.Int64
	most  int64 // of conns
}

func newIntake(g *Gateway) (*intake, error) {
	if g.cfg.HTTP.Token == "" {
		return nil, errors.New("the intake over HTTP has no token")
	}
	ln, err := net.Listen("tcp", g.cfg.HTTP.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for posts on %s: %w", g.cfg.HTTP.Listen, err)
	}
	in := &intake{g: g, slots: make(chan struct{}, maxPosts), most: webConns}
	ln = &crowd{ln, func() bool { return in.conns.Load() >= in.most }, &g.turned}
	if g.cfg.TLS != nil {
		c := g.cfg.TLS.Clone()
		c.NextProtos = []string{"http/1.1"}
		ln = tls.NewListener(ln, c)
	}
	in.ln = ln
	in.srv = &http.Server{
		Handler: in, ReadTimeout: webReadIn, WriteTimeout: webReadIn + postDurable, IdleTimeout: webIdle, MaxHeaderBytes: webHeaderMax,
		ConnState: in.count,
		ErrorLog:  slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	return in, nil
}

// run serves until ctx ends, and lets posts in hand be answered.
func (in *intake) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- in.srv.Serve(in.ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the intake over HTTP ended: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := in.srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, in.srv.Close())
	}
	if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// ServeHTTP judges the token, before the body is read.
func (in *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("Password")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	name, post := strings.CutPrefix(r.URL.Path, "/topic/")
	switch {
	case !in.g.cfg.HTTP.Token.Equal(token):
		answer(w, http.StatusUnauthorized, message.CodeBadToken, "")
	case post && r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, message.CodeBad, "")
	case post:
		in.post(w, r, "/"+strings.TrimPrefix(name, "/"))
	case in.g.cfg.HTTP.Handler != nil:
		in.g.cfg.HTTP.Handler.ServeHTTP(w, r)
	default:
		answer(w, http.StatusNotFound, message.CodeBad, "")
	}
}

func (in *intake) post(w http.ResponseWriter, r *http.Request, name string) {
	select {
	case in.slots <- struct{}{}:
		defer func() { <-in.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, message.CodeInternal, "")
		return
	}
	if r.URL.RawQuery == "parse=true" {
		name += "?parse=true"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		answer(w, http.StatusBadRequest, message.CodeBad, "")
		return
	case len(body) > maxBody:
		answer(w, http.StatusOK, message.CodeTooLong, "")
		return
	}
	durable := make(chan error, 1)
	in.g.Submit(name, body, 1, func(err error) { durable <- err })
	late := time.NewTimer(postDurable)
	defer late.Stop()
	select {
	case err = <-durable:
	case <-late.C:
		err = server.ErrUnavailable
	}
	switch {
	case err == nil:
		answer(w, http.StatusOK, message.CodeOK, "")
	case errors.Is(err, server.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, message.CodeInternal, "")
	default:
		answer(w, http.StatusOK, message.CodeNoPermission, message.Plain(err.Error()))
	}
}

// answer writes {"RetCode":n,"Message":"…"}, as the hub does.
func answer(w http.ResponseWriter, status int, code message.Code, text string) {
	if text == "" {
		text = code.Text()
	}
	b := strconv.AppendInt([]byte(`{"RetCode":`), int64(code), 10)
	b = append(append(append(b, `,"Message":"`...), text...), `"}`...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // whoever asked may have gone
}
