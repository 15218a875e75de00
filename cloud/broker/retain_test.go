package broker_test

import (
	"fmt"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func wantRetained(t *testing.T, c *brokertest.Client, payload string) {
	t.Helper()
	if got := c.Message(); got.Payload != payload || !got.Retain {
		t.Errorf("got %q on %s, RETAIN %v, want %q retained", got.Payload, got.Topic, got.Retain, payload)
	}
}

// TestRetained: a device's last retained message comes to applications that subscribe later, an application's to the device, over
// the hub's end.
func TestRetained(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newKeys()
		s := stack(t, brokertest.Config{Store: db, Keys: k})
		p, q := s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{})
		a, b := s.Device(t, p, "dev-000a"), s.Device(t, q, "dev-000b")
		k.only("one", p.SN)
		upA, upB, set := topic.Name(a.Identity, "upload"), topic.Name(b.Identity, "upload"), topic.Name(a.Identity, "set")

		standing := s.MustDial(t, by("all", "standing", false))
		standing.Subscribe("#")
		da, other := s.MustDial(t, brokertest.Of(a)), s.MustDial(t, brokertest.Of(b))
		da.Retain(upA, "old")
		da.Retain(upA, "new")
		other.Retain(upB, "other")
		for _, want := range []string{"old", "new", "other"} {
			if got := standing.Message(); got.Payload != want || got.Retain {
				t.Errorf("a standing subscription got %q, RETAIN %v; want %q without", got.Payload, got.Retain, want)
			}
		}
		standing.Retain(set, "21 degrees") // the device does not listen
		s.Stop()

		s = brokertest.New(t, brokertest.Config{Store: s.Store, Keys: k})
		one, all := s.MustDial(t, by("one", "x", false)), s.MustDial(t, by("all", "x", false))
		one.Subscribe("/+/+/upload") // its key has one of the products
		wantRetained(t, one, "new")
		one.Quiet()
		all.Subscribe("#")
		got := map[string]bool{}
		for range 3 {
			got[all.Message().Payload] = true
		}
		if all.Quiet(); !got["new"] || !got["other"] || !got["21 degrees"] {
			t.Errorf("the application got %v", got)
		}
		dev := s.MustDial(t, brokertest.Of(a))
		dev.Subscribe(set)
		wantRetained(t, dev, "21 degrees")
		dev.Retain(upA, "")
		one.Message() // the empty message itself
		one.Subscribe(upA)
		one.Quiet()
		all.Retain(set, "")
		if got := dev.Message(); got.Payload != "" || got.Retain {
			t.Errorf("got %+v, want the empty message", got)
		}
		dev.Subscribe(set)
		dev.Quiet()
	})
}

// TestRetainedBounds: what a product may not keep is refused, counted, and nothing else is harmed.
func TestRetainedBounds(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k, Retained: func(c *retained.Config) { c.MaxCount = 2 }})
	d := s.New(t)
	c, _, _ := dialFive(t, s, d, true, 60, nil)
	keep := func(n int, payload string, want packet.Code) {
		t.Helper()
		c.send(packet.AppendPublish5(nil, topic.Name(d.Identity, fmt.Sprintf("upload/%d", n)), []byte(payload), 1, 7, false, true, nil))
		if _, code, _, err := packet.DecodeAck5(packet.PUBACK, c.want(packet.PUBACK)); err != nil || code != want {
			t.Errorf("message %d: PUBACK %s, %v, want %s", n, code, err, want)
		}
	}
	p, err := s.Registry.SetTopics(t.Context(), d.Identity.Product, []topic.Template{
		{Path: "upload/0", Perm: topic.Pub}, {Path: "upload/1", Perm: topic.Pub}, {Path: "upload/2", Perm: topic.Pub}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		keep(n, "x", packet.Success)
	}
	keep(2, "x", packet.QuotaExceeded)
	keep(1, "y", packet.Success) // instead of an earlier one
	keep(0, "", packet.Success)
	keep(2, "x", packet.Success)

	off := false
	if _, err := s.Registry.UpdateProduct(t.Context(), p.SN, registry.ProductUpdate{Settings: &registry.Settings{Retain: &off}}); err != nil {
		t.Fatal(err)
	}
	app := s.MustDial(t, by("all", "x", false))
	app.Subscribe("/" + p.SN + "/+/upload/#")
	wantRetained(t, app, "y")
	wantRetained(t, app, "x")
	app.Retain(topic.Name(d.Identity, "set"), "no")
	app.Subscribe(topic.Name(d.Identity, "set"))
	app.Quiet()
}

// TestRetainedGoes: with its device.
func TestRetainedGoes(t *testing.T) {
	s := stack(t, brokertest.Config{Keys: newKeys()})
	d := s.New(t)
	s.MustDial(t, brokertest.Of(d)).Retain(topic.Name(d.Identity, "upload"), "x")
	if err := s.Registry.DeleteDevice(t.Context(), d.Identity); err != nil {
		t.Fatal(err)
	}
	app := s.MustDial(t, by("all", "x", false))
	app.Subscribe("#", "/"+d.Identity.Product+"/+/upload")
	app.Quiet()
}
