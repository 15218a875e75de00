// Package transfer watches uploads from between the device and the places that it sends to: a proxy that counts the bytes of bodies and disturbs
// them, and a sender in a process of its own that can be killed at any byte.
package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// Proxy stands before an HTTP server, under an address of its own, and counts what devices send through it. Requests keep their Host, which
// pre-signed URLs are bound to.
type Proxy struct {
	Addr string // host:port

	// Disturb, if set, sees each request with a body before it goes on; true means that it was answered, or cut.
	Disturb func(w http.ResponseWriter, r *http.Request) bool

	target           atomic.Pointer[string]
	received, wasted atomic.Int64
	inHand           atomic.Int64 // requests
	// mu guards the fields below.
	mu     sync.Mutex
	at     int64 // call is called when received reaches it
	call   func()
	gate   chan struct{} // while call runs nothing is read; nil otherwise
	server *http.Server
}

// StartProxy starts a proxy to target, host:port, until e ends. With a pki both sides are TLS, and it shows the pki's certificate; upstream says
// how to trust the target.
func StartProxy(e harness.Env, target string, pki *harness.PKI, upstream *tls.Config) *Proxy {
	e.Helper()
	return StartProxyAt(e, harness.FreeAddr(e), target, pki, upstream)
}

// StartProxyAt is StartProxy at an address.
func StartProxyAt(e harness.Env, addr, target string, pki *harness.PKI, upstream *tls.Config) *Proxy {
	e.Helper()
	p := &Proxy{Addr: addr}
	p.To(target)
	scheme := "http"
	if pki != nil {
		scheme = "https"
	}
	transport := &http.Transport{TLSClientConfig: upstream, MaxIdleConnsPerHost: 16, DisableCompression: true}
	forward := &httputil.ReverseProxy{Transport: transport, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: scheme, Host: *p.target.Load()})
		r.Out.Host = r.In.Host
	}}
	p.server = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, forward)
	})}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		e.Fatalf("proxy: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		if pki == nil {
			done <- p.server.Serve(ln)
			return
		}
		p.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pki.Server}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
		done <- p.server.ServeTLS(ln, "", "")
	}()
	e.Cleanup(func() {
		_ = p.server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			e.Logf("proxy: %v", err)
		}
		transport.CloseIdleConnections()
	})
	return p
}

// To has requests go to another server from now on.
func (p *Proxy) To(target string) { p.target.Store(&target) }

// Close ends the proxy: nobody answers at its address any more.
func (p *Proxy) Close() { _ = p.server.Close() }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	if r.Method != http.MethodPut && r.Method != http.MethodPatch {
		forward.ServeHTTP(w, r)
		return
	}
	p.inHand.Add(1)
	defer p.inHand.Add(-1)
	body := &counted{ReadCloser: r.Body, p: p}
	r.Body = body
	answer := &status{ResponseWriter: w}
	defer func() {
		gone := recover() // the reverse proxy's way to break off
		if answer.code/100 != 2 || gone != nil {
			p.wasted.Add(body.n.Load())
		}
		if gone != nil {
			panic(gone)
		}
	}()
	if p.Disturb != nil && p.Disturb(answer, r) {
		return
	}
	forward.ServeHTTP(answer, r)
}

// Received is how many bytes of bodies came in, Wasted how many of them in requests that ended without a 2xx.
func (p *Proxy) Received() int64 { return p.received.Load() }

// Wasted is what of Received was not taken.
func (p *Proxy) Wasted() int64 { return p.wasted.Load() }

// After has f called once, when n more bytes have come in. Nothing more is read until f returns.
func (p *Proxy) After(n int64, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.call = p.received.Load()+n, f
}

// Settle waits until no request is in hand, so that all that was cut off is counted.
func (p *Proxy) Settle(e harness.Env) {
	e.Helper()
	harness.Eventually(e, time.Minute, "no request is in hand", func() bool { return p.inHand.Load() == 0 })
}

func (p *Proxy) count(n int) {
	now := p.received.Add(int64(n))
	p.mu.Lock()
	call, gate := p.call, p.gate
	if call == nil || now < p.at {
		p.mu.Unlock()
		if gate != nil {
			<-gate
		}
		return
	}
	p.call, p.gate = nil, make(chan struct{})
	p.mu.Unlock()
	call()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.gate)
	p.gate = nil
}

type counted struct {
	io.ReadCloser
	p *Proxy
	n atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b[:min(len(b), 4<<10)])
	if n > 0 {
		c.n.Add(int64(n))
		c.p.count(n)
	}
	return n, err
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets handlers reach the connection.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Cut breaks a request off without an answer, after n bytes of its body.
func Cut(r *http.Request, n int64) {
	_, _ = io.CopyN(io.Discard, r.Body, n)
	panic(http.ErrAbortHandler)
}

// Run kills a sender again and again: for each of the offsets it lets one send until so many bytes have come through the proxies, and kills it; the
// last is left to end. It returns the bytes that each life had sent without use.
func Run(ctx context.Context, e harness.Env, s Sender, offsets []int64, proxies ...*Proxy) (wasted []int64, id string, err error) {
	e.Helper()
	sum := func() (n int64) {
		for _, p := range proxies {
			n += p.Wasted()
		}
		return n
	}
	for i := 0; ; i++ {
		life, kill := context.WithCancel(ctx)
		dead := make(chan struct{})
		if i < len(offsets) {
			for _, p := range proxies {
				p.After(offsets[i], func() { kill(); <-dead })
			}
		}
		before := sum()
		id, err = s.run(life)
		close(dead)
		killed := life.Err() != nil && ctx.Err() == nil
		kill()
		if ctx.Err() != nil {
			return wasted, "", ctx.Err()
		}
		// What the proxy had read of the request that was killed is counted when it has noticed.
		for _, p := range proxies {
			p.After(0, nil)
			p.Settle(e)
		}
		wasted = append(wasted, sum()-before)
		if !killed {
			if err != nil {
				err = fmt.Errorf("life %d: %w", i, err)
			}
			return wasted, id, err
		}
	}
}
