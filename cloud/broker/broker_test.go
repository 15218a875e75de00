package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func stack(t testing.TB, c brokertest.Config) *brokertest.Stack {
	t.Helper()
	if c.Store == nil {
		c.Store = storetest.SQLite(t)
	}
	return brokertest.New(t, c)
}

func state(t *testing.T, s *brokertest.Stack, d ident.Device) registry.State {
	t.Helper()
	got, err := s.Registry.Device(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return got.State
}

func TestConnectRefusals(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	sub := s.Device(t, s.Product(t, registry.NewProduct{Kind: registry.KindSubdevice}), "sub-0001")
	closed := s.Product(t, registry.NewProduct{})
	open := s.Product(t, registry.NewProduct{DynamicRegister: true, PreRegister: true})
	unknown := ident.Device{Product: d.Identity.Product, SN: "nobody"}
	for name, c := range map[string]struct {
		login brokertest.Login
		want  packet.ConnackCode
	}{
		"good":                {brokertest.Of(d), packet.Accepted},
		"wrong secret":        {brokertest.Login{Device: d.Identity, Password: "0000000000000000"}, packet.BadCredentials},
		"no secret":           {brokertest.Login{Device: d.Identity}, packet.BadCredentials},
		"unknown device":      {brokertest.Login{Device: unknown, Password: d.Secret.Reveal()}, packet.BadCredentials},
		"foreign client id":   {brokertest.Login{Device: d.Identity, ClientID: unknown.ClientID(), Password: d.Secret.Reveal()}, packet.IdentifierRejected},
		"bad user name":       {brokertest.Login{Device: d.Identity, UserName: "me", Password: d.Secret.Reveal()}, packet.BadCredentials},
		"keep-alive short":    {brokertest.Login{Device: d.Identity, KeepAlive: 29, Password: d.Secret.Reveal()}, packet.IdentifierRejected},
		"keep-alive long":     {brokertest.Login{Device: d.Identity, KeepAlive: 1201, Password: d.Secret.Reveal()}, packet.IdentifierRejected},
		"authmode 3":          {brokertest.Login{Device: d.Identity, UserName: d.Identity.Product + "|" + d.Identity.SN + "|3", Password: "x"}, packet.BadCredentials},
		"no certificate":      {brokertest.Login{Device: d.Identity, UserName: d.Identity.Product + "|" + d.Identity.SN + "|x509"}, packet.BadCredentials},
		"sub-device":          {brokertest.Of(sub), packet.NotAuthorized},
		"registration is off": {register(closed, "dev-0009"), packet.NotAuthorized},
		"not pre-registered":  {register(open, "dev-0009"), packet.NotAuthorized},
	} {
		t.Run(name, func(t *testing.T) {
			c.login.Device.SN = strings.Clone(c.login.Device.SN)
			if got := s.Dial(t, c.login).Code; got != c.want {
				t.Errorf("CONNACK %s, want %s", got, c.want)
			}
		})
	}
}

func register(p *registry.Product, sn string) brokertest.Login {
	d := ident.Device{Product: p.SN, SN: sn}
	return brokertest.Login{Device: d, UserName: p.SN + "|" + sn + "|2", Password: p.Secret.Reveal()}
}

// TestPublishIsSafeBeforeAck: what rules made of a message is in the outbox when its PUBACK comes, in the device's order.
func TestPublishIsSafeBeforeAck(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	upload := topic.Name(d.Identity, "upload")
	for n := range 50 {
		c.Publish(upload, fmt.Sprintf(`{"n":%d}`, n))
	}
	var got []string
	rows, err := s.Store.Outbox().Read(t.Context(), int(d.ID%16), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		for _, rec := range r.Records {
			if strings.Contains(string(rec), `"n"`) {
				got = append(got, string(rec))
			}
		}
	}
	if len(got) != 50 {
		t.Fatalf("%d records in the outbox, want 50", len(got))
	}
	for n, rec := range got {
		if want := fmt.Sprintf(`{"n":%d}`, n); rec != want {
			t.Fatalf("record %d is %s, want %s", n, rec, want)
		}
	}
	seen := s.Rules.Of(upload)
	for i := 1; i < len(seen); i++ {
		if seen[i].ID <= seen[i-1].ID {
			t.Fatal("MessageIDs do not rise")
		}
	}
}

func TestForeignTopics(t *testing.T) {
	s := stack(t, brokertest.Config{})
	p := s.Product(t, registry.NewProduct{})
	d, other := s.Device(t, p, "dev-0001"), s.Device(t, p, "dev-0002")
	c := s.MustDial(t, brokertest.Of(d))
	for _, name := range []string{topic.Name(other.Identity, "upload"), topic.Name(d.Identity, "set"), topic.Name(d.Identity, "upload") + "?parse=true",
		topic.System(d.Identity, topic.ShadowDocument), topic.System(d.Identity, topic.SubdevLogin), "x", "/" + p.SN + "/$broadcast/a"} {
		if got := c.Publish(name, `{}`); len(got) != 0 { // acknowledged and dropped, as 3.1.1 has no word for it
			t.Errorf("%s: got %+v", name, got)
		}
		if seen := s.Rules.Of(name); len(seen) != 0 {
			t.Errorf("%s reached the rules", name)
		}
	}
	codes := c.Subscribe(topic.Name(d.Identity, "set"), topic.Name(other.Identity, "set"), "#", "/$system/"+p.SN+"/+/password_reply",
		"/"+p.SN+"/$broadcast/#")
	if want := []byte{1, 0x80, 0x80, 0x80, 1}; string(codes) != string(want) {
		t.Errorf("SUBACK %v, want %v", codes, want)
	}
}

func TestPresence(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	status := topic.System(d.Identity, topic.DeviceStatus)
	if got := state(t, s, d.Identity); got != registry.Inactive {
		t.Fatalf("a new device is %s", got)
	}
	c := s.MustDial(t, brokertest.Of(d))
	if got := state(t, s, d.Identity); got != registry.Online {
		t.Fatalf("a connected device is %s", got)
	}
	second := s.MustDial(t, brokertest.Of(d)) // takes over
	c.Ended()
	second.Publish(topic.Name(d.Identity, "upload"), "x")
	second.Break()
	brokertest.Eventually(t, "offline", func() bool { return state(t, s, d.Identity) == registry.Offline })
	third := s.MustDial(t, brokertest.Of(d))
	third.Disconnect()
	brokertest.Eventually(t, "offline again", func() bool { return state(t, s, d.Identity) == registry.Offline })
	want := []string{"Online", "Offline", "Online", "Offline"}
	seen := s.Rules.Of(status)
	if len(seen) != len(want) {
		t.Fatalf("%d events, want %v: %+v", len(seen), want, seen)
	}
	for i, w := range want {
		if payload := fmt.Sprintf(`{"ProductSN":"%s","DeviceSN":"dev-0001","Status":"%s"}`, d.Identity.Product, w); seen[i].Payload != payload {
			t.Errorf("event %d is %s, want %s", i, seen[i].Payload, payload)
		}
	}
	var stored int
	if err := s.Store.QueryRow(t.Context(), `SELECT state FROM device WHERE id = ?`, d.ID).Scan(&stored); err != nil || stored != int(registry.Offline) {
		t.Errorf("stored state %d, %v", stored, err)
	}
}

func TestCutOff(t *testing.T) {
	s := stack(t, brokertest.Config{})
	p := s.Product(t, registry.NewProduct{})
	for name, end := range map[string]func(ident.Device) error{
		"disabled": func(d ident.Device) error { _, err := s.Registry.SetEnabled(t.Context(), d, false); return err },
		"deleted":  func(d ident.Device) error { return s.Registry.DeleteDevice(t.Context(), d) },
		"reset":    func(d ident.Device) error { _, err := s.Registry.Reset(t.Context(), d, true); return err },
	} {
		t.Run(name, func(t *testing.T) {
			d := s.Device(t, p, "dev-"+name)
			c := s.MustDial(t, brokertest.Of(d))
			if err := end(d.Identity); err != nil {
				t.Fatal(err)
			}
			c.Ended()
			if got := s.Dial(t, brokertest.Of(d)).Code; got == packet.Accepted {
				t.Error("the device logged in again")
			}
		})
	}
}

// TestNewTopics: a change of a product's topics reaches sessions that are open.
func TestNewTopics(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	name := topic.Name(d.Identity, "extra")
	c.Publish(name, `{}`)
	if _, err := s.Registry.SetTopics(t.Context(), d.Identity.Product, append(topic.DefaultTemplates(), topic.Template{Path: "extra", Perm: topic.Pub})); err != nil {
		t.Fatal(err)
	}
	c.Publish(name, `{}`)
	if seen := s.Rules.Of(name); len(seen) != 1 {
		t.Errorf("%d messages reached the rules, want the second only", len(seen))
	}
}

// meddler changes a product when a device of it comes online: after the login was judged, and before its session can be found.
type meddler struct {
	brokertest.Recorder
	once   sync.Once
	meddle func()
}

func (m *meddler) Match(msg *uplink.Message, name string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	if msg.Topic.Kind == topic.DeviceStatus {
		m.once.Do(m.meddle)
	}
	return m.Recorder.Match(msg, name, payload, out)
}

// TestNewTopicsDuringLogin: a change of a product's topics and limits while a device logs in is not missed.
func TestNewTopicsDuringLogin(t *testing.T) {
	rules := &meddler{}
	s := stack(t, brokertest.Config{Rules: rules})
	d := s.New(t)
	rules.meddle = func() {
		_, err := s.Registry.SetTopics(t.Context(), d.Identity.Product, append(topic.DefaultTemplates(), topic.Template{Path: "extra", Perm: topic.Pub}))
		if err != nil {
			t.Error(err)
		}
	}
	c := s.MustDial(t, brokertest.Of(d))
	name := topic.Name(d.Identity, "extra")
	brokertest.Eventually(t, "the new topic may be published to", func() bool {
		c.Publish(name, `{}`)
		return len(rules.Of(name)) > 0
	})
	session, ok := s.Presence.Session(d.Identity)
	now, err := s.Registry.Product(t.Context(), d.Identity.Product)
	if err != nil || !ok || session.Product() != now {
		t.Errorf("the session (%v) has another product than the registry, %v", ok, err)
	}
}

// echo answers event posts, and refuses some.
type echo struct{}

func (echo) Handle(_ context.Context, m *uplink.Message) error {
	if _, err := m.Doc(); err != nil {
		return err
	}
	id, _ := m.RequestID()
	switch id {
	case "refuse":
		return uplink.Refuse(message.CodeRange, "too much")
	case "fault":
		return errors.New("broken")
	}
	return m.Reply(topic.EventPostReply, "", message.NewReply(message.RequestID(id), message.CodeOK))
}

func TestReplies(t *testing.T) {
	s := stack(t, brokertest.Config{Handlers: map[topic.Kind]uplink.Handler{topic.EventPost: echo{}}})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	post, answers := topic.System(d.Identity, topic.EventPost), topic.System(d.Identity, topic.EventPostReply)
	c.Subscribe(answers)
	for _, test := range []struct{ in, want string }{
		{`{"RequestID":"1"}`, `{"RequestID":"1","RetCode":0,"Message":"success"}`},
		{`{"RequestID":"refuse"}`, `{"RequestID":"refuse","RetCode":220,"Message":"too much"}`},
		{`{"RequestID":"fault"}`, `{"RequestID":"fault","RetCode":130,"Message":"` + message.CodeInternal.Text() + `"}`},
		{`{"RequestID":`, `{"RequestID":"","RetCode":230,"Message":"payload is neither JSON nor CBOR"}`},
	} {
		before := c.Publish(post, test.in)
		if len(before) != 1 {
			t.Fatalf("%s: %d packets before PUBACK, want the reply", test.in, len(before))
		}
		brokertest.Expect(t, before[0], answers, test.want)
	}
	if seen := s.Rules.Of(post); len(seen) != 1 {
		t.Errorf("rules saw %d posts, want only the good one", len(seen))
	}
}

// TestCBOR: a device that says enc=cbor is answered and told in CBOR, on system topics only.
func TestCBOR(t *testing.T) {
	s := stack(t, brokertest.Config{Handlers: map[topic.Kind]uplink.Handler{topic.EventPost: echo{}}})
	d := s.New(t)
	login := brokertest.Of(d)
	login.UserName = d.Identity.Product + "|" + d.Identity.SN + "|1|enc=cbor"
	c := s.MustDial(t, login)
	set := topic.System(d.Identity, topic.PropertySet)
	c.Subscribe(topic.System(d.Identity, topic.EventPostReply), set, topic.Name(d.Identity, "set"))
	before := c.Publish(topic.System(d.Identity, topic.EventPost), `{"RequestID":"1"}`)
	if len(before) != 1 || before[0].Payload[0]&0xe0 != 0xa0 {
		t.Fatalf("reply is no CBOR map: %+v", before)
	}
	for name, want := range map[string]string{set: "\xa1aa\x01", topic.Name(d.Identity, "set"): `{"a":1}`} {
		out, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: name, Payload: []byte(`{"a":1}`), QoS: 1})
		if err != nil || out != downlink.Delivered {
			t.Fatalf("Send: %v %v", out, err)
		}
		brokertest.Expect(t, c.Message(), name, want)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := broker.DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	c := broker.DefaultConfig()
	c.KeepAliveMin = 2000
	if c.Validate() == nil {
		t.Error("bad keep-alive bounds accepted")
	}
}
