package hub

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// A rule asks for the shadow and the latest values of the device as they are stored.
func TestRulesAskForDevices(t *testing.T) {
	l := newLines()
	h, err := New(t.Context(), settings(t, nil), "test", slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- h.Run(ctx) }()
	defer func() {
		stop()
		if err := <-end; err != nil {
			t.Error(err)
		}
	}()
	l.wait(t, "msg=ready")
	template, err := thing.ParseTemplate([]byte(`{"Version":"1.0","Property":[{"Name":"limit","Identifier":"limit","AccessMode":"rw","DataType":{"Type":"int32","Specs":{"Min":0,"Max":100}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	product, err := h.registry.CreateProduct(ctx, registry.NewProduct{Name: "p", Template: template})
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.registry.CreateDevice(ctx, registry.NewDevice{Product: product.SN, SN: "cellar-1"})
	if err != nil {
		t.Fatal(err)
	}
	ask := ruleDevices{h}
	if v, err := ask.Property(ctx, d.Identity, "limit"); v != nil || err != nil {
		t.Errorf("a property that was never posted: %s, %v", v, err)
	}
	if _, err := h.shadows.Desire(ctx, d.Identity, shadow.Wish{Desired: []byte(`{"mode":"eco"}`)}); err != nil {
		t.Fatal(err)
	}
	post := topic.Topic{Kind: topic.PropertyPost, Device: d.Identity}
	if err := h.path.Do(ctx, &uplink.Message{Device: d.Identity, DeviceID: d.ID, Product: product, Topic: post, Name: post.String(),
		Payload: []byte(`{"RequestID":"1","Property":{"limit":{"Value":20}}}`), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = h.rules.Create(ctx, rules.NewRule{Name: "r", Enabled: true, Actions: []rules.Action{{Kind: "republish", Config: []byte(`{"topic":"/${productSN}/${deviceSN}/set"}`)}},
		SQL: "SELECT get_shadow('State.Desired.mode') AS mode, get_property('limit') AS top FROM '/" + product.SN + "/+/upload' WHERE t > get_property('limit')"})
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{`{"t":21}`: `{"mode":"eco","top":20}`, `{"t":20}`: ""} {
		m := &uplink.Message{ID: h.numbers.Next(), Device: d.Identity, DeviceID: d.ID, Product: product, At: time.Now(),
			Topic: topic.Topic{Kind: topic.Custom, Device: d.Identity, Tail: "upload"}, Payload: []byte(payload)}
		m.Name = m.Topic.String()
		got := ""
		for _, out := range h.rules.Match(m, m.Name, m.Root, nil) {
			rec, err := rules.ParseRecord(out)
			if err != nil {
				t.Fatal(err)
			}
			got = string(rec.Result)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
}
