package stock

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestOrder: the device publishes right behind its SUBSCRIBE. The SUBACK comes first, and the answer is not lost.
func TestOrder(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	both := append(frame(0x82, w.subscribeBody(d.System("shadow/get_reply"))), frame(0x32, w.publishBody(d.System("shadow/get"), "{}"))...)
	if _, err := w.conn.Write(both); err != nil {
		t.Fatal(err)
	}
	w.packet(0x90)
	var puback, reply bool
	for !puback || !reply {
		p, err := w.receive(time.Minute)
		switch {
		case err != nil:
			t.Fatalf("PUBACK %v, reply %v: %v", puback, reply, err)
		case p.header == 0x40:
			puback = true
		default:
			reply = strings.HasSuffix(w.message(p).topic, "shadow/get_reply")
		}
	}
}

// TestPing: a device that is slowed down gets its PINGRESP within 5 s all the same.
func TestPing(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	message := frame(0x30, append(text(d.Topic("upload")), `{"t":1}`...))
	for range 400 { // more than 10 s of what it may publish
		if _, err := w.conn.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	w.write(0xC0, nil)
	began := time.Now()
	p, err := w.receive(time.Minute)
	if took := time.Since(began); err != nil || p.header != 0xD0 || took > harness.Promised(5*time.Second) {
		t.Errorf("packet %#x after %v: %v", p.header, took, err)
	}
}

// report fills a shadow with n keys.
func report(w *wire, d harness.Credentials, n, version int) {
	w.t.Helper()
	for i := range n {
		m := w.ask(d.System("shadow/upstream"), fmt.Sprintf(`{"Method":"update","State":{"Reported":{"a_key_of_some_length_%03d":"a value of some length"}},"Version":%d}`, i, version+i))
		if !strings.Contains(m.payload, `"RetCode":0`) {
			w.t.Fatalf("%s", m.payload)
		}
	}
}

// TestSize: no packet is larger than 2,048 bytes. A shadow that is leaves out its Metadata, then what was reported; what an application
// sends is refused; a device that announced a larger buffer gets all of it.
func TestSize(t *testing.T) {
	hub, devices := start(t, 1, nil, "--publish-rate", "0")
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("shadow/downstream"), d.System("shadow/get_reply"), d.Topic("set"))
	get := func(w *wire) (doc map[string]json.RawMessage, state map[string]map[string]any) {
		t.Helper()
		m := w.ask(d.System("shadow/get"), "{}")
		var all struct{ Payload json.RawMessage }
		if err := json.Unmarshal([]byte(m.payload), &doc); err != nil {
			t.Fatalf("%s: %v", m.payload, err)
		}
		if json.Unmarshal([]byte(m.payload), &all) == nil && len(all.Payload) > 0 {
			_ = json.Unmarshal(all.Payload, &doc)
		}
		if err := json.Unmarshal(doc["State"], &state); err != nil {
			t.Fatalf("%s: %v", m.payload, err)
		}
		return doc, state
	}
	report(w, d, 30, 0)
	doc, state := get(w)
	if _, ok := doc["Metadata"]; ok || len(state["Reported"]) != 30 {
		t.Errorf("30 keys: metadata %v, %d keys", ok, len(state["Reported"]))
	}
	report(w, d, 60, 30)
	if _, state = get(w); len(state["Reported"]) != 0 {
		t.Errorf("60 keys: %d keys", len(state["Reported"]))
	}
	conflict := w.ask(d.System("shadow/upstream"), `{"Method":"update","State":{"Reported":{"x":1}},"Version":7}`)
	if !strings.Contains(conflict.payload, `"RetCode":100026`) || !json.Valid([]byte(conflict.payload)) {
		t.Errorf("conflict: %s", conflict.payload)
	}
	publish := map[string]any{"topic": "set", "payload": strings.Repeat("x", 2048), "qos": 1}
	if err := hub.Call("POST", device(d, "/publish"), publish, nil); err == nil || !strings.Contains(err.Error(), "too_large_for_device") {
		t.Errorf("an application's message: %v", err)
	}
	_ = w.conn.Close()
	big := login(t, hub, d, "|buf=16384")
	big.most = 16384
	big.subscribe(d.System("shadow/get_reply"), d.Topic("set"))
	if err := hub.Call("POST", device(d, "/publish"), publish, nil); err != nil {
		t.Errorf("to a larger buffer: %v", err)
	}
	big.ack(big.get())
	if doc, state = get(big); doc["Metadata"] == nil || len(state["Reported"]) != 60 {
		t.Errorf("to a larger buffer: %d keys", len(state["Reported"]))
	}
}

// TestJSONDown: what the hub sends begins with a brace and has no escapes and no exponents, and members of users come in ascending
// order, so that one that is the beginning of another comes first.
func TestJSONDown(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("shadow/downstream"), d.System("shadow/get_reply"))
	desired := map[string]any{"link": "http://a/?b=1&c=<2>", "l": 1, "li": 2, "huge": 123456789012, "tiny": 0.0000001}
	if err := hub.Call("PATCH", device(d, "/shadow"), map[string]any{"desired": desired}, nil); err != nil {
		t.Fatal(err)
	}
	m := w.get()
	w.ack(m)
	for _, payload := range []string{m.payload, w.ask(d.System("shadow/get"), "{}").payload} {
		want := `"Desired":{"huge":123456789012,"l":1,"li":2,"link":"http://a/?b=1&c=<2>","tiny":0.0000001}`
		if payload[0] != '{' || !strings.Contains(payload, want) || strings.Contains(payload, `\u00`) {
			t.Errorf("%s\nhas no %s", payload, want)
		}
	}
}

// TestRegistration: the session stays open for 5 s after the password_reply; RetCode and RequestID are strings; the same secret is
// handed out until the first login with it, and then no more.
func TestRegistration(t *testing.T) {
	hub, _ := start(t, 0, nil)
	var p struct{ ProductSN, ProductSecret string }
	if err := hub.Call("POST", "/v1/products", map[string]any{"name": "plain", "kind": "device", "dynamicRegister": true}, &p); err != nil {
		t.Fatal(err)
	}
	d := harness.Credentials{ProductSN: p.ProductSN, DeviceSN: "fresh-0001"}
	for range 2 {
		w := connect(t, hub, d.ClientID(), d.ProductSN+"|"+d.DeviceSN+"|2", p.ProductSecret)
		w.subscribe(d.System("password_reply"))
		m := w.ask(d.System("password"), `{"RequestID":"1"}`)
		if !strings.HasPrefix(m.payload, `{"RetCode":"0","RequestID":"1","Password":"`) {
			t.Fatalf("%s", m.payload)
		}
		secret := value(t, m.payload, "Password")
		if d.DeviceSecret != "" && d.DeviceSecret != secret {
			t.Error("another secret")
		}
		d.DeviceSecret = secret
		w.quiet(5 * time.Second)
		w.write(0xA2, append([]byte{0, 9}, text(d.System("password_reply"))...))
		w.packet(0xB0)
		w.write(0xE0, nil)
	}
	login(t, hub, d, "")
	if code := refused(t, hub, d.ClientID(), d.ProductSN+"|"+d.DeviceSN+"|2", p.ProductSecret); code == 0 {
		t.Error("registers after its first login")
	}
}
