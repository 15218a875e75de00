package provision_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

func registration(p *registry.Product, sn string) brokertest.Login {
	return brokertest.Login{Device: ident.Device{Product: p.SN, SN: sn}, UserName: p.SN + "|" + sn + "|2", Password: p.Secret.Reveal()}
}

// ask sends a request and returns the answer on its reply topic.
func ask(t *testing.T, c *brokertest.Client, dev ident.Device, kind topic.Kind, payload string) string {
	t.Helper()
	for _, p := range c.Publish(topic.System(dev, kind), payload) {
		if p.Topic == topic.System(dev, kind.Reply()) {
			return p.Payload
		}
	}
	t.Fatalf("%s was not answered before its PUBACK", kind)
	return ""
}

func TestDynamicRegistration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := brokertest.New(t, brokertest.Config{Store: db})
		p := s.Product(t, registry.NewProduct{DynamicRegister: true})
		login := registration(p, "dev-0001")
		dev := login.Device
		c := s.MustDial(t, login)
		if codes := c.Subscribe(topic.System(dev, topic.PasswordReply), topic.Name(dev, "set")); codes[0] != 1 || codes[1] != packet.SubackFailure {
			t.Fatalf("SUBACK %v of a restricted session", codes)
		}
		c.Publish(topic.Name(dev, "upload"), `{}`)
		if seen := s.Rules.Of(topic.Name(dev, "upload")); len(seen) != 0 {
			t.Error("a restricted session published")
		}
		first := ask(t, c, dev, topic.Password, `{"RequestID":"100"}`)
		again := ask(t, c, dev, topic.Password, `{"RequestID":"100"}`)
		d, err := s.Registry.Device(t.Context(), dev)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"RetCode":"0","RequestID":"100","Password":"` + d.Secret.Reveal() + `"}`; first != want || again != want {
			t.Errorf("got %s and %s\nwant %s twice", first, again, want)
		}
		if d.State != registry.Inactive {
			t.Errorf("registration made the device %s", d.State)
		}
		own := s.MustDial(t, brokertest.Of(d))
		if got := ask(t, c, dev, topic.Password, `{"RequestID":"101"}`); !strings.Contains(got, `"RetCode":"100075"`) {
			t.Errorf("registration after the first login: %s", got)
		}
		c.Disconnect() // the registration is a session of its own
		own.Quiet()
		if got := s.Dial(t, login).Code; got != packet.NotAuthorized {
			t.Errorf("CONNACK %s after the first login, want not authorized", got)
		}
		if _, err := s.Registry.Reset(t.Context(), dev, true); err != nil {
			t.Fatal(err)
		}
		s.MustDial(t, login)
	})
}

// gateway is a gateway with two sub-devices in its topology.
type gateway struct {
	*brokertest.Stack
	dev  *registry.Device
	subs []*registry.Device
	c    *brokertest.Client
}

func newGateway(t *testing.T, persistent bool) gateway {
	t.Helper()
	return newGatewayOn(t, storetest.SQLite(t), persistent)
}

func newGatewayOn(t *testing.T, db *store.DB, persistent bool) gateway {
	t.Helper()
	return gatewayOf(t, brokertest.New(t, brokertest.Config{Store: db}), persistent)
}

func gatewayOf(t *testing.T, s *brokertest.Stack, persistent bool) gateway {
	t.Helper()
	g := gateway{Stack: s}
	g.dev = g.Device(t, g.Product(t, registry.NewProduct{Kind: registry.KindGateway}), "gw-0001")
	p := g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice})
	for _, sn := range []string{"sub-0001", "sub-0002"} {
		g.subs = append(g.subs, g.Device(t, p, sn))
	}
	login := brokertest.Of(g.dev)
	login.Persistent = persistent
	g.c = g.MustDial(t, login)
	g.c.Subscribe("/$system/" + g.dev.Identity.Product + "/" + g.dev.Identity.SN + "/subdev/#")
	if got := g.ask(t, topic.TopoAdd, g.subs...); got != 0 {
		t.Fatalf("topo/add: %d", got)
	}
	return g
}

// ask names sub-devices in a request and returns the RetCode.
func (g gateway) ask(t *testing.T, kind topic.Kind, subs ...*registry.Device) int {
	t.Helper()
	var params []string
	for _, d := range subs {
		params = append(params, fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q}`, d.Identity.Product, d.Identity.SN))
	}
	var reply struct {
		RequestID string
		RetCode   int
	}
	got := ask(t, g.c, g.dev.Identity, kind, fmt.Sprintf(`{"RequestID":"7","Params":[%s]}`, strings.Join(params, ",")))
	if err := json.Unmarshal([]byte(got), &reply); err != nil || reply.RequestID != "7" {
		t.Fatalf("%s: %s", kind, got)
	}
	return reply.RetCode
}

func (g gateway) state(t *testing.T, d *registry.Device) registry.State {
	t.Helper()
	got, err := g.Registry.Device(t.Context(), d.Identity)
	if err != nil {
		t.Fatal(err)
	}
	return got.State
}

func TestSubdevices(t *testing.T) {
	g := newGateway(t, false)
	sub := g.subs[0]
	upload, set := topic.Name(sub.Identity, "upload"), topic.Name(sub.Identity, "set")
	g.c.Publish(upload, `{}`)
	if codes := g.c.Subscribe(set); codes[0] != packet.SubackFailure || len(g.Rules.Of(upload)) != 0 {
		t.Fatal("a sub-device's topics were open before its login")
	}
	if got := g.ask(t, topic.SubdevLogin, sub); got != 0 {
		t.Fatalf("login: %d", got)
	}
	if got := g.state(t, sub); got != registry.Online {
		t.Errorf("sub-device is %s after its login", got)
	}
	g.c.Publish(upload, `{}`)
	if seen := g.Rules.Of(upload); len(seen) != 1 || seen[0].Device != sub.Identity {
		t.Errorf("rules saw %+v", seen)
	}
	status := topic.System(sub.Identity, topic.DeviceStatus)
	if codes := g.c.Subscribe(set, status); codes[0] != 1 || codes[1] != 1 {
		t.Fatalf("SUBACK %v", codes)
	}
	out, err := g.Downlink.Send(t.Context(), downlink.Message{Device: sub.Identity, Topic: set, Payload: []byte("x"), QoS: 1, Queue: true})
	if err != nil || out != downlink.Delivered {
		t.Fatalf("Send: %v, %v", out, err)
	}
	brokertest.Expect(t, g.c.Message(), set, "x")
	if got := g.ask(t, topic.SubdevLogout, sub); got != 0 {
		t.Fatalf("logout: %d", got)
	}
	brokertest.Eventually(t, "offline after logout", func() bool { return g.state(t, sub) == registry.Offline })
	brokertest.Eventually(t, "two events", func() bool { return len(g.Rules.Of(status)) == 2 })
	g.c.Publish(upload, `{}`)
	if seen := g.Rules.Of(upload); len(seen) != 1 {
		t.Error("a sub-device published after its logout")
	}
}

func TestGatewayDrops(t *testing.T) {
	g := newGateway(t, false)
	if got := g.ask(t, topic.SubdevLogin, g.subs...); got != 0 {
		t.Fatalf("login: %d", got)
	}
	g.c.Break()
	for _, d := range append(g.subs, g.dev) {
		brokertest.Eventually(t, d.Identity.SN+" offline", func() bool { return g.state(t, d) == registry.Offline })
	}
}

// TestSubdeviceQueue: what a persistent gateway's sub-device missed comes at its next login, and its rows go.
func TestSubdeviceQueue(t *testing.T) {
	g := newGateway(t, true)
	sub := g.subs[0]
	set := topic.Name(sub.Identity, "set")
	g.ask(t, topic.SubdevLogin, sub)
	g.c.Subscribe(set)
	g.c.Disconnect()
	brokertest.Eventually(t, "offline", func() bool { return g.state(t, sub) == registry.Offline })
	for n := range 3 {
		out, err := g.Downlink.Send(t.Context(), downlink.Message{Device: sub.Identity, Topic: set, Payload: fmt.Append(nil, n), QoS: 1, Queue: true})
		if err != nil || out != downlink.Queued {
			t.Fatalf("Send: %v, %v", out, err)
		}
	}
	login := brokertest.Of(g.dev)
	login.Persistent = true
	g.c = g.MustDial(t, login)
	g.c.Quiet()
	g.c.Send(topic.System(g.dev.Identity, topic.SubdevLogin), fmt.Sprintf(`{"RequestID":"7","Params":[{"ProductSN":%q,"DeviceSN":%q}]}`, sub.Identity.Product, sub.Identity.SN))
	for n := range 3 {
		brokertest.Expect(t, g.c.Message(), set, fmt.Sprint(n))
	}
	brokertest.Eventually(t, "rows deleted", func() bool {
		var n int
		err := g.Store.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue WHERE device = ?`, sub.ID).Scan(&n)
		return err == nil && n == 0
	})
}

func TestTopology(t *testing.T) {
	g := newGateway(t, false)
	second := newSecondGateway(t, g)
	want := fmt.Sprintf(`{"RequestID":"1","RetCode":0,"Data":[{"ProductSN":%[1]q,"DeviceSN":"sub-0001"},{"ProductSN":%[1]q,"DeviceSN":"sub-0002"}],"Message":"success"}`, g.subs[0].Identity.Product)
	if got := ask(t, g.c, g.dev.Identity, topic.TopoGet, `{"RequestID":"1"}`); got != want {
		t.Errorf("topo/get: %s\nwant %s", got, want)
	}
	g.ask(t, topic.SubdevLogin, g.subs...)
	if got := second.ask(t, topic.SubdevLogin, g.subs[0]); got != 100075 {
		t.Errorf("login over a gateway that has not added it: %d", got)
	}
	if got := second.ask(t, topic.TopoAdd, g.subs[0]); got != 0 { // the last gateway to add it owns it
		t.Fatalf("topo/add by another gateway: %d", got)
	}
	brokertest.Eventually(t, "logged out of the first gateway", func() bool { return g.state(t, g.subs[0]) == registry.Offline })
	for { // the first gateway is told
		if m := g.c.Message(); m.Topic == topic.System(g.dev.Identity, topic.TopoNotifyDelete) {
			break
		}
	}
	if got := g.ask(t, topic.TopoDelete, g.subs...); got != 0 {
		t.Errorf("topo/delete: %d", got)
	}
	brokertest.Eventually(t, "logged out by topo/delete", func() bool { return g.state(t, g.subs[1]) == registry.Offline })
	if got := ask(t, g.c, g.dev.Identity, topic.TopoGet, `{"RequestID":"1"}`); got != `{"RequestID":"1","RetCode":0,"Data":[],"Message":"success"}` {
		t.Errorf("topo/get of nothing: %s", got)
	}
	if got := second.ask(t, topic.SubdevLogin, g.subs[0]); got != 0 {
		t.Errorf("login over the new gateway: %d", got)
	}
}

func newSecondGateway(t *testing.T, g gateway) gateway {
	t.Helper()
	p, err := g.Registry.Product(t.Context(), g.dev.Identity.Product)
	if err != nil {
		t.Fatal(err)
	}
	second := gateway{Stack: g.Stack, subs: g.subs, dev: g.Device(t, p, "gw-0002")}
	second.c = g.MustDial(t, brokertest.Of(second.dev))
	second.c.Subscribe("/$system/" + second.dev.Identity.Product + "/" + second.dev.Identity.SN + "/subdev/#")
	return second
}

func TestSubdevRegister(t *testing.T) {
	g := newGateway(t, false)
	p := g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, DynamicRegister: true})
	request := func(secret string) string {
		return fmt.Sprintf(`{"RequestID":"1","Params":[{"ProductSN":%q,"DeviceSN":"sub-0009","ProductSecret":%q}]}`, p.SN, secret)
	}
	if got := ask(t, g.c, g.dev.Identity, topic.SubdevRegister, request("0000000000000000")); !strings.Contains(got, `"RetCode":100014`) {
		t.Errorf("wrong ProductSecret: %s", got)
	}
	got := ask(t, g.c, g.dev.Identity, topic.SubdevRegister, request(p.Secret.Reveal()))
	d, err := g.Registry.Device(t.Context(), ident.Device{Product: p.SN, SN: "sub-0009"})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"RequestID":"1","RetCode":0,"Data":[{"ProductSN":%q,"DeviceSN":"sub-0009","DeviceSecret":%q}],"Message":"success"}`, p.SN, d.Secret.Reveal()); got != want {
		t.Errorf("register: %s\nwant %s", got, want)
	}
}

// TestLongList: a list that is longer than the gateway's buffer comes in several replies.
func TestLongList(t *testing.T) {
	g := newGateway(t, false)
	p := g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice})
	var subs []*registry.Device
	for n := range 60 {
		subs = append(subs, g.Device(t, p, fmt.Sprintf("sub-with-a-long-name-%04d", n)))
	}
	g.ask(t, topic.TopoAdd, subs...)
	n, replies := 0, 0
	for _, m := range g.c.Publish(topic.System(g.dev.Identity, topic.TopoGet), `{"RequestID":"1"}`) {
		if m.Topic != topic.System(g.dev.Identity, topic.TopoGetReply) {
			continue
		}
		var reply struct{ Data []struct{ DeviceSN string } }
		if err := json.Unmarshal([]byte(m.Payload), &reply); err != nil || len(m.Payload)+len(m.Topic) > 2048 {
			t.Fatalf("reply of %d bytes: %v", len(m.Payload), err)
		}
		n, replies = n+len(reply.Data), replies+1
	}
	if n != 62 || replies < 2 {
		t.Errorf("%d sub-devices in %d replies, want 62 in several", n, replies)
	}
}

// TestProof: on a product that requires it a gateway adds and logs in only those sub-devices whose secret it knows.
func TestProof(t *testing.T) {
	g := newGateway(t, false)
	on := true
	p := g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, Settings: registry.Settings{SubdeviceProof: &on}})
	sub := g.Device(t, p, "sub-0009")
	other := ident.Device{Product: p.SN, SN: "sub-0010"}
	ask := func(kind topic.Kind, sign string) string {
		return ask(t, g.c, g.dev.Identity, kind, fmt.Sprintf(`{"RequestID":"1","Params":[{"ProductSN":%q,"DeviceSN":%q,"Sign":%q}]}`, p.SN, sub.Identity.SN, sign))
	}
	const ok = `"RetCode":0`
	for _, kind := range []topic.Kind{topic.TopoAdd, topic.SubdevLogin} {
		for _, test := range []struct{ name, sign, want, message string }{
			{"none", "", `"RetCode":210`, "Sign is missing"},
			{"no hex", "proof", `"RetCode":100014`, "Sign is not of the sub-device's secret"},
			{"another secret", credential.SignSubdev("0123456789abcdef", sub.Identity), `"RetCode":100014`, "Sign is not"},
			{"another device", credential.SignSubdev(sub.Secret, other), `"RetCode":100014`, "Sign is not"},
			{"right", credential.SignSubdev(sub.Secret, sub.Identity), ok, ""},
		} {
			if got := ask(kind, test.sign); !strings.Contains(got, test.want) || !strings.Contains(got, test.message) {
				t.Errorf("%s, %s: %s", kind, test.name, got)
			}
			if state := g.state(t, sub); test.want != ok && state == registry.Online {
				t.Errorf("%s, %s: the sub-device is online", kind, test.name)
			}
		}
	}
	if got := g.state(t, sub); got != registry.Online {
		t.Errorf("sub-device is %s after its login", got)
	}
}

func TestBadRequests(t *testing.T) {
	g := newGateway(t, false)
	for _, test := range []struct{ payload, want string }{
		{`{`, `"RetCode":230`},
		{`{"RequestID":"1"}`, `"RetCode":210`},
		{`{"RequestID":"1","Params":[]}`, `"RetCode":210`},
		{`{"RequestID":"1","Params":[{"ProductSN":"x","DeviceSN":"y"}]}`, `"RetCode":230`},
		{`{"RequestID":"1","Params":5}`, `"RetCode":230`},
		{`{"RequestID":"1","Params":[{"ProductSN":"0000000000000000","DeviceSN":"nobody"}]}`, `"RetCode":100003`},
	} {
		if got := ask(t, g.c, g.dev.Identity, topic.SubdevLogin, test.payload); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.payload, got, test.want)
		}
	}
}
