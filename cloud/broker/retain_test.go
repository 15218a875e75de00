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
		standing.Subscribe("/+/+/+")
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

// fillKept retains n messages for a device on topics below name.
func fillKept(t *testing.T, s *brokertest.Stack, d *registry.Device, name string, n int, qos byte) {
	t.Helper()
	err := s.Store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range n {
			_, err := tx.Exec(t.Context(), `INSERT INTO retained (product, topic, device, message_id, payload, qos, properties, size) VALUES (?, ?, ?, 1, ?, ?, ?, 1)`,
				d.Identity.Product, topic.Name(d.Identity, fmt.Sprintf("%s/%05d", name, i)), d.ID, fmt.Appendf(nil, "%s %d", name, i), int64(qos), []byte{})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRetainedMany: thousands of retained messages for one SUBSCRIBE come all, each once and in order, at each quality of service.
func TestRetainedMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const total = 2_000
		s := stack(t, brokertest.Config{Store: db})
		p := s.Product(t, registry.NewProduct{})
		if _, err := s.Registry.SetTopics(t.Context(), p.SN, []topic.Template{{Path: "kept/#", Perm: topic.Sub}}); err != nil {
			t.Fatal(err)
		}
		for qos := range byte(3) {
			d := s.Device(t, p, fmt.Sprintf("dev-000%d", qos))
			fillKept(t, s, d, "kept", total, qos)
			l := brokertest.Of(d)
			l.Persistent = true
			c := s.MustDial(t, l)
			c.SubscribeAt(qos, topic.Name(d.Identity, "kept/#"))
			for i := range total {
				got := c.Message()
				if got.Payload != fmt.Sprintf("kept %d", i) || got.QoS != qos || !got.Retain {
					t.Fatalf("QoS %d: message %d is %q at QoS %d, RETAIN %v", qos, i, got.Payload, got.QoS, got.Retain)
				}
			}
			brokertest.Eventually(t, "nothing is queued", func() bool {
				var n int
				return db.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue`).Scan(&n) == nil && n == 0
			})
			c.Quiet()
		}
		if n := s.Broker.Stats().Dropped; len(n) != 0 {
			t.Errorf("dropped: %v", n)
		}
	})
}

// TestRetainAsPublished: a message that waited in the store's queue tells that it was published with RETAIN to who wants to know.
func TestRetainAsPublished(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := stack(t, brokertest.Config{Store: db, Keys: newKeys()})
		d := s.New(t)
		set := topic.Name(d.Identity, "set")
		app := s.MustDial(t, by("all", "x", false))
		for _, o := range []packet.Options{1, 1 | packet.RetainAsPublished} {
			c, _, _ := dialFive(t, s, d, true, 60, packet.AppendInt(nil, packet.SessionExpiry, 1000))
			c.send(packet.AppendSubscribe5(nil, 1, nil, []packet.Filter{{Filter: set, QoS: byte(o)}}))
			c.want(packet.SUBACK)
			_ = c.conn.Close()
			brokertest.Eventually(t, "away", func() bool { _, ok := s.Presence.Find(d.Identity); return !ok })
			app.Retain(set, "warm")
			app.Publish(set, "cold")
			c, present, _ := dialFive(t, s, d, false, 60, packet.AppendInt(nil, packet.SessionExpiry, 1000))
			if !present {
				t.Fatal("no session")
			}
			for _, want := range []struct {
				payload string
				retain  bool
			}{{"warm", o&packet.RetainAsPublished != 0}, {"cold", false}} {
				got := c.message()
				if string(got.Payload) != want.payload || got.Retain != want.retain {
					t.Errorf("options %#x: got %q, RETAIN %v, want %q, %v", o, got.Payload, got.Retain, want.payload, want.retain)
				}
			}
			app.Retain(set, "")
			_ = c.conn.Close()
		}
	})
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
