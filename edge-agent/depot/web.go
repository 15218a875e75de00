package depot

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Bounds of the downloads.
const (
	maxDownloads = 16 // at a time; one more is told to come again
	webStall     = 30 * time.Second
	webIdle      = time.Minute
	webHeaders   = 8 << 10
)

// web serves images to sub-devices: GET and HEAD of /NAME?t=TOKEN, with ranges. A token lives as long as its handover.
type web struct {
	ln    net.Listener
	base  string
	log   *slog.Logger
	slots chan struct{}
	srv   *http.Server

	mu    sync.Mutex // guards files
	files map[string]file
}

type file struct{ path, etag string }

func newWeb(cfg Config, log *slog.Logger) (*web, error) {
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for downloads of sub-devices on %s: %w", cfg.Listen, err)
	}
	scheme := "http://"
	if cfg.TLS != nil {
		c := cfg.TLS.Clone()
		c.NextProtos = []string{"http/1.1"}
		ln, scheme = tls.NewListener(ln, c), "https://"
	}
	s := &web{ln: ln, base: strings.TrimSuffix(cfg.URL, "/"), log: log, slots: make(chan struct{}, maxDownloads), files: make(map[string]file)}
	if s.base == "" {
		s.base = scheme + ln.Addr().String()
	}
	s.srv = &http.Server{
		Handler: s, ReadHeaderTimeout: webStall, ReadTimeout: webStall, IdleTimeout: webIdle, MaxHeaderBytes: webHeaders,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// run serves until ctx ends. Downloads that go on are cut: sub-devices go on by ranges.
func (s *web) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.srv.Serve(s.ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("downloads of sub-devices: %w", err)
	case <-ctx.Done():
	}
	err := s.srv.Close()
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// publish makes a file one that whoever has the URL may download.
func (s *web) publish(path string, lot lot) (token, url string) {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it does not fail
	token = hex.EncodeToString(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[token] = file{path, `"` + hex.EncodeToString(lot.SHA256) + `"`}
	return token, s.base + "/" + lot.Module + "-" + lot.Version + ".bin?t=" + token
}

func (s *web) withdraw(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, token)
}

// ServeHTTP serves a file. Refusals have no body: a stock device would flash it.
func (s *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int) {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
	}
	s.mu.Lock()
	have, ok := s.files[r.URL.Query().Get("t")]
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(http.StatusMethodNotAllowed)
		return
	case !ok:
		refuse(http.StatusNotFound)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		refuse(http.StatusServiceUnavailable)
		return
	}
	f, err := os.Open(have.path)
	if err != nil {
		s.log.Error("an image can't be served", "err", err)
		refuse(http.StatusNotFound)
		return
	}
	defer f.Close() // it was only read
	h := w.Header()
	h.Set("ETag", have.etag)
	h.Set("Content-Type", "application/octet-stream")
	http.ServeContent(&patient{ResponseWriter: w, control: http.NewResponseController(w)}, r, "", time.Time{}, f)
}

// patient ends an answer that nobody takes, however long a whole one lasts.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	refused bool
}

// WriteHeader implements http.ResponseWriter. A refusal has no body here either.
func (p *patient) WriteHeader(status int) {
	if p.refused = status >= http.StatusBadRequest; p.refused {
		p.Header().Set("Content-Length", "0")
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	if err := p.control.SetWriteDeadline(time.Now().Add(webStall)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
