package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// records are what a message on a device's topic makes, without delivery.
func (r *rig) records(tail, payload string) []Record {
	r.t.Helper()
	d := r.devices[0]
	m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, QoS: 1, Payload: []byte(payload)}
	m.Topic = topic.Topic{Kind: topic.Custom, Device: d.Identity, Tail: tail}
	m.Name = m.Topic.String()
	return r.parse(r.rules.Match(m, m.Name, m.Root, nil))
}

func (r *rig) parse(out [][]byte) []Record {
	r.t.Helper()
	list := make([]Record, len(out))
	for i, b := range out {
		var err error
		if list[i], err = ParseRecord(b); err != nil {
			r.t.Fatal(err)
		}
	}
	return list
}

func targetAction(kind string) []Action {
	return []Action{{Kind: kind, Config: json.RawMessage(`{"Name":"a"}`)}}
}

// Data type and dialect are kept over a start, in both stores.
func TestDialectIsStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		rule, err := r.rules.Create(t.Context(), NewRule{Name: "stock", Dialect: rulesql.Stock, DataType: Binary, SQL: "SELECT * FROM /p/+/raw"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.rules.Create(t.Context(), NewRule{Name: "plain", SQL: "SELECT * FROM '/p/+/raw'"}); err != nil {
			t.Fatal(err)
		}
		r.open()
		list := r.rules.List(t.Context(), "", 0, 0)
		if list[0].Dialect != rulesql.Stock || list[0].DataType != Binary || list[1].Dialect != rulesql.Full || list[1].DataType != JSON {
			t.Errorf("%+v, %+v", list[0], list[1])
		}
		full, data := rulesql.Full, JSON
		if _, err := r.rules.Update(t.Context(), rule.ID, Change{Dialect: &full, DataType: &data}); err != nil {
			t.Fatal(err)
		}
		r.open()
		if got, err := r.rules.Get(t.Context(), rule.ID); err != nil || got.Dialect != rulesql.Full || got.DataType != JSON {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestInvalidRules(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	for _, c := range []struct {
		name  string
		rule  NewRule
		field string
	}{
		{"data type", NewRule{DataType: "text", SQL: "SELECT * FROM /p/+/x"}, "dataType"},
		{"dialect", NewRule{Dialect: 3, SQL: "SELECT * FROM /p/+/x"}, "dialect"},
		{"quoted topic in stock", NewRule{Dialect: rulesql.Stock, SQL: "SELECT * FROM '/p/+/x'"}, "sql"},
		{"field of bytes", NewRule{DataType: Binary, SQL: "SELECT a FROM /p/+/x"}, "sql"},
		{"condition on bytes", NewRule{DataType: Binary, SQL: "SELECT * FROM /p/+/x WHERE a = 1"}, "sql"},
		{"function of a payload", NewRule{DataType: Binary, SQL: "SELECT abs(1) FROM /p/+/x"}, "sql"},
		{"bytes and fields", NewRule{DataType: Binary, SQL: "SELECT *, deviceSN() FROM /p/+/x"}, "sql"},
		{"system topic", NewRule{DataType: Binary, SQL: "SELECT * FROM /$system/p/+/shadow/document"}, "sql"},
		{"any product", NewRule{DataType: Binary, SQL: "SELECT * FROM /+/+/x"}, "sql"},
		{"sink that takes none", NewRule{DataType: Binary, SQL: "SELECT * FROM /p/+/x", Actions: targetAction("target")}, "actions[0].kind"},
	} {
		c.rule.Name = c.name
		_, err := r.rules.Create(t.Context(), c.rule)
		if invalid, ok := errors.AsType[*ErrInvalid](err); !ok || invalid.Field != c.field {
			t.Errorf("%s: %v, want a fault of %s", c.name, err, c.field)
		}
	}
}

// A rule for binary messages passes bytes that are no JSON, and may look at all that is not in them.
func TestBinary(t *testing.T) {
	binaryKinds["target"] = true
	t.Cleanup(func() { delete(binaryKinds, "target") })
	r := newRig(t, storetest.SQLite(t))
	sql := fmt.Sprintf("SELECT * FROM /%s/+/raw WHERE deviceSN() = '%s'", r.product.SN, r.devices[0].Identity.SN)
	rule, err := r.rules.Create(t.Context(), NewRule{Name: "b", DataType: Binary, Dialect: rulesql.Stock, SQL: sql, Enabled: true, Actions: targetAction("target")})
	if err != nil {
		t.Fatal(err)
	}
	r.create("j", fmt.Sprintf("SELECT * FROM '/%s/+/raw'", r.product.SN), "a")
	for _, payload := range []string{"\x00\xff\xfe", `{"a":1}`, ""} {
		got := r.records("raw", payload)
		want := 1
		if json.Valid([]byte(payload)) {
			want = 2
		}
		if len(got) != want || string(got[0].Result) != payload {
			t.Errorf("%q became %+v", payload, got)
		}
	}
	if s, _ := r.rules.Stats(t.Context(), rule.ID); s.Failed != 0 || len(s.Faults) != 0 {
		t.Errorf("%+v", s)
	}
}

// FOREACH makes records with keys of their own, the same each time.
func TestForeachKeys(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.create("rows", fmt.Sprintf("FOREACH list AS s DO s.v INCASE s.v > 1 FROM '/%s/+/many'", r.product.SN), "a", "b")
	const payload = `{"list":[{"v":1},{"v":2},{"v":3}]}`
	got := r.records("many", payload)
	if len(got) != 4 {
		t.Fatalf("%d records, want 2 rows for 2 actions", len(got))
	}
	seen := map[string]bool{}
	for i, rec := range got {
		seen[rec.Key()] = true
		if want := fmt.Sprintf(`{"s.v":%d}`, 2+i/2); string(rec.Result) != want {
			t.Errorf("record %d is %s, want %s", i, rec.Result, want)
		}
	}
	if len(seen) != 4 {
		t.Errorf("keys %v", seen)
	}
	if got[0].Index != 1<<8 || got[2].Index != 2<<8 {
		t.Errorf("indexes %d, %d: they are those of the elements", got[0].Index, got[2].Index)
	}
}

func TestRowIndex(t *testing.T) {
	seen := map[int]string{}
	for _, base := range []int{0, 1, 9, 255, 1 << 32, 1<<32 | 1, 1<<33 - 1} {
		for _, row := range []int{0, 1, 2, 255, 256, 999} {
			i := rowIndex(base, row)
			if seen[i] != "" || i < 0 {
				t.Errorf("index %d is that of %d, %d and of %s", i, base, row, seen[i])
			}
			seen[i] = fmt.Sprint(base, row)
		}
	}
}

// Faults are counted by kind, with one message kept of each.
func TestFaults(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	rule := r.create("f", fmt.Sprintf("SELECT a / b AS q FROM '/%s/+/in' WHERE a > 0", r.product.SN), "a")
	for _, payload := range []string{`{"a":1,"b":2}`, `{"a":1,"b":0}`, `{"a":2,"b":0}`, `{"b":1}`, `{"a":1,"b":[]}`, `{"a":1`, "\xff"} {
		r.records("in", payload)
	}
	s, err := r.rules.Stats(t.Context(), rule.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, f := range s.Faults {
		got[f.Kind] = f.Count
		if f.MessageID == 0 || !strings.HasSuffix(f.Topic, "/in") || f.Text == "" || f.At.IsZero() {
			t.Errorf("sample %+v", f)
		}
	}
	want := map[string]int64{"division_by_zero": 2, "missing_field": 1, "type_clash": 1, "not_json": 2}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Failed != 3 {
		t.Errorf("%v and %d failed, want %v and 3", got, s.Failed, want)
	}
}

// Topics of the system are sources like others.
func TestSystemTopics(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.create("shadow", fmt.Sprintf("SELECT deviceSN(), version FROM /$system/%s/+/shadow/document", r.product.SN), "a")
	d := r.devices[0]
	m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, Name: topic.Name(d.Identity, "x"), Payload: []byte(`{}`)}
	name := topic.Topic{Kind: topic.ShadowDocument, Device: d.Identity}.String()
	doc, err := codec.Decode([]byte(`{"version":7}`), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	got := r.parse(r.rules.Match(m, name, func() (codec.Value, error) { return doc.Root(), nil }, nil))
	if len(got) != 1 || string(got[0].Result) != `{"deviceSN()":"`+d.Identity.SN+`","version":7}` || got[0].Index != int(topic.ShadowDocument) {
		t.Errorf("%s: %+v", name, got)
	}
}

// home is the state of the devices for a test.
type home struct {
	shadow, property string
	err              error
	asked            int
}

func (h *home) Shadow(context.Context, ident.Device) (json.RawMessage, error) {
	h.asked++
	return json.RawMessage(h.shadow), h.err
}

func (h *home) Property(_ context.Context, _ ident.Device, id string) (json.RawMessage, error) {
	h.asked++
	if id != "limit" {
		return nil, h.err
	}
	return json.RawMessage(h.property), h.err
}

// Queries see the device's shadow and properties, and run jq filters.
func TestDevices(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	h := &home{shadow: `{"State":{"Reported":{"mode":"eco"}}}`, property: `20`}
	r.rules.owner = queries(h)
	rule := r.create("d", fmt.Sprintf(`SELECT get_shadow('State.Reported.mode') AS mode, get_shadow().State.Reported.mode AS again, jq('[.list[] | .v] | add') AS total
		FROM '/%s/+/in' WHERE t > get_property('limit') AND get_property('none') IS MISSING`, r.product.SN), "a")
	const payload = `{"t":21,"list":[{"v":1},{"v":2}]}`
	got := r.records("in", payload)
	if len(got) != 1 || string(got[0].Result) != `{"mode":"eco","again":"eco","total":3}` {
		t.Errorf("%+v", got)
	}
	if h.asked != 3 {
		t.Errorf("asked %d times, want twice for properties and once for the shadow", h.asked)
	}
	h.err = errors.New("away")
	if got := r.records("in", payload); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	h.err = nil
	r.records("in", `{"t":21,"list":{"v":[]}}`)
	s, _ := r.rules.Stats(t.Context(), rule.ID)
	if len(s.Faults) != 1 || s.Faults[0].Kind != "unavailable" || s.Faults[0].Count != 2 || s.Failed != 2 {
		t.Errorf("%+v", s)
	}
	_, err := r.rules.Create(t.Context(), NewRule{Name: "jq", SQL: "SELECT jq('input') AS x FROM /p/+/x"})
	if err == nil || !strings.Contains(err.Error(), "line 1, column 8: the jq filter is wrong: the function input cannot be used in a rule") {
		t.Errorf("%v", err)
	}
}
