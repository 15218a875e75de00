package gateway_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// keys keeps secrets in memory, and refuses to while full is set.
type keys struct {
	m    map[ident.Device]credential.Secret
	full bool
}

func (k *keys) Secret(d ident.Device) credential.Secret { return k.m[d] }
func (k *keys) Keep(secrets map[ident.Device]credential.Secret) error {
	if k.full {
		return errors.New("no space")
	}
	for d, secret := range secrets {
		if k.m[d] = secret; secret == "" {
			delete(k.m, d)
		}
	}
	return nil
}
func (k *keys) Devices() []ident.Device { return slices.Collect(maps.Keys(k.m)) }

// TestRegistered: a sub-device without secret is for the hub to register; before that nobody logs in as it, and afterwards with its secret only, which is
// known after a restart.
func TestRegistered(t *testing.T) {
	up := &upstream{forwarded: make(chan func(error), 100)}
	kept := &keys{m: make(map[ident.Device]credential.Secret)}
	cfg := gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter}, {Device: pump, Secret: secret}},
		Products: map[string]credential.Secret{meter.Product: "productsecret000"}, Keys: kept}
	begin := func() (*gateway.Gateway, func(password string) error) {
		g, err := gateway.New(cfg, up, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		serve(t, g)
		return g, func(password string) error {
			c, err := dialClient(g.Addr().String(), meter, password)
			if err == nil {
				c.Disconnect(0)
			}
			return err
		}
	}
	g, login := begin()
	if list := g.Unregistered(); len(list) != 1 || list[meter] != "productsecret000" {
		t.Fatalf("unregistered: %v", list)
	}
	for _, p := range []string{"", "productsecret000", "0000000000000000"} {
		if login(p) == nil {
			t.Errorf("without a secret it logs in with %q", p)
		}
	}
	kept.full = true
	if err := g.Registered(meter, "newsecret0000000"); err == nil || len(g.Unregistered()) != 1 {
		t.Errorf("a secret that is not kept counts: %v", err)
	}
	kept.full = false
	if err := g.Registered(meter, "newsecret0000000"); err != nil || len(g.Unregistered()) != 0 {
		t.Fatal(err, g.Unregistered())
	}
	if err := login("newsecret0000000"); err != nil {
		t.Error(err)
	}
	g, login = begin()
	if err := login("newsecret0000000"); err != nil || len(g.Unregistered()) != 0 {
		t.Errorf("after a restart: %v", err)
	}
	up.until(t, "the way up knows the secret", func() bool { return slices.Contains(up.events, "admitted "+meter.SN) })
	cfg.Products = nil
	if _, err := gateway.New(cfg, up, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a sub-device without secret and without its product's is taken")
	}
}

// TestAddedOutlivesTheState: whom the hub has put behind the gateway is let in though its other state is lost, and whom it has taken away is not.
func TestAddedOutlivesTheState(t *testing.T) {
	up := &upstream{forwarded: make(chan func(error), 100)}
	added := &keys{m: make(map[ident.Device]credential.Secret)}
	cfg := gateway.Config{Listen: "127.0.0.1:0", Learn: true, Added: added}
	sub := func(d ident.Device) message.Subdev {
		s := message.NewSubdev(d)
		s.DeviceSecret = string(secret)
		return s
	}
	begin := func() *gateway.Gateway {
		g, err := gateway.New(cfg, up, slog.New(slog.DiscardHandler)) // without State
		if err != nil {
			t.Fatal(err)
		}
		serve(t, g)
		return g
	}
	g := begin()
	g.Notice(topic.TopoNotifyAdd, []message.Subdev{sub(meter), sub(pump)})
	g.Notice(topic.SubdevDisable, []message.Subdev{sub(meter)})
	g.Notice(topic.TopoNotifyDelete, []message.Subdev{sub(pump)})
	g = begin()
	for d, want := range map[ident.Device]bool{meter: true, pump: false} {
		c, err := dialClient(g.Addr().String(), d, string(secret))
		if (err == nil) != want {
			t.Errorf("%s: %v", d, err)
		}
		if err == nil {
			c.Disconnect(0)
		}
	}
}

// disk is a Bucket that a crash takes back to what PutNow has returned for.
type disk struct{ now, safe map[string][]byte }

func (d *disk) PutNow(key string, value []byte) error {
	d.Put(key, value)
	d.safe = maps.Clone(d.now)
	return nil
}

func (d *disk) Put(key string, value []byte) {
	if d.now[key] = value; value == nil {
		delete(d.now, key)
	}
}

func (d *disk) Get(key string) []byte { return d.now[key] }
func (d *disk) Keys() []string        { return slices.Sorted(maps.Keys(d.now)) }
func (d *disk) crash()                { d.now = maps.Clone(d.safe) }

// TestTakenAwayOutlivesACrash: whom the hub has taken away stays out when the agent is killed right behind the notice, which is acknowledged then, or
// when his secret could not be removed; and in the end nothing is kept of him.
func TestTakenAwayOutlivesACrash(t *testing.T) {
	for name, full := range map[string]bool{"killed": false, "the secret could not be removed": true} {
		t.Run(name, func(t *testing.T) {
			up := &upstream{forwarded: make(chan func(error), 100)}
			kept, added := &disk{now: make(map[string][]byte)}, &keys{m: make(map[ident.Device]credential.Secret)}
			begin := func() *gateway.Gateway {
				g, err := gateway.New(gateway.Config{Learn: true, State: kept, Added: added}, up, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return g
			}
			sub := message.NewSubdev(meter)
			sub.DeviceSecret = string(secret)
			g := begin()
			g.Notice(topic.TopoNotifyAdd, []message.Subdev{sub})
			if !g.Carries(meter) {
				t.Fatal("it is not let in")
			}
			added.full = full
			g.Notice(topic.TopoNotifyDelete, []message.Subdev{sub})
			kept.crash()
			if g = begin(); g.Carries(meter) {
				t.Error("it is back")
			}
			added.full = false
			begin()
			if len(kept.now)+len(added.m) > 0 {
				t.Errorf("there are left %q and %v", kept.now, added.m)
			}
		})
	}
}

// TestPlacesAreGivenBack: sub-devices that the hub has added and taken away again leave room for others.
func TestPlacesAreGivenBack(t *testing.T) {
	up := &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Learn: true}, up, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, g)
	for i := range gateway.MaxSubdevices + 10 {
		s := message.NewSubdev(ident.Device{Product: meter.Product, SN: fmt.Sprintf("guest-%d", i)})
		s.DeviceSecret = string(secret)
		g.Notice(topic.TopoNotifyAdd, []message.Subdev{s})
		if !g.Carries(s.Device()) {
			t.Fatalf("number %d is not let in", i)
		}
		if g.Notice(topic.TopoNotifyDelete, []message.Subdev{s}); g.Carries(s.Device()) {
			t.Fatalf("number %d is still there", i)
		}
	}
}

// TestApplicationAtQoS2: the way up keeps QoS 0 and 1, and what an application sends at 2 is not refused for that.
func TestApplicationAtQoS2(t *testing.T) {
	up := &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}},
		Applications: []gateway.Application{{Name: "a", Secret: secret, Publish: []string{topic.Name(meter, "upload")}}}}, up, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, g)
	r := newRaw(t, g.Addr().String(), "app|a", string(secret))
	tok := r.c.Publish(topic.Name(meter, "upload"), 2, false, "x")
	(<-up.forwarded)(nil)
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.qos != 1 {
		t.Errorf("it goes up with QoS %d", up.qos)
	}
}

// TestFound: who tries to log in and is not behind the gateway is told once, and so is what a driver finds.
func TestFound(t *testing.T) {
	up := &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Report: true, Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}}}, up, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, g)
	for range 3 {
		for _, d := range []ident.Device{pump, meter} {
			if _, err := dialClient(g.Addr().String(), d, "wrong"); err == nil {
				t.Fatalf("%s is let in", d)
			}
		}
		g.Found(ident.Device{Product: meter.Product, SN: "on-the-bus"})
		g.Found(meter)
		g.Found(ident.Device{Product: "?", SN: "x"})
	}
	up.until(t, "both are told", func() bool { return len(up.events) >= 2 })
	for i := range 1500 {
		g.Found(ident.Device{Product: meter.Product, SN: fmt.Sprintf("flood-%d", i)})
	}
	up.until(t, "a flood is cut", func() bool { return len(up.events) == 1000 })
	up.mu.Lock()
	defer up.mu.Unlock()
	slices.Sort(up.events)
	if n := len(slices.Compact(up.events)); n != 1000 || slices.Contains(up.events, "found "+meter.SN) || !slices.Contains(up.events, "found "+pump.SN) ||
		!slices.Contains(up.events, "found on-the-bus") {
		t.Errorf("told are %d: %.300v", n, up.events)
	}
}
