package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// keys are API keys by their text.
type keys struct {
	mu  sync.Mutex // guards all
	all map[string]auth.App
}

func (k *keys) App(_ context.Context, text string) (*auth.App, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	app, ok := k.all[text]
	if !ok {
		return nil, auth.ErrKey
	}
	return &app, nil
}

func (k *keys) delete(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, "hwk_"+id+"_secret")
}

// newKeys makes keys: all may read and write all of the project, viewer only read, one only the product.
func newKeys() *keys {
	k := &keys{all: map[string]auth.App{}}
	for id, app := range map[string]auth.App{"all": {Rights: auth.Rights{Read: true, Write: true}}, "viewer": {Rights: auth.Rights{Read: true}}, "sender": {Rights: auth.Rights{Write: true}}} {
		app.KeyID, app.Project = id, "default"
		k.all["hwk_"+id+"_secret"] = app
	}
	return k
}

func (k *keys) only(id string, products ...string) {
	rights := map[string]auth.Rights{}
	for _, sn := range products {
		rights[sn] = auth.Rights{Read: true, Write: true}
	}
	k.each(id, rights)
}

// each makes a key with rights of its own on each product.
func (k *keys) each(id string, rights map[string]auth.Rights) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all["hwk_"+id+"_secret"] = auth.App{KeyID: id, Project: "default", Products: rights}
}

// by is the login of an application.
func by(key, clientID string, persistent bool) brokertest.Login {
	return brokertest.Login{UserName: "app|" + key, ClientID: clientID, Password: "secret", Persistent: persistent}
}

func post(t *testing.T, c *brokertest.Client, d *registry.Device, payload string) {
	t.Helper()
	c.Send(topic.Name(d.Identity, "upload"), payload)
	for c.Next().Type != packet.PUBACK {
	}
}

func wantMessage(t *testing.T, c *brokertest.Client, payload string) {
	t.Helper()
	if got := c.Message(); got.Payload != payload {
		t.Errorf("got %q on %s, want %q", got.Payload, got.Topic, payload)
	}
}

func TestApplicationLogin(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k})
	for name, c := range map[string]struct {
		login brokertest.Login
		want  packet.ConnackCode
	}{
		"secret":      {by("all", "any client id", false), packet.Accepted},
		"whole key":   {brokertest.Login{UserName: "app|all", ClientID: "x", Password: "hwk_all_secret"}, packet.Accepted},
		"wrong":       {brokertest.Login{UserName: "app|all", ClientID: "x", Password: "sesame"}, packet.BadCredentials},
		"another key": {brokertest.Login{UserName: "app|viewer", ClientID: "x", Password: "hwk_all_secret"}, packet.BadCredentials},
		"unknown":     {by("nobody", "x", false), packet.BadCredentials},
	} {
		if got := s.Dial(t, c.login).Code; got != c.want {
			t.Errorf("%s: CONNACK %s, want %s", name, got, c.want)
		}
	}
	// The client id of a device, under a key, is no device.
	d := s.New(t)
	dev := s.MustDial(t, brokertest.Of(d))
	s.MustDial(t, by("all", d.Identity.ClientID(), false)).Quiet()
	dev.Quiet()
}

// TestApplicationsHear: wildcards reach over devices, and not over what the key has.
func TestApplicationsHear(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k})
	p, q := s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{})
	a, b, other := s.Device(t, p, "dev-000a"), s.Device(t, p, "dev-000b"), s.Device(t, q, "dev-000c")
	k.only("one", p.SN)
	da, db, dc := s.MustDial(t, brokertest.Of(a)), s.MustDial(t, brokertest.Of(b)), s.MustDial(t, brokertest.Of(other))
	one, all := s.MustDial(t, by("one", "x", false)), s.MustDial(t, by("all", "x", false)) // one client id, two keys
	for filter, want := range map[string]bool{"/" + p.SN + "/+/upload": true, "/" + q.SN + "/+/upload": false, "/+/+/upload": true, "#": true,
		"/$system/" + q.SN + "/+/device/status": false, "/$system/+/+/shadow/upstream": true, "elsewhere/#": false, "$share/g/#": true, "$share/g/+/#": true, "$share/g/" + "/" + q.SN + "/+/upload": false, "$share/g/elsewhere/#": false, "/nosuchproduct/#": false} {
		if got := one.Subscribe(filter)[0] != packet.SubackFailure; got != want {
			t.Errorf("filter %s granted: %v, want %v", filter, got, want)
		}
	}
	if got := s.MustDial(t, by("sender", "x", false)).Subscribe("#")[0]; got != packet.SubackFailure {
		t.Errorf("a key that may not read: SUBACK %#x", got)
	}
	one.Unsubscribe("$share/g/#", "$share/g/+/#")
	all.Subscribe("/+/+/upload")
	post(t, da, a, `1`)
	post(t, dc, other, `2`)
	post(t, db, b, `3`)
	wantMessage(t, one, `1`) // once, though three of its filters match
	wantMessage(t, one, `3`)
	for _, want := range []string{`1`, `2`, `3`} {
		wantMessage(t, all, want)
	}
	all.Unsubscribe("/+/+/upload")
	one.Unsubscribe("#", "/+/+/upload", "/"+p.SN+"/+/upload", "/$system/+/+/shadow/upstream")
	if s.Applications.Listening() {
		t.Error("nobody subscribes, and messages still look for listeners")
	}
	post(t, da, a, `4`)
	one.Quiet()
	all.Quiet()
}

// TestRightsOfEachProduct: a key with other rights on each product hears of those that it may read, and sends to those that it may
// control.
func TestRightsOfEachProduct(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k})
	read, write, none := s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{})
	k.each("mixed", map[string]auth.Rights{read.SN: {Read: true}, write.SN: {Write: true}})
	k.each("deaf", map[string]auth.Rights{write.SN: {Write: true}})
	for _, persistent := range []bool{false, true} {
		app := s.MustDial(t, by("mixed", "x", persistent))
		for filter, want := range map[string]bool{"/" + read.SN + "/+/upload": true, "/" + write.SN + "/+/upload": false, "/" + none.SN + "/#": false, "/+/+/upload": true} {
			if got := app.Subscribe(filter)[0] != packet.SubackFailure; got != want {
				t.Errorf("filter %s granted: %v, want %v", filter, got, want)
			}
		}
		if s.MustDial(t, by("deaf", "x", false)).Subscribe("/+/+/upload")[0] != packet.SubackFailure {
			t.Error("a key that may read nothing listens")
		}
		for i, p := range []*registry.Product{write, none, read} {
			d := s.Device(t, p, fmt.Sprintf("dev-%v-%d", persistent, i))
			c := s.MustDial(t, brokertest.Of(d))
			c.Subscribe(topic.Name(d.Identity, "set"))
			post(t, c, d, p.SN)
			app.Send(topic.Name(d.Identity, "set"), "do")
			if p == write {
				wantMessage(t, c, "do")
			} else {
				c.Quiet()
			}
		}
		for got := ""; got != read.SN; {
			switch p := app.Next(); p.Type {
			case packet.PUBACK:
			case packet.PUBLISH:
				if got = string(p.Payload); got != read.SN {
					t.Fatalf("it hears of %s", got)
				}
			}
		}
	}
}

// TestApplicationsSend: to custom topics of devices that the key has, queued for a device that is away.
func TestApplicationsSend(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k})
	p, q := s.Product(t, registry.NewProduct{}), s.Product(t, registry.NewProduct{})
	d, other := s.Device(t, p, "dev-000a"), s.Device(t, q, "dev-000b")
	k.only("one", p.SN)
	login := brokertest.Of(d)
	login.Persistent = true
	dev, away := s.MustDial(t, login), s.MustDial(t, brokertest.Of(other))
	dev.Subscribe(topic.Name(d.Identity, "set"), topic.System(d.Identity, topic.ShadowDownstream))
	away.Subscribe(topic.Name(other.Identity, "set"))
	one, viewer := s.MustDial(t, by("one", "x", false)), s.MustDial(t, by("viewer", "x", false))
	send := func(c *brokertest.Client, name, payload string) {
		t.Helper()
		c.Send(name, payload)
		for c.Next().Type != packet.PUBACK {
		}
	}
	send(one, topic.Name(d.Identity, "set"), `1`)
	wantMessage(t, dev, `1`)
	send(one, topic.Name(other.Identity, "set"), `2`)
	send(viewer, topic.Name(d.Identity, "set"), `3`)
	send(one, topic.System(d.Identity, topic.ShadowDownstream), `4`)
	send(one, "/nosuchproduct0000/dev-0001/set", `5`)
	dev.Quiet()
	away.Quiet()
	dev.Disconnect()
	brokertest.Eventually(t, "the device is gone", func() bool { _, ok := s.Presence.Find(d.Identity); return !ok })
	send(one, topic.Name(d.Identity, "set"), `6`)
	wantMessage(t, s.MustDial(t, login), `6`)
}

// TestPersistentApplication: what comes while it is away waits for it, on this and on another node; a clean start forgets.
func TestPersistentApplication(t *testing.T) {
	k := newKeys()
	db := storetest.SQLite(t)
	link, err := bus.Open(t.Context(), bus.Config{Name: "both"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() }) // after the nodes have ended
	quick := func(c *application.Config) { c.Announce = 200 * time.Millisecond }
	a := brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "a", Number: 1, Applications: quick})
	b := brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "b", Number: 2, Applications: quick})
	d := a.New(t)
	dev := a.MustDial(t, brokertest.Of(d))
	c := a.MustDial(t, by("all", "ledger", true))
	c.Subscribe("/+/+/upload")
	post(t, dev, d, `1`)
	wantMessage(t, c, `1`)
	c.Disconnect()
	for i := range 5 {
		post(t, dev, d, fmt.Sprint("away ", i))
	}
	c = b.MustDial(t, by("all", "ledger", true)) // the other node
	if !c.Present {
		t.Error("the session was not kept")
	}
	for i := range 5 {
		wantMessage(t, c, fmt.Sprint("away ", i))
	}
	post(t, dev, d, `live`) // whether or not node a has heard already where the session is
	wantMessage(t, c, `live`)
	waiting := func() int {
		var n int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue WHERE device < 0`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	brokertest.Eventually(t, "acknowledged rows are gone", func() bool { return waiting() == 0 })
	taken := a.MustDial(t, by("all", "ledger", true)) // takes over
	c.Ended()
	taken.Disconnect()
	post(t, dev, d, `never seen`)
	if fresh := a.MustDial(t, by("all", "ledger", false)); fresh.Present {
		t.Error("a clean start found a session")
	}
	if waiting() != 0 {
		t.Error("a clean start left messages in the queue")
	}
}

// TestApplicationOnAnotherNode: a session that is not persistent hears what comes up elsewhere, over the bus.
func TestApplicationOnAnotherNode(t *testing.T) {
	k := newKeys()
	db := storetest.SQLite(t)
	link, err := bus.Open(t.Context(), bus.Config{Name: "both"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() }) // after the nodes have ended
	a := brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "a", Number: 1})
	b := brokertest.New(t, brokertest.Config{Store: db, Bus: link, Keys: k, Node: "b", Number: 2})
	d := a.New(t)
	dev := a.MustDial(t, brokertest.Of(d))
	c := b.MustDial(t, by("all", "x", false))
	c.Subscribe("/+/+/upload")
	brokertest.Eventually(t, "node a hears of it", a.Applications.Listening)
	post(t, dev, d, `1`)
	wantMessage(t, c, `1`)
	c.Disconnect()
	brokertest.Eventually(t, "node a hears of its end", func() bool { return !a.Applications.Listening() })
}

// TestApplicationsHearWhatIsDerived: what the hub makes of a message is heard too, once it is committed.
func TestApplicationsHearWhatIsDerived(t *testing.T) {
	emit := handler(func(m *uplink.Message) { m.Emit(topic.ShadowDocument, []byte(`{"v":1}`)) })
	s := stack(t, brokertest.Config{Keys: newKeys(), Handlers: map[topic.Kind]uplink.Handler{topic.ShadowUpstream: emit}})
	d := s.New(t)
	c := s.MustDial(t, by("viewer", "x", true))
	c.Subscribe("/$system/+/+/shadow/document", "/$system/"+d.Identity.Product+"/+/device/status")
	s.MustDial(t, brokertest.Of(d)).Send(topic.System(d.Identity, topic.ShadowUpstream), `{}`)
	wantMessage(t, c, `{"ProductSN":"`+d.Identity.Product+`","DeviceSN":"`+d.Identity.SN+`","Status":"Online"}`)
	wantMessage(t, c, `{"v":1}`)
}

// handler makes a function a Handler.
type handler func(*uplink.Message)

func (h handler) Handle(_ context.Context, m *uplink.Message) error { h(m); return nil }

// TestDeletedKey: the sessions of a key that was deleted end within a second.
func TestDeletedKey(t *testing.T) {
	k := newKeys()
	s := stack(t, brokertest.Config{Keys: k, Applications: func(c *application.Config) { c.Recheck = 100 * time.Millisecond }})
	c, other := s.MustDial(t, by("viewer", "x", false)), s.MustDial(t, by("all", "x", false))
	c.Quiet()
	began := time.Now()
	k.delete("viewer")
	s.Applications.KeysChanged()
	c.Ended()
	if took := time.Since(began); took > harness.Promised(time.Second) {
		t.Errorf("ended after %s", took)
	}
	other.Quiet()
	if _, err := k.App(t.Context(), "hwk_viewer_secret"); !errors.Is(err, auth.ErrKey) {
		t.Error("the key is still there")
	}
}

// BenchmarkListening is what a message costs because there could be applications.
func BenchmarkListening(b *testing.B) {
	s := stack(b, brokertest.Config{})
	for b.Loop() {
		if s.Applications.Listening() {
			b.Fatal("somebody listens")
		}
	}
}

// TestDerivedWaits: what the hub says of a device while a persistent session is away waits for it, in the commit of the change itself, and
// so does what is derived of a message.
func TestDerivedWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		emit := handler(func(m *uplink.Message) { m.Emit(topic.ShadowDocument, []byte(`{"v":1}`)) })
		k := newKeys()
		s := stack(t, brokertest.Config{Store: db, Keys: k, Handlers: map[topic.Kind]uplink.Handler{topic.ShadowUpstream: emit}})
		d := s.New(t)
		c := s.MustDial(t, by("viewer", "x", true))
		c.Subscribe("/$system/+/+/shadow/document", "/$system/"+d.Identity.Product+"/+/device/status")
		c.Disconnect()
		dev := s.MustDial(t, brokertest.Of(d))
		dev.Send(topic.System(d.Identity, topic.ShadowUpstream), `{}`)
		for dev.Next().Type != packet.PUBACK {
		}
		dev.Disconnect()
		brokertest.Eventually(t, "three rows", func() bool { return queued(t, db) == 3 })
		s.Stop()
		s = brokertest.New(t, brokertest.Config{Store: db, Keys: k})
		c = s.MustDial(t, by("viewer", "x", true))
		for _, want := range []string{`Online`, `{"v":1}`, `Offline`} {
			if got := c.Message(); !strings.Contains(got.Payload, want) || got.QoS != 1 {
				t.Errorf("got %q at QoS %d, want %q", got.Payload, got.QoS, want)
			}
		}
		brokertest.Eventually(t, "no rows", func() bool { return queued(t, db) == 0 })
	})
}

// queued counts the rows of applications.
func queued(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue WHERE device < 0`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLongQueue: more rows than a connection's queue holds come all, once and in order, while new ones come in.
func TestLongQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := stack(t, brokertest.Config{Store: db, Keys: newKeys()})
		d := s.New(t)
		dev := s.MustDial(t, brokertest.Of(d))
		login := by("viewer", "x", true)
		c := s.MustDial(t, login)
		c.Subscribe("/+/+/upload")
		c.Disconnect()
		const total, more = 2000, 500
		send := func(from, to int) {
			for i := from; i < to; i++ {
				dev.Send(topic.Name(d.Identity, "upload"), fmt.Sprint(i))
			}
			for i := from; i < to; {
				if dev.Next().Type == packet.PUBACK {
					i++
				}
			}
		}
		send(0, total)
		brokertest.Eventually(t, "the rows are there", func() bool { return queued(t, db) == total })
		c = s.MustDial(t, login)
		done := make(chan struct{})
		go func() { defer close(done); send(total, total+more) }()
		for i := range total + more {
			if got := c.Message(); got.Payload != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, got.Payload)
			}
		}
		<-done
		c.Quiet()
		brokertest.Eventually(t, "no rows", func() bool { return queued(t, db) == 0 })
	})
}
