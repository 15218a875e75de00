package rules

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// A rule hears of its own project's products alone, whatever its filter says, and reaches no other's devices.
func TestRulesStayInTheirProject(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	other, err := r.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "theirs", Project: "farm"})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := r.reg.CreateDevice(t.Context(), registry.NewDevice{Product: other.SN, SN: "spy-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []NewRule{{Name: "ours"}, {Name: "theirs", Project: "farm"}} {
		n.SQL, n.Enabled, n.Actions = `SELECT * FROM '/+/+/upload'`, true, []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}
		if _, err := r.rules.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	r.open() // reads them again
	match := func(d *registry.Device, product *registry.Product) int {
		m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: product, Name: topic.Name(d.Identity, "upload"), Payload: []byte(`{"a":1}`)}
		return len(r.rules.Match(m, m.Name, m.Root, nil))
	}
	if a, b := match(r.devices[0], r.product), match(r.devices[0], nil); a != 1 || b != 1 {
		t.Errorf("our message is for %d and %d rules, want 1", a, b)
	}
	if n := match(theirs, other); n != 1 {
		t.Errorf("their message is for %d rules, want 1", n)
	}
	list := r.rules.List(t.Context(), "farm", 0, 0)
	if len(list) != 1 || list[0].Name != "theirs" || len(r.rules.List(t.Context(), "", 0, 0)) != 2 {
		t.Errorf("List = %+v", list)
	}
	p := Publication{Device: theirs.Identity, Topic: topic.Name(theirs.Identity, "set"), Payload: []byte("x")}
	if err := r.rules.publish(context.Background(), registry.DefaultProject, p); !errors.Is(err, ErrPermanent) || len(r.sent.got) != 0 {
		t.Errorf("republished to another project: %v, %v", err, r.sent.got)
	}
	if err := r.rules.publish(context.Background(), "farm", p); err != nil || len(r.sent.got) != 1 {
		t.Errorf("republished in the project: %v, %v", err, r.sent.got)
	}
}
