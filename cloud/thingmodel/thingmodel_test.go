package thingmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

const definition = `{"Property":[
 {"Identifier":"t","Name":"temperature","AccessMode":"rw","DataType":{"Type":"float32","Spec":{"Min":-40,"Max":100}}},
 {"Identifier":"h","Name":"humidity","AccessMode":"r","DataType":{"Type":"int32","Spec":{"Min":0,"Max":100}}},
 {"Identifier":"on","Name":"on","AccessMode":"rw","DataType":{"Type":"bool","Spec":{"0":"off","1":"on"}}},
 {"Identifier":"s","Name":"text","AccessMode":"rw","DataType":{"Type":"string","Spec":{"Length":64}}}],
 "Event":[{"Identifier":"alarm","Name":"alarm","Type":"warning","Output":[{"Identifier":"code","Name":"code","DataType":{"Type":"int32","Spec":{"Min":0,"Max":9}}}]}],
 "Command":[{"Identifier":"down","Name":"down","Input":[{"Identifier":"v","Name":"v","DataType":{"Type":"int32","Spec":{"Min":0,"Max":9}}}],
  "Output":[{"Identifier":"now","Name":"now","DataType":{"Type":"int32","Spec":{"Min":0,"Max":99}}}]}]}`

// line is a device's connection: it keeps what the hub sends.
type line struct {
	mu  sync.Mutex
	got []server.Message
}

func (l *line) Send(m server.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, m)
	return nil
}
func (l *line) Identity() string { return "" }
func (l *line) Data() any        { return nil }

// Subscribed: it listens to all answers.
func (l *line) Subscribed(string) (byte, bool) { return 1, true }

// rig is a hub's path around Things, and one device.
type rig struct {
	t      testing.TB
	things *Things
	path   *uplink.Path
	device *registry.Device
	prod   *registry.Product
	caller *caller
	seen   *watcher
	line   *line
}

// watcher stands for the rules: it keeps the derived messages.
type watcher struct {
	mu      sync.Mutex
	derived []string
}

func (w *watcher) Match(m *uplink.Message, name string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	if name == m.Name {
		return out
	}
	v, err := payload()
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.derived = append(w.derived, string(v.AppendJSON(nil)))
	return out
}

// caller is the way to the device: react is what the device does.
type caller struct {
	mu      sync.Mutex
	next    int
	react   func(topicName string, payload []byte) error
	waiting map[string]chan []byte
	here    bool // the device listens
}

func (c *caller) NextRequestID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return strconv.Itoa(c.next)
}

func (c *caller) Call(ctx context.Context, _ ident.Device, name string, payload []byte, id string) ([]byte, error) {
	ch := make(chan []byte, 1)
	c.mu.Lock()
	c.waiting[id] = ch
	c.mu.Unlock()
	if err := c.react(name, payload); err != nil {
		return nil, err
	}
	select {
	case b := <-ch:
		return b, nil
	case <-ctx.Done():
		return nil, ErrTimeout
	}
}

func (c *caller) Send(_ context.Context, _ ident.Device, name string, payload []byte, _ time.Time) error {
	return c.react(name, payload)
}

func (c *caller) Listens(ident.Device) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here
}

func (c *caller) Answer(_ ident.Device, id string, payload []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.waiting[id]
	if ch == nil {
		return false
	}
	delete(c.waiting, id)
	ch <- append([]byte{}, payload...)
	return true
}

func newRig(t testing.TB, db *store.DB) *rig {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := thing.ParseTemplate([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, caller: &caller{waiting: map[string]chan []byte{}}, seen: &watcher{}, line: &line{}}
	if r.prod, err = reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p", Template: tmpl}); err != nil {
		t.Fatal(err)
	}
	if r.device, err = reg.CreateDevice(t.Context(), registry.NewDevice{Product: r.prod.SN}); err != nil {
		t.Fatal(err)
	}
	r.caller.react = func(string, []byte) error { return ErrOffline }
	ids := message.NewIDs(1, 0, time.Now)
	r.things = New(Deps{Store: db, Registry: reg, Caller: r.caller, IDs: ids, Log: log})
	handlers := map[topic.Kind]uplink.Handler{}
	for _, k := range Kinds() {
		handlers[k] = r.things
	}
	r.path = uplink.New(uplink.Config{Store: db, IDs: ids, Handlers: handlers, Rules: r.seen, Log: log})
	return r
}

func (r *rig) message(k topic.Kind, tail, payload string) *uplink.Message {
	name := topic.Topic{Kind: k, Device: r.device.Identity, Tail: tail}
	return &uplink.Message{Device: r.device.Identity, DeviceID: r.device.ID, Product: r.prod, Topic: name, Name: name.String(),
		Payload: []byte(payload), QoS: 1, From: r.line}
}

// send takes a message up and returns the hub's answer, "" for none.
func (r *rig) send(k topic.Kind, tail, payload string) string {
	r.t.Helper()
	r.line.mu.Lock()
	r.line.got = nil
	r.line.mu.Unlock()
	err := r.path.Do(r.t.Context(), r.message(k, tail, payload))
	if refused, ok := errors.AsType[*uplink.Refusal](err); err != nil && !ok {
		r.t.Fatalf("%v %s: %v", k, payload, refused)
	}
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	if len(r.line.got) == 0 {
		return ""
	}
	return string(r.line.got[0].Payload)
}

func (r *rig) want(k topic.Kind, payload, want string) {
	r.t.Helper()
	if got := r.send(k, "", payload); got != want {
		r.t.Errorf("%v %s\n got %s\nwant %s", k, payload, got, want)
	}
}

func TestPropertyPost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		r.want(topic.PropertyPost, `{"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000},"on":{"Value":true,"Time":1524448722000}}}`,
			`{"RequestID":"1","RetCode":0,"Message":"success"}`)
		r.want(topic.PropertyRestore, `{"RequestID":"3"}`,
			`{"RetCode":0,"RequestID":"3","LatestUpdateTime":1524448722000,"Property":{"on":{"Value":1,"Time":1524448722000},"t":{"Value":21.5,"Time":1524448722000}}}`)
		// An older value is taken but moves nothing; the same Time does; others stay.
		r.send(topic.PropertyPost, "", `{"Property":{"t":{"Value":1,"Time":1524448721999},"on":{"Value":0,"Time":1524448722000}}}`)
		// Whole or nothing.
		for payload, want := range map[string]string{
			`{"RequestID":"4","Property":{"t":{"Value":22},"h":{"Value":101}}}`: `{"RequestID":"4","RetCode":220,`,
			`{"RequestID":"5","Property":{"t":{"Value":22},"x":{"Value":1}}}`:   `{"RequestID":"5","RetCode":100058,`,
			`{"RequestID":"6","Property":{"t":{"Value":"warm"}}}`:               `{"RequestID":"6","RetCode":230,`,
			`{"RequestID":"7","Property":{}}`:                                   `{"RequestID":"7","RetCode":210,`,
			`{"RequestID":"8"}`:                                                 `{"RequestID":"8","RetCode":210,`,
			`{"RequestID":"9","Property":{"t":{"Value":1,"Time":"soon"}}}`:      `{"RequestID":"9","RetCode":100070,`,
		} {
			if got := r.send(topic.PropertyPost, "", payload); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %s, want %s…", payload, got, want)
			}
		}
		values, err := r.things.Latest(t.Context(), r.device.Identity)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(values), fmt.Sprint([]Value{
			{"on", json.RawMessage("0"), time.UnixMilli(1524448722000).UTC()}, {"t", json.RawMessage("21.5"), time.UnixMilli(1524448722000).UTC()}}); got != want {
			t.Errorf("Latest = %s, want %s", got, want)
		}
		if n := len(r.seen.derived); n != 2 || r.seen.derived[1] != `{"LatestUpdateTime":1524448722000,"Property":{"on":{"Value":0,"Time":1524448722000},"t":{"Value":21.5,"Time":1524448722000}}}` {
			t.Errorf("rules saw %q", r.seen.derived)
		}
		// Another node goes on from the row.
		again := newThings(r)
		again.send(topic.PropertyPost, "", `{"Property":{"h":{"Value":50,"Time":1524448723000}}}`)
		if values, err = r.things.Latest(t.Context(), r.device.Identity); err != nil || len(values) != 3 {
			t.Errorf("after another node's post: %v, %v", values, err)
		}
		// This node's cache is out of date now: the guard notices, and nothing of the other node's is lost.
		r.send(topic.PropertyPost, "", `{"Property":{"s":{"Value":"x","Time":1524448724000}}}`)
		if values, err = r.things.Latest(t.Context(), r.device.Identity); err != nil || len(values) != 4 {
			t.Errorf("after this node's next post: %v, %v", values, err)
		}
	})
}

// newThings is another node on the same store.
func newThings(r *rig) *rig {
	n := *r
	n.things = New(r.things.Deps)
	handlers := map[topic.Kind]uplink.Handler{}
	for _, k := range Kinds() {
		handlers[k] = n.things
	}
	n.path = uplink.New(uplink.Config{Store: r.things.Store, IDs: message.NewIDs(2, 0, time.Now), Handlers: handlers, Log: r.things.Log})
	return &n
}

func TestTimes(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	start := time.Now().UnixMilli()
	for _, tt := range []struct {
		name, time string
		want       int64 // 0: the hub's
	}{
		{"absent", ``, 0},
		{"null", `,"Time":null`, 0},
		{"no clock", `,"Time":0`, 0},
		{"far ahead", `,"Time":` + strconv.FormatInt(start+600_000, 10), 0},
		{"a little ahead", `,"Time":` + strconv.FormatInt(start+200_000, 10), start + 200_000},
		{"text", `,"Time":"` + strconv.FormatInt(start+250_000, 10) + `"`, start + 250_000},
	} {
		r.send(topic.PropertyPost, "", `{"Property":{"t":{"Value":1`+tt.time+`}}}`)
		values, err := r.things.Latest(t.Context(), r.device.Identity)
		if err != nil || len(values) != 1 {
			t.Fatalf("%s: %v, %v", tt.name, values, err)
		}
		got := values[0].Time.UnixMilli()
		if tt.want != 0 && got != tt.want || tt.want == 0 && (got < start || got > time.Now().UnixMilli()) {
			t.Errorf("%s: Time %d, want %d (hub %d)", tt.name, got, tt.want, start)
		}
	}
}

// TestPipelined posts numbered values without waiting for each, as many at a time as a connection's window holds, while another
// node writes the same row: whatever was acknowledged must be in the row at the end.
func TestPipelined(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		other := newThings(r)
		const n, window = 300, 128
		inFlight := make(chan struct{}, window)
		var wg sync.WaitGroup
		base := time.Now().Add(-time.Hour).UnixMilli()
		post := func(rg *rig, id string, i int) {
			payload := fmt.Sprintf(`{"Property":{"%s":{"Value":%d,"Time":%d}}}`, id, i%100, base+int64(i))
			wg.Add(1)
			inFlight <- struct{}{}
			rg.path.Take(t.Context(), rg.message(topic.PropertyPost, "", payload), uplink.AckFunc(func(err error) {
				defer wg.Done()
				<-inFlight
				if err != nil {
					t.Errorf("%s %d: %v", id, i, err)
				}
			}))
		}
		var senders sync.WaitGroup
		senders.Go(func() {
			for i := range n {
				post(r, "t", i)
			}
		})
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		senders.Go(func() {
			for i := range n / 10 {
				post(other, "h", i)
				<-pace.C
			}
		})
		senders.Wait()
		wg.Wait()
		values, err := r.things.Latest(t.Context(), r.device.Identity)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"t": base + n - 1, "h": base + n/10 - 1}
		for _, v := range values {
			if v.Time.UnixMilli() != want[v.Identifier] {
				t.Errorf("%s has Time +%d, want +%d", v.Identifier, v.Time.UnixMilli()-base, want[v.Identifier]-base)
			}
		}
		if len(values) != 2 {
			t.Errorf("%d values, want 2", len(values))
		}
	})
}

func TestNoModel(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	if _, err := r.things.Registry.SetTemplate(t.Context(), r.prod.SN, nil); err != nil {
		t.Fatal(err)
	}
	r.want(topic.PropertyPost, `{"RequestID":"1","Property":{"t":{"Value":1}}}`, `{"RequestID":"1","RetCode":100058,"Message":"the product has no thing model"}`)
	r.want(topic.TemplateGet, `{"RequestID":"1"}`, `{"RequestID":"1","RetCode":100058,"Message":"the product has no thing model"}`)
	if _, err := r.things.Command(t.Context(), r.device.Identity, Command{Identifier: "down"}); !errors.Is(err, ErrNoModel) {
		t.Errorf("Command: %v, want ErrNoModel", err)
	}
}

func TestEventAndTemplate(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.want(topic.EventPost, `{"RequestID":"6","Identifier":"alarm","Output":{"code":3},"Time":1524448722000}`, `{"RequestID":"6","RetCode":0,"Message":"success"}`)
	for payload, want := range map[string]string{
		`{"RequestID":"6","Identifier":"fire","Output":{}}`:           `{"RequestID":"6","RetCode":100047,`,
		`{"RequestID":"6","Identifier":"alarm","Output":{"code":99}}`: `{"RequestID":"6","RetCode":220,`,
		`{"RequestID":"6","Output":{}}`:                               `{"RequestID":"6","RetCode":210,`,
		`{not json`:                                                   `"RetCode":230,`,
	} {
		if got := r.send(topic.EventPost, "", payload); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s…", payload, got, want)
		}
	}
	got := r.send(topic.TemplateGet, "", `{"RequestID":"8"}`)
	if !strings.HasPrefix(got, `{"RetCode":0,"RequestID":"8","Template":{"Property":[`) || !json.Valid([]byte(got)) {
		t.Errorf("template/get: %s", got)
	}
	m := r.message(topic.TemplateGet, "", `{"RequestID":"8"}`)
	m.Buffer = 512
	r.line.got = nil
	if err := r.path.Do(t.Context(), m); err == nil || !strings.HasPrefix(string(r.line.got[0].Payload), `{"RequestID":"8","RetCode":220,`) {
		t.Errorf("template/get of a small device: %v, %v", err, r.line.got)
	}
}

func TestCommand(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		dev := r.device.Identity
		if _, err := r.things.Command(ctx, dev, Command{Identifier: "down"}); !errors.Is(err, ErrOffline) || CodeOf(err) != message.CodeNotOnline {
			t.Errorf("offline: %v", err)
		}
		answer := func(payload string) func(string, []byte) error {
			return func(name string, sent []byte) error {
				doc, err := codec.Decode(sent, codec.DefaultLimits())
				if err != nil {
					return err
				}
				defer doc.Release()
				id, _ := doc.Root().Get("RequestID").Str()
				m := r.message(topic.CommandReply, strings.Clone(id), strings.ReplaceAll(payload, "ID", id))
				go func() { _ = r.path.Do(ctx, m) }() // its answer arrives or the call times out
				return nil
			}
		}
		var sent string
		good := answer(`{"RequestID":"ID","RetCode":0,"Identifier":"down","Output":{"now":20}}`)
		r.caller.react = func(name string, b []byte) error { sent = name + " " + string(b); return good(name, b) }
		res, err := r.things.Command(ctx, dev, Command{Identifier: "down", Input: []byte(`{"v":1}`)})
		if err != nil || res.Code != 0 || string(res.Output) != `{"now":20}` {
			t.Errorf("Command = %+v, %v", res, err)
		}
		if want := topic.System(dev, topic.Command) + ` {"RequestID":"` + res.RequestID + `","Identifier":"down","Input":{"v":1}}`; sent != want {
			t.Errorf("sent %s, want %s", sent, want)
		}
		r.caller.react = answer(`{"RequestID":"ID","RetCode":7,"Identifier":"down"}`)
		if res, err := r.things.Command(ctx, dev, Command{Identifier: "down"}); err != nil || res.Code != 7 {
			t.Errorf("device error: %+v, %v", res, err)
		}
		r.caller.react = answer(`{"RequestID":"ID","RetCode":0,"Identifier":"down","Output":{"now":"far"}}`)
		if _, err := r.things.Command(ctx, dev, Command{Identifier: "down"}); !errors.Is(err, ErrBadReply) || CodeOf(err) != message.CodeBadCommandReply {
			t.Errorf("bad reply: %v", err)
		}
		r.caller.react = func(string, []byte) error { return nil }
		if _, err := r.things.Command(ctx, dev, Command{Identifier: "down", Timeout: 20 * time.Millisecond}); !errors.Is(err, ErrTimeout) {
			t.Errorf("timeout: %v", err)
		}
		async, err := r.things.Command(ctx, dev, Command{Identifier: "down", Async: true})
		if err != nil {
			t.Errorf("async: %v", err)
		}
		r.send(topic.CommandReply, async.RequestID, `{"RequestID":"x","RetCode":0,"Identifier":"down","Output":{"now":1}}`)
		for _, c := range []Command{{Identifier: "up"}, {Identifier: "down", Input: []byte(`{"v":10}`)}, {Identifier: "down", Input: []byte(`[`)}, {Identifier: "down", Timeout: -1}} {
			if _, err := r.things.Command(ctx, dev, c); err == nil {
				t.Errorf("Command(%+v) was sent", c)
			}
		}
		log, err := r.things.Commands(ctx, dev, Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := len(log) - 1; i >= 0; i-- {
			got = append(got, fmt.Sprintf("%s %d %s", log[i].Status, log[i].Code, log[i].Output))
		}
		want := `[failed 100039  succeeded 0 {"now":20} failed 7  failed 100041 {"now":"far"} failed 100040  succeeded 0 {"now":1}]`
		if fmt.Sprint(got) != want {
			t.Errorf("command log:\n got %v\nwant %v", got, want)
		}
	})
}

func TestSetAndDesired(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		dev := r.device.Identity
		set := func(property string, desired bool) (SetResult, error) {
			return r.things.SetProperty(ctx, dev, Setting{Property: []byte(property), Desired: desired, Timeout: time.Minute})
		}
		r.caller.react = func(_ string, b []byte) error {
			if string(b) != `{"RequestID":"1","Property":{"on":1,"t":20}}` {
				t.Errorf("sent %s", b)
			}
			m := r.message(topic.PropertySetReply, "", `{"RequestID":"1","RetCode":0}`)
			go func() { _ = r.path.Do(ctx, m) }()
			return nil
		}
		if res, err := set(`{"t":20,"on":true}`, true); err != nil || res.Code != 0 || res.Kept {
			t.Errorf("SetProperty = %+v, %v", res, err)
		}
		r.caller.react = func(string, []byte) error { return ErrOffline }
		if _, err := set(`{"t":20}`, false); !errors.Is(err, ErrOffline) {
			t.Errorf("offline: %v", err)
		}
		for _, bad := range []string{`{"h":1}`, `{"t":1000}`, `{"x":1}`, `{}`, `[`, `7`} {
			if _, err := set(bad, true); err == nil || errors.Is(err, ErrOffline) {
				t.Errorf("SetProperty(%s): %v", bad, err)
			}
		}
		r.want(topic.DesiredGet, `{"RequestID":"4"}`, `{"RetCode":0,"RequestID":"4","Desired":{}}`)
		for range 2 {
			if res, err := set(`{"t":20}`, true); err != nil || !res.Kept {
				t.Errorf("kept: %+v, %v", res, err)
			}
		}
		if _, err := set(`{"on":false}`, true); err != nil {
			t.Error(err)
		}
		r.want(topic.DesiredGet, `{"RequestID":"4"}`, `{"RetCode":0,"RequestID":"4","Desired":{"on":{"Value":0,"Version":1},"t":{"Value":20,"Version":2}}}`)
		r.want(topic.DesiredGet, `{"RequestID":"4","Require":["t"]}`, `{"RetCode":0,"RequestID":"4","Desired":{"t":{"Value":20,"Version":2}}}`)
		if got := r.send(topic.DesiredDelete, "", `{"RequestID":"5","Delete":{"on":{"Version":1},"t":{"version":1}}}`); !strings.HasPrefix(got, `{"RequestID":"5","RetCode":230,`) {
			t.Errorf("another version: %s", got)
		}
		r.want(topic.DesiredDelete, `{"RequestID":"5","Delete":{"t":{"version":2}}}`, `{"RequestID":"5","RetCode":0,"Message":"success"}`)
		if _, err := set(`{"t":30}`, true); err != nil {
			t.Error(err)
		}
		r.want(topic.DesiredGet, `{"RequestID":"4"}`, `{"RetCode":0,"RequestID":"4","Desired":{"on":{"Value":0,"Version":1},"t":{"Value":30,"Version":3}}}`)
		wishes, err := r.things.Desired(ctx, dev)
		if err != nil || len(wishes) != 2 || wishes[1].Version != 3 {
			t.Errorf("Desired = %+v, %v", wishes, err)
		}
	})
}

func FuzzParseLatest(f *testing.F) {
	f.Add([]byte("\x01" + `{"LatestUpdateTime":5,"Property":{"t":{"Value":21.5,"Time":5}}}`))
	f.Add([]byte("\x01{}"))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLatest(b)
		if err != nil {
			return
		}
		again, err := parseLatest(l.stored)
		if err != nil || string(again.stored) != string(l.stored) {
			t.Errorf("%q → %q → %q, %v", b, l.stored, again.stored, err)
		}
	})
}

func FuzzParseDesired(f *testing.F) {
	f.Add([]byte("\x01" + `{"t":{"Value":20,"Version":1},"u":{"Version":3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDesired(b)
		if err != nil {
			return
		}
		if again, err := parseDesired(d.encode()); err != nil || string(again.encode()) != string(d.encode()) {
			t.Errorf("%q → %q, %v", b, d.encode(), err)
		}
	})
}

// BenchmarkPropertyPost is the handler alone: what a message costs before the store.
func BenchmarkPropertyPost(b *testing.B) {
	r := newRig(b, storetest.SQLite(b))
	payload := `{"RequestID":"12345","Property":{"t":{"Value":21.53,"Time":%d},"h":{"Value":55,"Time":%d},"on":{"Value":1,"Time":%d},"s":{"Value":"all is well in the west wing, go on","Time":%d}}}`
	at := time.Now().Add(-time.Hour).UnixMilli()
	m := r.message(topic.PropertyPost, "", fmt.Sprintf(payload, at, at, at, at))
	m.At = time.Now()
	b.Logf("%d bytes", len(m.Payload))
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if err := r.things.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPath takes posts of 500 devices up, each decoded, checked, merged and committed with its answer.
func BenchmarkPath(b *testing.B) { benchPath(b, false) }

// BenchmarkPathWithHistory is the same with the history of properties on.
func BenchmarkPathWithHistory(b *testing.B) { benchPath(b, true) }

func benchPath(b *testing.B, history bool) {
	r := newRig(b, storetest.SQLite(b))
	if history {
		r.keepHistory()
	}
	devices, err := r.things.Registry.CreateDevices(b.Context(), r.prod.SN, 500, nil)
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	done := uplink.AckFunc(func(err error) {
		if err != nil {
			b.Error(err)
		}
		wg.Done()
	})
	payload := []byte(`{"RequestID":"12345","Property":{"t":{"Value":21.53},"h":{"Value":55},"on":{"Value":1},"s":{"Value":"all is well in the west wing, go on"}}}`)
	names := make([]string, len(devices))
	for i, d := range devices {
		names[i] = topic.System(d.Identity, topic.PropertyPost)
	}
	b.ReportAllocs()
	begin := cpu()
	for i := 0; b.Loop(); i++ {
		d := devices[i%len(devices)]
		m := r.path.New()
		m.Device, m.DeviceID, m.Product, m.Name, m.Payload, m.QoS = d.Identity, d.ID, r.prod, names[i%len(devices)], payload, 1
		m.Topic = topic.Topic{Kind: topic.PropertyPost, Device: d.Identity}
		wg.Add(1)
		r.path.Take(b.Context(), m, done)
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-begin).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
}
