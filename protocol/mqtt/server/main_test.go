package server_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

// way is a driver and a transport. The tests run on each, and must pass on all.
type way struct {
	driver server.Driver
	tcp    bool
}

var ways = []way{{server.DriverAuto, false}, {server.DriverAuto, true}, {server.DriverGoroutine, false}, {server.DriverGoroutine, true}}

// on is the way of this run.
var on = ways[0]

func TestMain(m *testing.M) {
	flag.Parse()
	once := flag.Lookup("test.bench").Value.String() != "" || flag.Lookup("test.fuzz").Value.String() != ""
	for _, on = range ways {
		if code := m.Run(); code != 0 {
			fmt.Fprintf(os.Stderr, "failed with %+v\n", on)
			os.Exit(code)
		}
		if once {
			break
		}
	}
	if err := leak.Find(limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// once lets a test that brings a driver and a transport of its own run on the first way only.
func once(t testing.TB) {
	t.Helper()
	if on != ways[0] {
		t.Skip("the same on each way")
	}
}

// limit is how long a test waits for what must come, also on a busy machine.
const limit = time.Minute

// owner records what the engine asks and answers as its functions say; nil functions accept everything at once.
type owner struct {
	connect     func(c *server.Connect) (server.Welcome, error)
	attached    func(s *server.Session)
	subscribe   func(s *server.Session, req []server.Subscription) ([]byte, error)
	unsubscribe func(s *server.Session, filters []string) error
	publish     func(s *server.Session, p *server.Publish)
	disconnect  func(s *server.Session, why server.Cause)

	mu        sync.Mutex
	events    []string
	delivered []uint64
	confirmed []uint64
}

func (o *owner) note(format string, args ...any) {
	o.mu.Lock()
	o.events = append(o.events, fmt.Sprintf(format, args...))
	o.mu.Unlock()
}

func (o *owner) noted() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.events...)
}

func (o *owner) tags() []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]uint64(nil), o.delivered...)
}

func (o *owner) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	if o.connect != nil {
		return o.connect(c)
	}
	return server.Welcome{Identity: c.ClientID}, nil
}

func (o *owner) Attached(s *server.Session) {
	if o.attached != nil {
		o.attached(s)
	}
}

func (o *owner) Subscribe(s *server.Session, req []server.Subscription) ([]byte, error) {
	if o.subscribe != nil {
		return o.subscribe(s, req)
	}
	codes := make([]byte, len(req))
	for i, r := range req {
		codes[i] = r.QoS
	}
	return codes, nil
}

func (o *owner) Unsubscribe(s *server.Session, filters []string) error {
	if o.unsubscribe != nil {
		return o.unsubscribe(s, filters)
	}
	return nil
}

func (o *owner) Publish(s *server.Session, p *server.Publish) {
	if o.publish != nil {
		o.publish(s, p)
		return
	}
	p.Done(nil)
}

func (o *owner) Delivered(_ *server.Session, tag uint64) {
	o.mu.Lock()
	o.delivered = append(o.delivered, tag)
	o.mu.Unlock()
}

func (o *owner) Confirmed(_ *server.Session, receipt uint64) {
	o.mu.Lock()
	o.confirmed = append(o.confirmed, receipt)
	o.mu.Unlock()
}

// receipts are what was confirmed, in order.
func (o *owner) receipts() []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]uint64(nil), o.confirmed...)
}

func (o *owner) Disconnect(s *server.Session, why server.Cause) {
	o.note("disconnect %s %s", s.Identity(), why)
	if o.disconnect != nil {
		o.disconnect(s, why)
	}
}

// dialer is a listener with a way to it.
type dialer interface {
	net.Listener
	Dial() (net.Conn, error)
}

type tcpDialer struct{ net.Listener }

func (d tcpDialer) Dial() (net.Conn, error) { return net.Dial("tcp", d.Addr().String()) }

// transport opens a listener of this run's transport.
func transport(t testing.TB) dialer {
	t.Helper()
	if !on.tcp {
		return server.NewMemListener()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return tcpDialer{ln}
}

// start runs a server with a listener until the test ends.
func start(t testing.TB, cfg server.Config, o server.Owner) (*server.Server, dialer) {
	t.Helper()
	return startOn(t, transport(t), cfg, o)
}

// startMem is start for tests that need the small buffers of a connection in memory.
func startMem(t testing.TB, cfg server.Config, o server.Owner) (*server.Server, dialer) {
	t.Helper()
	return startOn(t, server.NewMemListener(), cfg, o)
}

func startOn(t testing.TB, ln dialer, cfg server.Config, o server.Owner) (*server.Server, dialer) {
	t.Helper()
	cfg.Driver = on.driver
	s := server.New(cfg, o, slog.New(slog.DiscardHandler))
	serve(t, s, ln, "mem")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, ln
}

func serve(t testing.TB, s *server.Server, ln net.Listener, transport string) {
	if d, ok := ln.(tcpDialer); ok {
		ln = d.Listener
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln, transport) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// client is a client of raw bytes.
type client struct {
	t   testing.TB
	nc  net.Conn
	buf []byte
	// patience, if not 0, is how long read waits instead of limit.
	patience time.Duration
}

func dial(t testing.TB, ln dialer) *client {
	t.Helper()
	nc, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	t.Cleanup(func() { _ = nc.Close() })
	return &client{t: t, nc: nc}
}

// login dials and connects; it returns the session-present flag.
func login(t testing.TB, ln dialer, id string, clean bool) (*client, bool) {
	t.Helper()
	c := dial(t, ln)
	return c, c.connect(&packet.Connect{ClientID: []byte(id), Clean: clean})
}

func (c *client) connect(p *packet.Connect) (present bool) {
	c.t.Helper()
	if p.Level == 0 {
		p.Level = packet.V311
	}
	c.send(packet.AppendConnect(nil, p))
	present, code := c.connack()
	if code != packet.Accepted {
		c.t.Fatalf("connect refused: %s", code)
	}
	return present
}

func (c *client) connack() (bool, packet.ConnackCode) {
	c.t.Helper()
	_, body := c.want(packet.CONNACK)
	present, code, err := packet.DecodeConnack(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return present, code
}

func (c *client) send(b ...[]byte) {
	c.t.Helper()
	if _, err := c.nc.Write(bytes.Join(b, nil)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read returns the next packet, or an error when the connection ended.
func (c *client) read() (packet.Header, []byte, error) {
	patience := c.patience
	if patience == 0 {
		patience = limit
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		h, n, err := packet.ParseHeader(c.buf)
		if err != nil {
			return h, nil, err
		}
		if n > 0 && len(c.buf) >= n+h.Remaining {
			body := c.buf[n : n+h.Remaining]
			c.buf = c.buf[n+h.Remaining:]
			return h, body, nil
		}
		more := make([]byte, 4096)
		m, err := c.nc.Read(more)
		c.buf = append(c.buf[:len(c.buf):len(c.buf)], more[:m]...)
		if err != nil && m == 0 {
			return h, nil, err
		}
	}
}

func (c *client) want(typ packet.Type) (packet.Header, []byte) {
	c.t.Helper()
	h, body, err := c.read()
	if err != nil {
		c.t.Fatalf("want %s: %v", typ, err)
	}
	if h.Type != typ {
		c.t.Fatalf("got %s % x, want %s", h.Type, body[:min(len(body), 64)], typ)
	}
	return h, body
}

func (c *client) wantID(typ packet.Type, id uint16) {
	c.t.Helper()
	_, body := c.want(typ)
	got, err := packet.DecodeID(body)
	if err != nil || got != id {
		c.t.Fatalf("%s of id %d (%v), want %d", typ, got, err, id)
	}
}

func (c *client) wantPublish() packet.Publish {
	c.t.Helper()
	h, body := c.want(packet.PUBLISH)
	var p packet.Publish
	if err := packet.DecodePublish(h.Flags, body, &p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *client) wantClosed() {
	c.t.Helper()
	h, body, err := c.read()
	if err == nil {
		c.t.Fatalf("got %s % x, want the end of the connection", h.Type, body)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("connection still open: %v", err)
	}
}

func (c *client) subscribe(id uint16, filter string, qos byte) {
	c.t.Helper()
	c.send(packet.AppendSubscribe(nil, id, []packet.Filter{{Filter: filter, QoS: qos}}))
	_, body := c.want(packet.SUBACK)
	got, codes, err := packet.DecodeSuback(body)
	if err != nil || got != id || len(codes) != 1 || codes[0] != qos {
		c.t.Fatalf("suback %d %v %v, want id %d code %d", got, codes, err, id, qos)
	}
}

func (c *client) ping() {
	c.t.Helper()
	c.send(packet.AppendEmpty(nil, packet.PINGREQ))
	c.want(packet.PINGRESP)
}

func (c *client) disconnect() {
	c.t.Helper()
	c.send(packet.AppendEmpty(nil, packet.DISCONNECT))
	c.wantClosed()
}

// pub encodes a PUBLISH.
func pub(topic, payload string, qos byte, id uint16) []byte {
	return packet.AppendPublish(nil, topic, []byte(payload), qos, id, false, false)
}

// eventually waits for ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(time.Millisecond)
	}
}

// session waits until the identity has a connection.
func session(t testing.TB, s *server.Server, identity string) *server.Session {
	t.Helper()
	var found *server.Session
	eventually(t, identity+" online", func() bool {
		got, ok := s.Session(identity)
		found = got
		return ok && got.Online()
	})
	return found
}

var _ io.Closer = (*server.MemListener)(nil)
