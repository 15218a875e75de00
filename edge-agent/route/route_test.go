package route_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/edge-agent/route"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	own   = ident.Device{Product: "gggggggggggggggg", SN: "gateway-1"}
	meter = ident.Device{Product: "mmmmmmmmmmmmmmmm", SN: "meter-1"}
)

// ends stand on both sides of the router and write down what comes; refuse is what the way up says.
type ends struct {
	mu     sync.Mutex
	log    []string
	refuse error
	deaf   error         // what sub-devices say
	hold   []func(error) // set: the way up keeps its answers back
	holds  bool
}

func (e *ends) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, fmt.Sprintf(format, args...))
}

func (e *ends) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := strings.Join(e.log, "; ")
	e.log = nil
	return s
}

func (e *ends) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	e.note("up %s %s", name, payload)
	if e.holds {
		e.hold = append(e.hold, done)
		return
	}
	done(e.refuse)
}
func (e *ends) ForwardTo(stream string, d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	if stream != "" {
		e.note("into %s", stream)
	}
	e.Forward(d, name, payload, qos, done)
}
func (e *ends) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	e.note("down %s %s", name, payload)
	return e.deaf
}
func (e *ends) Publish(name string, payload []byte, qos byte) { e.note("local %s %s", name, payload) }
func (e *ends) Notice(topic.Kind, []message.Subdev)           {}
func (e *ends) Carries(ident.Device) bool                     { return true }
func (e *ends) Attached(ident.Device)                         {}
func (e *ends) Detached(ident.Device)                         {}
func (e *ends) Wanted(ident.Device, []server.Subscription)    {}
func (e *ends) Found(ident.Device)                            {}
func (e *ends) Admitted(ident.Device, credential.Secret)      {}

// router is one with the routes of a file, between ends.
func router(t *testing.T, text string) (*route.Router, *ends, string) {
	t.Helper()
	e := &ends{}
	shadow := func(ident.Device) ([]byte, bool) { return []byte(`{"State":{"Desired":{"limit":50}}}`), true }
	r := route.New(route.Config{Own: own, Streams: []string{"messages", "alarms"}}, e, shadow, slog.New(slog.DiscardHandler))
	r.Serve(e)
	path := filepath.Join(t.TempDir(), "routes.yaml")
	write(t, path, text)
	if err := r.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	return r, e, path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const example = `
routes:
  - name: hot
    sql: SELECT t AS temp, deviceSN() AS sn FROM '/mmmmmmmmmmmmmmmm/+/upload' WHERE t > 30
    to:
      - cloud: /gggggggggggggggg/gateway-1/alarm
      - subdevice: /${product}/${device}/set
        qos: 0
      - local: local/alarms/${device}
  - name: fire
    sql: SELECT fire FROM '/mmmmmmmmmmmmmmmm/+/smoke' WHERE fire = 1
    to: [{cloud: '/${product}/${device}/alarm', stream: alarms}]
  - name: drop
    sql: |
      SELECT * FROM '/mmmmmmmmmmmmmmmm/+/upload'
      WHERE t < 0
    consume: true
  - name: over
    sql: SELECT t FROM '/mmmmmmmmmmmmmmmm/+/shadowed' WHERE t > get_shadow('State.Desired.limit')
    consume: true
    to: [{local: local/over}]
  - name: control
    from: cloud
    sql: SELECT * FROM '/mmmmmmmmmmmmmmmm/+/set' WHERE local = 1
    to: [{local: local/set}]
    consume: true
  - name: button
    from: local
    sql: SELECT on FROM 'local/button/#'
    to: [{subdevice: /mmmmmmmmmmmmmmmm/lamp-1/set}, {local: local/loop}]
  - name: loop
    from: local
    sql: SELECT * FROM 'local/loop'
    to: [{local: local/loop}]
timers: [{name: tick, every: 10s, payload: '{"n":1}'}, {name: noon, cron: 0 12 * * *}]
`

func TestRoutes(t *testing.T) {
	r, e, _ := router(t, example)
	up := func(name, payload string) string {
		t.Helper()
		ended := false
		r.Forward(meter, topic.Name(meter, name), []byte(payload), 1, func(err error) { ended = err == nil })
		if !ended {
			t.Errorf("%s %s: not acknowledged", name, payload)
		}
		return e.take()
	}
	const p = "/mmmmmmmmmmmmmmmm/meter-1/"
	for _, tt := range []struct{ name, payload, want string }{
		{"upload", `{"t":20}`, "up " + p + `upload {"t":20}`},
		{"smoke", `{"fire":1}`, "into alarms; up " + p + `alarm {"fire":1}; up ` + p + `smoke {"fire":1}`},
		{"upload", `{"t":31}`, `up /gggggggggggggggg/gateway-1/alarm {"temp":31,"sn":"meter-1"}; down ` + p + `set {"temp":31,"sn":"meter-1"}; local local/alarms/meter-1 {"temp":31,"sn":"meter-1"}; up ` + p + `upload {"t":31}`},
		{"upload", `{"t":-1}`, ""},
		{"upload", "no JSON", "up " + p + "upload no JSON"},
		{"shadowed", `{"t":51}`, `local local/over {"t":51}`},
		{"shadowed", `{"t":50}`, "up " + p + `shadowed {"t":50}`},
	} {
		if got := up(tt.name, tt.payload); got != tt.want {
			t.Errorf("%s %s:\n got %s\nwant %s", tt.name, tt.payload, got, tt.want)
		}
	}
	if err := r.Deliver(meter, topic.Name(meter, "set"), []byte(`{"local":1}`), 1); err != nil || e.take() != `local local/set {"local":1}` {
		t.Errorf("consumed of the cloud: %v", err)
	}
	if err := r.Deliver(meter, topic.Name(meter, "set"), []byte(`{"local":0}`), 1); err != nil || e.take() != "down "+p+`set {"local":0}` {
		t.Errorf("of the cloud: %v", err)
	}
	r.Local("local/button/1", []byte(`{"on":true}`), 1, func(error) {})
	got := e.take()
	if !strings.HasPrefix(got, `down /mmmmmmmmmmmmmmmm/lamp-1/set {"on":true}`) || strings.Count(got, "local/loop") != route.MaxHops {
		t.Errorf("of an application: %s", got)
	}
	stats, overrun := r.Stats()
	if want := (route.Stats{Name: "hot", Matched: 1, Sent: 3}); stats[0] != want || overrun != 1 {
		t.Errorf("counters %+v, %d", stats, overrun)
	}
}

// TestCounters: a result for the hub waits until the buffer has it, and what nobody takes is counted whoever it was for.
func TestCounters(t *testing.T) {
	r, e, _ := router(t, `routes: [{name: a, sql: "SELECT t, t % 2 AS i FROM '/+/+/upload'", to: [{cloud: /gggggggggggggggg/gateway-1/x}, {subdevice: '/${product}/${device}/set'}]}]`)
	want := func(w route.Stats) {
		t.Helper()
		w.Name = "a"
		if got, _ := r.Stats(); got[0] != w {
			t.Errorf("counters %+v, want %+v", got[0], w)
		}
	}
	ignore := func(error) {}
	e.holds = true
	r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":1}`), 1, ignore)
	want(route.Stats{Matched: 1, Sent: 1, Waiting: 1})
	e.hold[0](nil)
	want(route.Stats{Matched: 1, Sent: 2})
	e.holds, e.refuse, e.deaf = false, errors.New("full"), server.ErrNotSubscribed
	r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":2}`), 1, ignore)
	want(route.Stats{Matched: 2, Sent: 2, Undelivered: 2})
	r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":"no number"}`), 1, ignore)
	want(route.Stats{Matched: 2, Sent: 2, Undelivered: 2, Failed: 1})
}

// TestAcknowledgedWhenAllIsDurable: a message waits for what a route sends up because of it, and fails with it.
func TestAcknowledgedWhenAllIsDurable(t *testing.T) {
	r, e, _ := router(t, "routes: [{name: a, sql: SELECT t FROM '/+/+/upload', to: [{cloud: /gggggggggggggggg/gateway-1/x}]}]")
	e.holds = true
	var got []error
	r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":1}`), 1, func(err error) { got = append(got, err) })
	if len(e.hold) != 2 {
		t.Fatalf("%d messages went up", len(e.hold))
	}
	e.hold[1](nil)
	if len(got) != 0 {
		t.Fatal("acknowledged before all was durable")
	}
	full := errors.New("full")
	e.hold[0](full)
	if len(got) != 1 || !errors.Is(got[0], full) {
		t.Errorf("got %v", got)
	}
}

func TestReload(t *testing.T) {
	r, e, path := router(t, "routes: [{name: a, sql: SELECT t FROM '/+/+/upload', consume: true}]")
	send := func() string {
		r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":1}`), 1, func(error) {})
		return e.take()
	}
	write(t, path, "routes: [{name: a, sql: SELECT t FRUM x}]")
	if err := r.LoadFile(path); err == nil || send() != "" {
		t.Errorf("a wrong file: %v, and the last good one is gone", err)
	}
	write(t, path, "")
	if err := r.LoadFile(path); err != nil || send() == "" {
		t.Errorf("an empty file: %v", err)
	}
	if err := r.LoadFile(path + "x"); err == nil {
		t.Error("an absent file was taken")
	}
}

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, e, _ := router(t, "timers: [{name: tick, every: 10s, payload: '{\"n\":1}'}, {name: hourly, cron: 0 * * * *}]\n"+
			"routes: [{name: a, from: local, sql: \"SELECT * FROM 'local/timer/tick'\", to: [{cloud: /gggggggggggggggg/gateway-1/x}]}]")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if got := strings.Count(e.take(), `up /gggggggggggggggg/gateway-1/x {"n":1}`); got != 3 {
			t.Errorf("%d in 35 s", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := strings.Count(e.take(), `local local/timer/hourly {"Time":`); got != 2 {
			t.Errorf("%d in 2 h", got)
		}
		r.Replace(&route.Table{})
		synctest.Wait()
		time.Sleep(time.Hour)
		if got := e.take(); got != "" {
			t.Errorf("timers that were taken out: %s", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestFaults: what is wrong in a file is told with its place.
func TestFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "routes:\n  - name: a\n    sqll: x\n", `line 3, column 5: unknown key "sqll"; known are name, from, sql, to, consume`},
		{"no name", "routes:\n  - sql: x\n", "line 2, column 5: name is missing"},
		{"bad source", "routes: [{name: a, from: moon, sql: x}]", `line 1, column 26: from: "moon"`},
		{"plain sql", "routes: [{name: a, sql: SELECT t FRUM x}]", "line 1, column 34: sql: "},
		{"quoted sql", "routes: [{name: a, sql: 'SELECT t FRUM x'}]", "line 1, column 35: sql: "},
		{"sql of lines", "routes:\n  - name: a\n    sql: |\n      SELECT t\n        FROM 'x' WHERE (\n", "line 6"},
		{"unknown function", "routes:\n  - name: a\n    sql: |\n      SELECT t,\n        nonsense(t) FROM 'x'\n    consume: true\n", "line 5, column 9: sql: "},
		{"no effect", "routes: [{name: a, sql: \"SELECT * FROM 'x'\"}]", "line 1, column 10: route a has no effect"},
		{"twice", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", consume: true}, {name: a, sql: \"SELECT * FROM 'x'\", consume: true}]", "route a is there twice"},
		{"two targets in one", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{local: local/x, cloud: y}]}]", "want one of cloud, subdevice, local"},
		{"not local", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{local: x}]}]", "column 59: x: want a topic that begins with local/"},
		{"cannot publish", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{cloud: /$system/mmmmmmmmmmmmmmmm/meter-1/tmodel/property/set}]}]", "a device does not publish tmodel/property/set"},
		{"bad qos", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{local: local/x, qos: 2}]}]", "qos: want 0 or 1"},
		{"no such stream", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{cloud: /p/d/x, stream: alarms}]}]", "column 75: stream: \"alarms\" is none of the buffer's: messages"},
		{"stream of what stays", "routes: [{name: a, sql: \"SELECT * FROM 'x'\", to: [{local: local/x, stream: messages}]}]", "stream: only what goes to the cloud has one"},
		{"timer without time", "timers: [{name: a}]", "line 1, column 10: want one of every, cron"},
		{"timer too fast", "timers: [{name: a, every: 1ms}]", "every: want a duration"},
		{"bad cron", "timers: [{name: a, cron: 1 2 3}]", "cron: "},
		{"no list", "routes: x", "line 1, column 9: want a list"},
		{"no YAML", "routes: [", "line 1, column 10: the end of the file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := route.Parse([]byte(tt.text), route.Config{Own: own, Streams: []string{"messages"}}, true); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := route.Parse(b, route.Config{Own: own}, true)
		if err != nil {
			return
		}
		e := &ends{}
		r := route.New(route.Config{Own: own}, e, nil, slog.New(slog.DiscardHandler))
		r.Serve(e)
		r.Replace(table)
		r.Forward(meter, topic.Name(meter, "upload"), []byte(`{"t":31}`), 1, func(error) {})
	})
}
