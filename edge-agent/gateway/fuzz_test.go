package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var (
	fuzzMeter = ident.Device{Product: "abcdefghij012345", SN: "meter-1"}
	fuzzPump  = ident.Device{Product: "abcdefghij012345", SN: "pump-1"} // that nobody of the hostile ones speaks for
	fuzzOwn   = ident.Device{Product: "gggggggggggggggg", SN: "gateway-1"}
)

// strict is a way up that takes nothing which a hostile program must not bring.
type strict struct {
	mu    sync.Mutex
	wrong []string
	any   bool // it speaks for all
}

func (u *strict) check(ok bool, format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !ok {
		u.wrong = append(u.wrong, fmt.Sprintf(format, args...))
	}
}

func (u *strict) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	t, err := topic.Parse(name)
	u.check(err == nil && len(name) <= topic.MaxBytes && t.Device == d && t.Kind.Direction()&topic.Pub != 0 && !t.Kind.GatewayOnly() && qos <= 1 && len(payload) <= 256<<10,
		"%s goes up for %s with QoS %d and %d bytes: %v", name, d, qos, len(payload), err)
	u.mu.Lock()
	all := u.any
	u.mu.Unlock()
	u.check(d == fuzzMeter || all && d == fuzzPump && t.Kind == topic.Custom, "%s goes up for %s", name, d)
	done(nil)
}

func (u *strict) Local(name string, _ []byte, _ byte, done func(error)) {
	u.check(strings.HasPrefix(name, LocalPrefix) && topic.ValidName(name) == nil, "%q is local", name)
	done(nil)
}
func (u *strict) Attached(d ident.Device) { u.check(d == fuzzMeter, "%s is there", d) }
func (u *strict) Detached(d ident.Device) { u.check(d == fuzzMeter, "%s is gone", d) }
func (u *strict) Wanted(d ident.Device, subs []server.Subscription) {
	for _, s := range subs {
		u.check(d == fuzzMeter && topic.ValidFilter(s.Filter) == nil && (strings.Contains(s.Filter, "/meter-1/") || strings.Contains(s.Filter, "$broadcast")), "%s wants %q", d, s.Filter)
	}
}
func (u *strict) Found(d ident.Device)                     { u.check(d.Check() == nil, "%s was found", d) }
func (u *strict) Admitted(ident.Device, credential.Secret) {}

// fuzzDoors is a gateway whose doors are in memory.
func fuzzDoors(f *testing.F) (up *strict, mqtt, web *server.MemListener) {
	up = &strict{}
	g, err := New(Config{Own: fuzzOwn, Report: true, HTTP: HTTP{Listen: "127.0.0.1:0", Token: "token"},
		Subdevices:   []Subdevice{{Device: fuzzMeter, Secret: "0123456789abcdef"}, {Device: fuzzPump, Secret: "fedcba9876543210"}},
		Applications: []Application{{Name: "panel", Secret: "panel", Publish: []string{"/abcdefghij012345/+/upload"}, Subscribe: []string{"/abcdefghij012345/+/upload"}}},
		Engine:       server.Config{StoreTimeout: time.Second}}, up, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	_ = g.web.ln.Close()
	mqtt, web = server.NewMemListener(), server.NewMemListener()
	g.plain, g.web.ln = mqtt, web
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	return up, mqtt, web
}

// FuzzDoors: programs on the local network say anything, before a login and behind one, as a sub-device, as an application, and with the token of
// posts. Their connections end; what goes up is what they may send, and the gateway still takes a post.
func FuzzDoors(f *testing.F) {
	for _, g := range packettest.Golden() {
		for who := range byte(6) {
			f.Add(g.Bytes, who)
		}
	}
	for _, s := range []string{
		string(packet.AppendSubscribe(packet.AppendPublish(nil, topic.Name(fuzzMeter, "upload"), []byte("x"), 1, 7, false, false), 8,
			[]packet.Filter{{Filter: "/abcdefghij012345/+/#", QoS: 1}, {Filter: topic.Name(fuzzMeter, "#"), QoS: 2}})),
		string(packet.AppendPublish(packet.AppendPublish(nil, topic.Name(fuzzPump, "upload"), []byte("x"), 1, 7, false, false), "local/x", nil, 2, 8, false, true)),
		"/topic" + topic.Name(fuzzMeter, "upload") + "?parse=true HTTP/1.1\r\nHost: x\r\nPassword: token\r\nContent-Length: 1\r\n\r\nx",
		"/topic" + topic.System(fuzzOwn, topic.TopoAdd) + " HTTP/1.1\r\nHost: x\r\nPassword: token\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"/topic//abcdefghij012345/pump-1/%2e%2e/meter-1/x HTTP/1.1\r\nHost: x\r\nPassword: token\r\nContent-Length: 99999999999\r\n\r\nx",
	} {
		for who := range byte(6) {
			f.Add([]byte(s), who)
		}
	}
	up, mqtt, web := fuzzDoors(f)
	connect := func(c packet.Connect) []byte { return packet.AppendConnect(nil, &c) }
	logins := [][]byte{nil,
		connect(packet.Connect{Level: packet.V311, ClientID: []byte(fuzzMeter.ClientID()), UserName: []byte("abcdefghij012345|meter-1|1"), HasUserName: true, Password: []byte("0123456789abcdef"), HasPassword: true, Clean: true}),
		connect(packet.Connect{Level: packet.V5, ClientID: []byte(fuzzMeter.ClientID()), UserName: []byte("abcdefghij012345|meter-1|1"), HasUserName: true, Password: []byte("0123456789abcdef"), HasPassword: true}),
		connect(packet.Connect{Level: packet.V311, ClientID: []byte("x"), UserName: []byte("app|panel"), HasUserName: true, Password: []byte("panel"), HasPassword: true, Clean: true}),
	}
	f.Fuzz(func(t *testing.T, b []byte, who byte) {
		up.mu.Lock()
		up.any = int(who) >= len(logins)-1
		up.mu.Unlock()
		switch {
		case int(who) < len(logins):
			say(t, mqtt, append(bytes.Clone(logins[who]), b...))
		case who == 4:
			say(t, web, append([]byte("POST "), b...))
		default:
			say(t, web, append([]byte("POST /topic/abcdefghij012345/meter-1/"), b...))
		}
		post := "POST /topic" + topic.Name(fuzzMeter, "upload") + " HTTP/1.1\r\nHost: x\r\nPassword: token\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
		if got := say(t, web, []byte(post)); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("a post is answered %q", got)
		}
		up.mu.Lock()
		defer up.mu.Unlock()
		for _, w := range up.wrong {
			t.Error(w)
		}
		up.wrong = nil
	})
}

// say writes to a new connection, and returns what came until its end.
func say(t *testing.T, ln *server.MemListener, b []byte) string {
	t.Helper()
	c, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wrote sync.WaitGroup
	wrote.Go(func() {
		_, _ = c.Write(b) // it may be closed before the end
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	})
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection hangs")
	}
	_ = c.Close()
	wrote.Wait()
	return string(got)
}
