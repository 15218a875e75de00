package link

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
)

// dialled runs a link until it is connected and returns the address that it took.
func dialled(t *testing.T, cfg Config) string {
	t.Helper()
	cfg.KeepTrying, cfg.BackoffMin, cfg.BackoffMax = true, 10*time.Millisecond, 50*time.Millisecond
	l, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	return l.Server()
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestFallback: the addresses are tried one after the other.
func TestFallback(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{})
	dead := closed(t)
	cfg := Config{Server: "tls://" + dead, Fallback: []string{"ws://" + dead + "/mqtt", hub.URL()}, Device: id, Secret: hub.Secret(id)}
	if got := dialled(t, cfg); got != hub.URL() {
		t.Errorf("connected to %s", got)
	}
	cfg.Fallback = []string{"http://x"}
	if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an address that is none was taken")
	}
}

// proxy is an HTTP proxy that knows CONNECT alone, and counts.
func proxy(t *testing.T, want string) (addr string, connects *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connects = new(atomic.Int64)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go tunnel(c, want, connects)
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String(), connects
}

func tunnel(c net.Conn, want string, connects *atomic.Int64) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if req.Method != http.MethodConnect || req.Header.Get("Proxy-Authorization") != want {
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	up, err := net.Dial("tcp", req.Host)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer up.Close()
	connects.Add(1)
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(up, r); up.Close() }()
	_, _ = io.Copy(c, up)
}

func TestProxy(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{})
	addr, connects := proxy(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")))
	cfg := Config{Server: hub.URL(), Device: id, Secret: hub.Secret(id), Proxy: &url.URL{Scheme: "http", Host: addr, User: url.UserPassword("me", "secret")}}
	dialled(t, cfg)
	cfg.Server, cfg.TLS.CA = hub.TLSURL(), hub.CA()
	dialled(t, cfg)
	if n := connects.Load(); n != 2 {
		t.Errorf("%d connections went through the proxy, want 2", n)
	}
	cfg.Proxy.User = nil
	l, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if l.WaitConnected(ctx) == nil {
		t.Error("connected without the proxy's password")
	}
	cancel()
	<-ended
}

// TestClock: certificates are judged by the time that the caller says, for a machine that has none.
func TestClock(t *testing.T) {
	hub := devicetest.New(t)
	id := hub.AddDevice(devicetest.Device{})
	cfg := Config{Server: hub.TLSURL(), Device: id, Secret: hub.Secret(id), TLS: TLS{CA: hub.CA(), Now: time.Now}}
	dialled(t, cfg)
	tc, err := TLS{CA: hub.CA(), Now: func() time.Time { return time.Unix(1000, 0) }}.Config()
	if err != nil {
		t.Fatal(err)
	}
	if at := tc.Time(); at.Year() != 1970 {
		t.Errorf("judged by %s", at)
	}
}

// TestFleetReturns: 100,000 agents that lose their hub in one moment come back within the window that it has told them, evenly; and those that found it still
// away try again as evenly.
func TestFleetReturns(t *testing.T) {
	const agents, perSecond = 100_000, 1000
	window := agents / perSecond * time.Second
	for _, tt := range []struct {
		about string
		away  time.Duration // how long the hub is
	}{{"back at once", 0}, {"a minute later", time.Minute}, {"an hour later", time.Hour}} {
		buckets := make(map[int]int)
		for range agents {
			buckets[int(arrival(window, tt.away)/time.Second)]++
		}
		most, last := 0, 0
		for second, n := range buckets {
			most, last = max(most, n), max(last, second)
		}
		if took := time.Duration(last)*time.Second - tt.away; most > 5*perSecond/2 || took > 2*window+2*time.Second {
			t.Errorf("%s: %d logins in one second at most, all within %s", tt.about, most, took)
		}
		t.Logf("%s: at most %d logins a second, the last one after %s", tt.about, most, time.Duration(last)*time.Second-tt.away)
	}
}

// arrival is when one agent logs in, after its connection was lost at 0 and the hub came back at away.
func arrival(window, away time.Duration) time.Duration {
	b := backoff{lo: DefaultConfig().BackoffMin, hi: max(DefaultConfig().BackoffMax, window)}
	at := b.afterLoss(window)
	for at < away {
		at += b.next()
	}
	return at
}
