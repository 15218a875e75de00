package provision_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// hears waits for the gateway's next message on a topic of that kind and returns its Params.
func (g gateway) hears(t *testing.T, kind topic.Kind) string {
	t.Helper()
	for {
		if m := g.c.Message(); m.Topic == topic.System(g.dev.Identity, kind) {
			_, params, ok := strings.Cut(m.Payload, `"Params":`)
			if !ok || !strings.HasPrefix(m.Payload, `{"RequestID":"`) {
				t.Fatalf("%s: %s", kind, m.Payload)
			}
			return strings.TrimSuffix(params, "}")
		}
	}
}

func name(d *registry.Device, secret bool) string {
	if secret {
		return fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q,"DeviceSecret":%q}`, d.Identity.Product, d.Identity.SN, d.Secret.Reveal())
	}
	return fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q}`, d.Identity.Product, d.Identity.SN)
}

// TestOperator: what an operator does to the topology and to sub-devices, the gateway hears of, and what it loses goes offline.
func TestOperator(t *testing.T) {
	g := newGateway(t, false)
	sub, p := g.subs[0], g.Provision
	ids := []ident.Device{sub.Identity}
	if err := p.Unlink(t.Context(), g.dev.Identity, ids); err != nil {
		t.Fatal(err)
	}
	if got := g.hears(t, topic.TopoNotifyDelete); got != "["+name(sub, true)+"]" {
		t.Errorf("notify/delete: %s", got)
	}
	if _, err := p.Gateway(t.Context(), sub.Identity); !errors.Is(err, provision.ErrNoGateway) {
		t.Errorf("Gateway of nobody's: %v", err)
	}
	if err := p.Unlink(t.Context(), g.dev.Identity, ids); !errors.Is(err, provision.ErrNoGateway) {
		t.Errorf("Unlink again: %v", err)
	}
	if err := p.Link(t.Context(), g.dev.Identity, ids); err != nil {
		t.Fatal(err)
	}
	if got := g.hears(t, topic.TopoNotifyAdd); got != "["+name(sub, true)+"]" {
		t.Errorf("notify/add: %s", got)
	}
	if gw, err := p.Gateway(t.Context(), sub.Identity); err != nil || gw.ID != g.dev.ID {
		t.Errorf("Gateway: %v, %v", gw, err)
	}
	list, next, err := p.Subdevices(t.Context(), g.dev.Identity, 1, "")
	if err != nil || len(list) != 1 || next == "" {
		t.Fatalf("Subdevices: %v, %q, %v", list, next, err)
	}
	more, _, err := p.Subdevices(t.Context(), g.dev.Identity, 10, next)
	if err != nil || len(more) != 1 || more[0].Device.ID == list[0].Device.ID {
		t.Errorf("second page: %v, %v", more, err)
	}
	g.ask(t, topic.SubdevLogin, g.subs...)
	for _, change := range []struct {
		kind topic.Kind
		do   func() error
	}{
		{topic.SubdevDisable, func() error { _, err := g.Registry.SetEnabled(t.Context(), sub.Identity, false); return err }},
		{topic.SubdevEnable, func() error { _, err := g.Registry.SetEnabled(t.Context(), sub.Identity, true); return err }},
		{topic.SubdevDelete, func() error { return g.Registry.DeleteDevice(t.Context(), sub.Identity) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if got := g.hears(t, change.kind); got != "["+name(sub, false)+"]" {
			t.Errorf("%s: %s", change.kind, got)
		}
	}
}

func TestOperatorRefusals(t *testing.T) {
	g := newGateway(t, false)
	other := g.Device(t, g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, Project: "elsewhere"}), "sub-0001")
	plain := g.Device(t, g.Product(t, registry.NewProduct{}), "dev-0001")
	link := func(gw, sub ident.Device) error { return g.Provision.Link(t.Context(), gw, []ident.Device{sub}) }
	for _, test := range []struct {
		name    string
		gw, sub ident.Device
		want    error
	}{
		{"no gateway", plain.Identity, g.subs[0].Identity, provision.ErrNotGateway},
		{"of another project", g.dev.Identity, other.Identity, provision.ErrNotSubdevice},
		{"no sub-device", g.dev.Identity, plain.Identity, provision.ErrNotSubdevice},
		{"nobody", g.dev.Identity, ident.Device{Product: g.subs[0].Identity.Product, SN: "nobody"}, registry.ErrDeviceNotFound},
	} {
		if err := link(test.gw, test.sub); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, kind := range []topic.Kind{topic.TopoAdd, topic.SubdevLogin} {
		if got := g.ask(t, kind, other); got != 100003 {
			t.Errorf("%s of another project's: %d", kind, got)
		}
	}
}

// TestConsent: a gateway gets a sub-device of such a product only when an operator consents.
func TestConsent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		g := newGatewayOn(t, db, false)
		yes := true
		p := g.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, Settings: registry.Settings{SubdeviceConsent: &yes}})
		sub := g.Device(t, p, "sub-0009")
		for range 2 { // asking again asks for the same
			if got := g.ask(t, topic.TopoAdd, sub); got != 100075 {
				t.Fatalf("topo/add without consent: %d", got)
			}
		}
		if got := g.ask(t, topic.SubdevLogin, sub); got != 100075 {
			t.Errorf("login without consent: %d", got)
		}
		waiting := func() int {
			list, _, err := g.Provision.Requests(t.Context(), registry.DefaultProject, ident.Device{}, 10, "")
			if err != nil {
				t.Fatal(err)
			}
			if none, _, err := g.Provision.Requests(t.Context(), "elsewhere", ident.Device{}, 10, ""); err != nil || len(none) > 0 {
				t.Fatalf("another project sees %v, %v", none, err)
			}
			return len(list)
		}
		if n := waiting(); n != 1 {
			t.Fatalf("%d requests wait", n)
		}
		if err := g.Provision.Refuse(t.Context(), g.dev.Identity, sub.Identity); err != nil || waiting() != 0 {
			t.Fatalf("Refuse: %v, %d left", err, waiting())
		}
		if err := g.Provision.Accept(t.Context(), g.dev.Identity, sub.Identity); !errors.Is(err, provision.ErrNoRequest) {
			t.Errorf("Accept of nothing: %v", err)
		}
		g.ask(t, topic.TopoAdd, sub)
		if err := g.Provision.Accept(t.Context(), g.dev.Identity, sub.Identity); err != nil || waiting() != 0 {
			t.Fatalf("Accept: %v, %d left", err, waiting())
		}
		for !strings.Contains(g.hears(t, topic.TopoNotifyAdd), sub.Identity.SN) {
			continue
		}
		for _, kind := range []topic.Kind{topic.TopoAdd, topic.SubdevLogin} { // it is the gateway's now
			if got := g.ask(t, kind, sub); got != 0 {
				t.Errorf("%s after consent: %d", kind, got)
			}
		}
	})
}

// TestOwnerOnAnotherNode: a gateway of another node loses a sub-device at once when a gateway here adds it.
func TestOwnerOnAnotherNode(t *testing.T) {
	db := storetest.SQLite(t)
	b, err := bus.Open(t.Context(), bus.Config{Name: "both"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	g := gatewayOf(t, brokertest.New(t, brokertest.Config{Store: db, Bus: b}), false)
	far := brokertest.New(t, brokertest.Config{Store: db, Bus: b, Node: "b", Number: 2})
	g.ask(t, topic.SubdevLogin, g.subs...)
	p, err := far.Registry.Product(t.Context(), g.dev.Identity.Product)
	if err != nil {
		t.Fatal(err)
	}
	second := gateway{Stack: far, subs: g.subs, dev: far.Device(t, p, "gw-0002")}
	second.c = far.MustDial(t, brokertest.Of(second.dev))
	second.c.Subscribe("/$system/" + second.dev.Identity.Product + "/" + second.dev.Identity.SN + "/subdev/#")
	if got := second.ask(t, topic.TopoAdd, g.subs[0]); got != 0 {
		t.Fatalf("topo/add: %d", got)
	}
	brokertest.Eventually(t, "offline at the first gateway", func() bool {
		_, there := g.Presence.Session(g.subs[0].Identity)
		return !there && far.Registry != nil && storedState(t, far, g.subs[0]) == registry.Offline
	})
	if got := g.hears(t, topic.TopoNotifyDelete); !strings.Contains(got, g.subs[0].Identity.SN) {
		t.Errorf("the first gateway heard %s", got)
	}
	if got := second.ask(t, topic.SubdevLogin, g.subs[0]); got != 0 {
		t.Errorf("login over the second gateway: %d", got)
	}
	if got := g.ask(t, topic.SubdevLogin, g.subs[0]); got != 100075 {
		t.Errorf("login over the first gateway: %d", got)
	}
}

func storedState(t *testing.T, s *brokertest.Stack, d *registry.Device) registry.State {
	t.Helper()
	var state int64
	if err := s.Store.QueryRow(t.Context(), `SELECT state FROM device WHERE id = ?`, d.ID).Scan(&state); err != nil {
		t.Fatal(err)
	}
	return registry.State(state)
}
