package broker_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestProductLimits: what a product sets for itself counts for its sessions; size and subscriptions at once, when it changes.
func TestProductLimits(t *testing.T) {
	s := stack(t, brokertest.Config{})
	size, subs := int64(200), int64(2)
	p := s.Product(t, registry.NewProduct{Settings: registry.Settings{MaxPacket: &size, MaxSubscriptions: &subs}})
	d := s.Device(t, p, "dev-0001")
	c := s.MustDial(t, brokertest.Of(d))
	upload := topic.Name(d.Identity, "upload")
	seen := func(want int) {
		t.Helper()
		if got := len(s.Rules.Of(upload)); got != want {
			t.Errorf("%d messages reached the rules, want %d", got, want)
		}
	}
	c.Publish(upload, "small")
	c.Publish(upload, strings.Repeat("x", 200))
	seen(1)
	set, status, post := topic.Name(d.Identity, "set"), topic.System(d.Identity, topic.DeviceStatus), topic.System(d.Identity, topic.PropertyPostReply)
	if got := c.Subscribe(set); got[0] != 1 {
		t.Errorf("first subscription: %v", got)
	}
	if got := c.Subscribe(status, post); got[0] != 1 || got[1] < packet.SubackFailure {
		t.Errorf("second and third subscription: %v, want the third refused", got)
	}
	if got := c.Subscribe(set); got[0] != 1 {
		t.Errorf("a subscription that was there: %v", got)
	}
	if _, err := s.Registry.UpdateProduct(t.Context(), p.SN, registry.ProductUpdate{Settings: &registry.Settings{}}); err != nil {
		t.Fatal(err)
	}
	c.Publish(upload, strings.Repeat("x", 200))
	seen(2)
	if got := c.Subscribe(post); got[0] != 1 {
		t.Errorf("third subscription without a limit: %v", got)
	}
}

// TestProductRate: 20 publishes at 10 a second, of which a second's worth may come at once, take at least half a second.
func TestProductRate(t *testing.T) {
	s := stack(t, brokertest.Config{})
	rate := 10.0
	d := s.Device(t, s.Product(t, registry.NewProduct{Settings: registry.Settings{PublishRate: &rate}}), "dev-0001")
	c := s.MustDial(t, brokertest.Of(d))
	start := time.Now()
	for range 20 {
		c.Publish(topic.Name(d.Identity, "upload"), "x")
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("20 publishes took %v", took)
	}
}

// TestProductChanges: new rates and switches count for a session that is open, and let go of what the old rate holds back.
func TestProductChanges(t *testing.T) {
	s := stack(t, brokertest.Config{})
	rate, off := 0.02, false // the second publish may come, a third only after most of a minute
	p := s.Product(t, registry.NewProduct{Settings: registry.Settings{PublishRate: &rate}})
	d := s.Device(t, p, "dev-0001")
	conn, err := s.Listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	c := s.MustDial(t, brokertest.Login{Device: d.Identity, Password: d.Secret.Reveal(), Conn: conn})
	set := func(settings registry.Settings) {
		t.Helper()
		if _, err := s.Registry.UpdateProduct(t.Context(), p.SN, registry.ProductUpdate{Settings: &settings}); err != nil {
			t.Fatal(err)
		}
	}
	upload := topic.Name(d.Identity, "upload")
	paused := s.Broker.Stats().Paused
	held := make(chan struct{})
	go func() {
		defer close(held)
		for range 20 {
			c.Publish(upload, "x")
		}
	}()
	brokertest.Eventually(t, "held back", func() bool { return s.Broker.Stats().Paused > paused })
	set(registry.Settings{})
	select {
	case <-held:
	case <-time.After(time.Minute):
		t.Fatal("the old rate holds publishes back")
	}
	if got := len(s.Rules.Of(upload)); got != 20 {
		t.Errorf("%d messages reached the rules, want 20", got)
	}
	set(registry.Settings{QoS2: &off})
	if _, err := conn.Write(packet.AppendPublish(nil, upload, []byte("x"), 2, 100, false, false)); err != nil {
		t.Fatal(err)
	}
	c.Ended()
}

// TestProductSwitches: QoS 2 ends the connection of a product that has it off, a will is refused.
func TestProductSwitches(t *testing.T) {
	s := stack(t, brokertest.Config{})
	off := false
	d := s.Device(t, s.Product(t, registry.NewProduct{Settings: registry.Settings{QoS2: &off, Will: &off}}), "dev-0001")
	conn, err := s.Listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	c := s.MustDial(t, brokertest.Login{Device: d.Identity, Password: d.Secret.Reveal(), Conn: conn})
	if _, err := conn.Write(packet.AppendPublish(nil, topic.Name(d.Identity, "upload"), []byte("x"), 2, 1, false, false)); err != nil {
		t.Fatal(err)
	}
	c.Ended()
	if code := dialWithWill(t, s, d); code != packet.NotAuthorized {
		t.Errorf("a will: %v, want %v", code, packet.NotAuthorized)
	}
	on := s.Device(t, s.Product(t, registry.NewProduct{}), "dev-0002")
	if code := dialWithWill(t, s, on); code != packet.Accepted {
		t.Errorf("a will where they are on: %v", code)
	}
}

// dialWithWill connects by hand and returns CONNACK's code.
func dialWithWill(t *testing.T, s *brokertest.Stack, d *registry.Device) packet.ConnackCode {
	t.Helper()
	conn, err := s.Listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // CONNACK is all that matters
	_, err = conn.Write(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, Clean: true, KeepAlive: 60, ClientID: []byte(d.Identity.ClientID()),
		HasUserName: true, UserName: []byte(d.Identity.Product + "|" + d.Identity.SN + "|1"), HasPassword: true, Password: []byte(d.Secret.Reveal()),
		HasWill: true, WillTopic: []byte(topic.Name(d.Identity, "upload")), WillPayload: []byte("gone")}))
	if err != nil {
		t.Fatal(err)
	}
	return connack(t, conn)
}

func connack(t *testing.T, conn net.Conn) packet.ConnackCode {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // the read tells
	b := make([]byte, 4)
	for n := 0; n < len(b); {
		k, err := conn.Read(b[n:])
		if err != nil {
			t.Fatalf("CONNACK: %v", err)
		}
		n += k
	}
	return packet.ConnackCode(b[3])
}

// TestCutOffInTime: a device that is disabled has lost its session within a second.
func TestCutOffInTime(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	start := time.Now()
	if _, err := s.Registry.SetEnabled(t.Context(), d.Identity, false); err != nil {
		t.Fatal(err)
	}
	c.Ended()
	if took := time.Since(start); took > harness.Promised(time.Second) {
		t.Errorf("the session ended after %v", took)
	}
	brokertest.Eventually(t, "an end in the history", func() bool {
		list, _, err := s.Registry.Connections(t.Context(), d.ID, registry.Page{})
		return err == nil && len(list) == 2 && list[0].Event == registry.EventOffline && list[0].Reason == "kicked" && list[1].Transport == "mem"
	})
	if got, err := s.Registry.Device(t.Context(), d.Identity); err != nil || got.State != registry.Disabled {
		t.Errorf("state %v, %v, want disabled", got.State, err)
	}
}
