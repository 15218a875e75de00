package mqttconform

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/mqttconform/owner"
)

// TestEachDirectionHasItsIDs: a client may use the ids of what the server has in flight, for PUBLISH, SUBSCRIBE and UNSUBSCRIBE:
// nothing of it is taken for acknowledged.
func TestEachDirectionHasItsIDs(t *testing.T) {
	target := engine(t, server.Config{})
	for _, level := range []byte{v311, v5} {
		r := &run{target: target, level: level, patience: time.Minute}
		if wrong, _ := r.try(eachDirection); wrong != "" {
			t.Errorf("level %d: %s", level, wrong)
		}
	}
}

func eachDirection(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("a"), 2)
	p := r.client("p")
	for qos := byte(1); qos <= 2; qos++ {
		p.publish(pub{topic: r.topic("a"), payload: "x", qos: qos})
	}
	flight := []pub{c.got(), c.got()}
	for _, m := range flight {
		for qos := byte(1); qos <= 2; qos++ {
			c.publish(pub{topic: r.topic("b"), qos: qos, id: m.id})
		}
		c.lastID = m.id - 1
		c.granted(r.topic("b"), 0)
		c.lastID = m.id - 1
		c.unsubscribe(r.topic("b"))
	}
	c.cut()
	c = r.join(k)
	for _, m := range flight {
		if again := c.receive(); again.id != m.id || !again.dup {
			r.failf("got id %d DUP %v, want id %d with DUP", again.id, again.dup, m.id)
		}
	}
	c.quiet("all is acknowledged")
}

// TestSlowLorisAtEachDoor: whoever does not get through CONNECT in time is sent away, whatever carries the bytes, and others are
// served meanwhile.
func TestSlowLorisAtEachDoor(t *testing.T) {
	const timeout = 5 * time.Second // others get through CONNECT in it, on a busy machine too
	target := engine(t, server.Config{ConnectTimeout: timeout})
	secured := securedEngine(t, server.Config{ConnectTimeout: timeout})
	for name, dial := range map[string]func() (net.Conn, error){
		"tcp":                     func() (net.Conn, error) { return net.Dial("tcp", target.Addr) },
		"ws":                      func() (net.Conn, error) { return dialWebSocket(target.WebSocket) },
		"tls":                     func() (net.Conn, error) { return tls.Dial("tcp", secured, &tls.Config{InsecureSkipVerify: true}) },
		"tls without a handshake": func() (net.Conn, error) { return net.Dial("tcp", secured) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := dial()
			must(t, err)
			defer nc.Close()
			drip(t, nc, name == "tls without a handshake", timeout)
		})
	}
	r := &run{target: target, level: v311, patience: time.Minute}
	if wrong, _ := r.try(pinged); wrong != "" {
		t.Error(wrong)
	}
}

// drip sends a byte now and then until the server closes, which must be soon after timeout.
func drip(t *testing.T, nc net.Conn, plain bool, timeout time.Duration) {
	t.Helper()
	hello := con{id: string(make([]byte, 60_000)), clean: true}.bytes(v311)
	if plain {
		hello = append([]byte{0x16, 3, 1, 0x3f, 0xff}, hello...) // a record that never comes to its end
	}
	begin := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan struct{})
	defer close(ended)
	wg.Go(func() {
		for _, b := range hello {
			if _, err := nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	must(t, nc.SetReadDeadline(time.Now().Add(time.Minute)))
	if b, err := bufio.NewReader(nc).ReadByte(); err == nil {
		t.Errorf("the server sent %x", b)
	}
	if took := time.Since(begin); took > timeout+harness.Promised(5*time.Second) {
		t.Errorf("closed after %v", took)
	}
}

// securedEngine serves an engine over TLS until the test ends.
func securedEngine(t *testing.T, cfg server.Config) (addr string) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	b := owner.New(cfg, user, password, slog.New(slog.DiscardHandler))
	ln := listen(t)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- b.Server.Serve(ctx, tls.NewListener(ln, web.TLS), "tls") }()
	t.Cleanup(func() {
		cancel()
		must(t, b.Server.Close(context.Background()))
		must(t, <-done)
	})
	return ln.Addr().String()
}
