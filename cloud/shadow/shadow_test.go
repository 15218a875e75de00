package shadow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
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
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// line is a device's connection: it keeps what the hub answers.
type line struct {
	mu  sync.Mutex
	got []string
}

func (l *line) Send(m server.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, string(m.Payload))
	return nil
}
func (l *line) Identity() string { return "" }
func (l *line) Data() any        { return nil }

// Subscribed: it listens to all answers.
func (l *line) Subscribed(string) (byte, bool) { return 1, true }

func (l *line) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// desk keeps what the hub tells a device by itself.
type desk struct {
	line
	buffer int
}

func (d *desk) Control(_ context.Context, _ ident.Device, name string, payloads [][]byte) error {
	for _, p := range payloads {
		_ = d.Send(server.Message{Topic: name, Payload: p}) // never fails
	}
	return nil
}

func (d *desk) Buffer(context.Context, ident.Device) int { return d.buffer }

// watcher stands for the rules: it keeps the documents they see.
type watcher struct{ line }

func (w *watcher) Match(m *uplink.Message, name string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	if strings.HasSuffix(name, "/shadow/document") {
		v, err := payload()
		if err != nil {
			panic(err)
		}
		_ = w.Send(server.Message{Payload: v.AppendJSON(nil)}) // never fails
	}
	return out
}

type rig struct {
	t       testing.TB
	shadows *Shadows
	path    *uplink.Path
	product *registry.Product
	device  *registry.Device
	line    line
	told    desk
	rules   watcher
}

func newRig(t testing.TB, db *store.DB) *rig {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t}
	if r.product, err = reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	if r.device, err = reg.CreateDevice(t.Context(), registry.NewDevice{Product: r.product.SN}); err != nil {
		t.Fatal(err)
	}
	ids := message.NewIDs(1, 0, time.Now)
	r.shadows = New(Deps{Store: db, Registry: reg, Sender: &r.told, Rules: &r.rules, IDs: ids, History: DefaultHistoryConfig(), Log: log})
	r.path = r.pathOf(r.shadows, ids)
	return r
}

func (r *rig) pathOf(s *Shadows, ids *message.IDs) *uplink.Path {
	return uplink.New(uplink.Config{Store: s.Store, IDs: ids, Rules: &r.rules, Log: s.Log,
		Handlers: map[topic.Kind]uplink.Handler{topic.ShadowUpstream: s, topic.ShadowGet: s}})
}

func (r *rig) message(k topic.Kind, payload string) *uplink.Message {
	return &uplink.Message{Device: r.device.Identity, DeviceID: r.device.ID, Product: r.product, Name: topic.System(r.device.Identity, k),
		Topic: topic.Topic{Kind: k, Device: r.device.Identity}, Payload: []byte(payload), QoS: 1, From: &r.line}
}

var seconds = regexp.MustCompile(`"Timestamp":[1-9][0-9]*`)

// plain takes the clock out of a message.
func plain(s string) string { return seconds.ReplaceAllString(s, `"Timestamp":T`) }

// want sends a request and compares the one answer.
func (r *rig) want(k topic.Kind, payload, want string) {
	r.t.Helper()
	r.line.take()
	if err := r.path.Do(r.t.Context(), r.message(k, payload)); err != nil {
		r.t.Errorf("%s: %v", payload, err)
	}
	got := r.line.take()
	if len(got) != 1 || plain(got[0]) != want {
		r.t.Errorf("%v %s\n got %s\nwant %s", k, payload, got, want)
	}
}

func TestConversation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		dev := r.device.Identity
		up := topic.ShadowUpstream
		r.want(topic.ShadowGet, `x`, `{"State":{"Reported":{},"Desired":{}},"Metadata":{"Reported":{},"Desired":{}},"Timestamp":0,"Version":0}`)
		r.want(up, `{"Method":"update","State":{"Reported":{"a":1}},"version":0}`, `{"Method":"reply","Payload":{"RetCode":0},"Version":1,"Timestamp":T}`)
		r.want(up, `{"Method":"update","State":{"Reported":{"a":2}},"Version":0}`,
			`{"Method":"control","Payload":{"RetCode":100026,"State":{"Reported":{"a":1},"Desired":{}},"Metadata":{"Reported":{"a":{"Timestamp":T}},"Desired":{}}},"Version":1,"Timestamp":T}`)
		for _, bad := range []string{`{"Method":"upgrade","Version":1}`, `not json`, `[]`, `{"Method":"update","State":{"Desired":{"a":1}},"Version":1}`} {
			r.want(up, bad, `{"Method":"reply","Payload":{"RetCode":230},"Version":1,"Timestamp":T}`)
		}
		doc, err := r.shadows.Desire(ctx, dev, Wish{Desired: []byte(`{"b":2,"c":3}`)})
		if err != nil || doc.Version != 2 || doc.Revision != 2 {
			t.Fatalf("Desire = %+v, %v", doc, err)
		}
		if got, want := fmt.Sprint(r.told.take()), `[{"Method":"control","Payload":{"RetCode":0,"State":{"Desired":{"b":2,"c":3}},"Metadata":{"Desired":{"b":{"Timestamp":T},"c":{"Timestamp":T}}}},"Version":2,"Timestamp":T}]`; plain(got) != want {
			t.Errorf("told\n got %s\nwant %s", got, want)
		}
		stale := int64(1)
		if _, err := r.shadows.Desire(ctx, dev, Wish{Desired: []byte(`{"b":9}`), IfRevision: &stale}); !errors.Is(err, ErrRevision) {
			t.Errorf("If-Match of an old revision: %v, want ErrRevision", err)
		}
		if doc, err = r.shadows.Desire(ctx, dev, Wish{Desired: []byte(`{"c":null}`), IfRevision: &doc.Revision}); err != nil || doc.Version != 3 {
			t.Errorf("If-Match: %v, %v", doc, err)
		}
		r.want(up, `{"Method":"update","State":{"Desired":null},"Version":3}`, `{"Method":"reply","Payload":{"RetCode":0},"Version":4,"Timestamp":T}`)
		r.want(topic.ShadowGet, ``, `{"State":{"Reported":{"a":1,"b":2},"Desired":{}},"Metadata":{"Reported":{"a":{"Timestamp":T},"b":{"Timestamp":T}},"Desired":{}},"Timestamp":T,"Version":4}`)
		if doc, err = r.shadows.Get(ctx, dev); err != nil || doc.Version != 4 || doc.Revision != 4 {
			t.Errorf("Get = %+v, %v", doc, err)
		}
		if got := r.rules.take(); len(got) != 4 || !strings.HasPrefix(got[1], `{"State":{"Reported":{"a":1},"Desired":{"b":2,"c":3}}`) {
			t.Errorf("rules saw %d documents: %s", len(got), got)
		}
		if err := r.shadows.Delete(ctx, dev, nil, By{}); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if doc, err = r.shadows.Get(ctx, dev); err != nil || doc.Version != 0 || doc.Revision != 5 {
			t.Errorf("after Delete: %+v, %v", doc, err)
		}
	})
}

func TestSwitchedOff(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	off := false
	if _, err := r.shadows.Registry.UpdateProduct(t.Context(), r.product.SN, registry.ProductUpdate{Shadow: &off}); err != nil {
		t.Fatal(err)
	}
	r.want(topic.ShadowUpstream, `{"Method":"update","State":{"Reported":{"a":1}}}`, `{"Method":"reply","Payload":{"RetCode":100027},"Version":0,"Timestamp":T}`)
	r.want(topic.ShadowGet, ``, `{"Method":"reply","Payload":{"RetCode":100027},"Version":0,"Timestamp":T}`)
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, Wish{Desired: []byte(`{"a":1}`)}); !errors.Is(err, ErrDisabled) {
		t.Errorf("Desire: %v, want ErrDisabled", err)
	}
	if _, err := r.shadows.Get(t.Context(), r.device.Identity); !errors.Is(err, ErrDisabled) {
		t.Errorf("Get: %v, want ErrDisabled", err)
	}
}

// TestProductMerges: a product's switch makes devices' updates and applications' wishes merge nested objects; a request that
// says so itself still replaces them.
func TestProductMerges(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	ctx, up, dev := t.Context(), topic.ShadowUpstream, r.device.Identity
	update := func(body string) {
		t.Helper()
		r.want(up, `{"Method":"update",`+body+`}`, fmt.Sprintf(`{"Method":"reply","Payload":{"RetCode":0},"Version":%d,"Timestamp":T}`, r.version()+1))
	}
	reported := func(want string) {
		t.Helper()
		doc, err := r.shadows.Get(ctx, dev)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := doc.Reported("a"); got != want {
			t.Errorf("reported %s, want %s", got, want)
		}
	}
	update(`"State":{"Reported":{"a":{"x":1,"y":2}}}`)
	update(`"State":{"Reported":{"a":{"y":3}}}`)
	reported(`{"y":3}`)
	on := true
	if _, err := r.shadows.Registry.UpdateProduct(ctx, r.product.SN, registry.ProductUpdate{Settings: &registry.Settings{ShadowMerge: &on}}); err != nil {
		t.Fatal(err)
	}
	update(`"State":{"Reported":{"a":{"x":1}}}`)
	reported(`{"x":1,"y":3}`)
	update(`"State":{"Reported":{"a":{"y":null}}}`)
	reported(`{"x":1}`)
	update(`"Merge":false,"State":{"Reported":{"a":{"z":9}}}`)
	reported(`{"z":9}`)
	for _, wish := range []string{`{"b":{"x":1,"y":2}}`, `{"b":{"y":null,"z":3}}`} {
		if _, err := r.shadows.Desire(ctx, dev, Wish{Desired: []byte(wish)}); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := r.shadows.Get(ctx, dev)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := doc.Desired("b"); got != `{"x":1,"z":3}` {
		t.Errorf("desired %s", got)
	}
}

// version is the shadow's present one.
func (r *rig) version() int32 {
	r.t.Helper()
	doc, err := r.shadows.Get(r.t.Context(), r.device.Identity)
	if err != nil {
		r.t.Fatal(err)
	}
	return doc.Version
}

func TestDesireInvalid(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	for _, body := range []string{``, `{`, `[]`, `7`} {
		_, err := r.shadows.Desire(t.Context(), r.device.Identity, Wish{Desired: []byte(body)})
		if _, ok := errors.AsType[*ErrInvalid](err); !ok {
			t.Errorf("Desire(%q): %v, want *ErrInvalid", body, err)
		}
	}
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, Wish{Desired: []byte(`{"a":"` + strings.Repeat("x", 40_000) + `"}`)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a huge value: %v, want ErrTooLarge", err)
	}
	if _, err := r.shadows.Desire(t.Context(), ident.Device{Product: r.product.SN, SN: "nobody"}, Wish{Desired: []byte(`{}`)}); !errors.Is(err, registry.ErrDeviceNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

// TestCrowd has a device pipeline updates while applications of two nodes desire: every change must be in the document, each
// request answered once and in order.
func TestCrowd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		second := New(r.shadows.Deps)
		const n, wishes = 100, 20
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				wg.Add(1)
				r.path.Take(ctx, r.message(topic.ShadowUpstream, fmt.Sprintf(`{"Method":"update","State":{"Reported":{"k%d":%d}}}`, i, i)),
					uplink.AckFunc(func(err error) {
						defer wg.Done()
						if err != nil {
							t.Errorf("update %d: %v", i, err)
						}
					}))
			}
		})
		for node, s := range []*Shadows{r.shadows, second} {
			// Applications that never pause could keep a device from its turn for longer than it is tried.
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			wg.Go(func() {
				for i := range wishes {
					<-pace.C
					for {
						_, err := s.Desire(ctx, r.device.Identity, Wish{Desired: fmt.Appendf(nil, `{"w%d_%d":%d}`, node, i, i)})
						if err == nil {
							break
						}
						if !errors.Is(err, ErrBusy) {
							t.Errorf("wish %d: %v", i, err)
							break
						}
					}
				}
			})
		}
		wg.Wait()
		doc, err := r.shadows.Get(ctx, r.device.Identity)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if v, _ := doc.Reported(fmt.Sprintf("k%d", i)); v != fmt.Sprint(i) {
				t.Errorf("k%d = %q", i, v)
			}
		}
		for node := range 2 {
			for i := range wishes {
				if v, _ := doc.Desired(fmt.Sprintf("w%d_%d", node, i)); v != fmt.Sprint(i) {
					t.Errorf("w%d_%d = %q", node, i, v)
				}
			}
		}
		if want := int64(n + 2*wishes); doc.Revision != want {
			t.Errorf("revision %d, want %d", doc.Revision, want)
		}
		answers := r.line.take()
		last := 0
		for _, a := range answers {
			var code, version int
			if _, err := fmt.Sscanf(a, `{"Method":"reply","Payload":{"RetCode":%d},"Version":%d,`, &code, &version); err != nil || code != 0 || version <= last {
				t.Errorf("answer %s after version %d: %v", a, last, err)
			}
			last = version
		}
		if len(answers) != n {
			t.Errorf("%d answers, want %d", len(answers), n)
		}
	})
}

func TestSmallBuffer(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	body := `{"a":"` + strings.Repeat("x", 1200) + `","b":"` + strings.Repeat("y", 1200) + `","c":1}`
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, Wish{Desired: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	told := r.told.take()
	if len(told) < 2 {
		t.Fatalf("%d control messages, want it split", len(told))
	}
	for _, m := range told {
		if len(m) > 2048 {
			t.Errorf("a control message of %d bytes", len(m))
		}
	}
	r.told.buffer = 8192
	if _, err := r.shadows.Desire(t.Context(), r.device.Identity, Wish{Desired: []byte(`{"c":2}`)}); err != nil {
		t.Fatal(err)
	}
	if told = r.told.take(); len(told) != 1 {
		t.Errorf("%d control messages for a large buffer, want 1", len(told))
	}
}

func BenchmarkUpdate(b *testing.B) {
	r := newRig(b, storetest.SQLite(b))
	s := r.shadows
	m := r.message(topic.ShadowUpstream, `{"Method":"update","State":{"Reported":{"temperature":21.5,"humidity":55,"on":true,"mode":"auto"}}}`)
	m.At = time.Now()
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if err := s.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		s.turns.give(m.DeviceID)
	}
}
