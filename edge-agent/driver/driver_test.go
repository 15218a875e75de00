package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/edge-agent/driver"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var probe = ident.Device{Product: "abcdefghij012345", SN: "probe-1"}

// door lets all in, and holds acknowledgements back while held is set.
type door struct {
	mu    sync.Mutex
	port  gateway.Port
	comes int
	sent  []string
	held  bool
	acks  []func(error)
	found []ident.Device
}

func (d *door) Attach(_ ident.Device, p gateway.Port) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port = p
	d.comes++
	return nil
}

func (d *door) Found(id ident.Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = append(d.found, id)
}

func (d *door) Detach(_ ident.Device, p gateway.Port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.port == p {
		d.port = nil
	}
}

func (d *door) Submit(name string, payload []byte, _ byte, done func(error)) {
	d.mu.Lock()
	t, _ := topic.Parse(name)
	d.sent = append(d.sent, t.Tail+" "+string(payload))
	if d.held {
		d.acks = append(d.acks, done)
		done = nil
	}
	d.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

func (d *door) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		d.mu.Lock()
		ok := cond()
		d.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d logins, %.2000v", what, d.comes, d.sent)
		}
		time.Sleep(time.Millisecond)
	}
}

func (d *door) hears(t *testing.T, text string) {
	t.Helper()
	d.until(t, text, func() bool { return strings.Contains(strings.Join(d.sent, "\n"), text) })
}

// run keeps a shell script running as a driver. $1 of read lines is in the variable line.
func run(t *testing.T, cfg driver.Config, script string) (*driver.Driver, *door, func()) {
	t.Helper()
	d := &door{}
	cfg.Name, cfg.Devices = "test", []ident.Device{probe}
	if script != "" {
		cfg.Command = []string{"/bin/sh", "-c", prelude + script}
	}
	cfg.RestartMin, cfg.RestartMax = 10*time.Millisecond, 50*time.Millisecond
	dr, err := driver.New(cfg, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dr.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return dr, d, stop
}

const prelude = `
echo '{"type":"hello","version":1,"name":"sh"}'
read -r line
attach() { echo '{"type":"attach","product":"abcdefghij012345","device":"probe-1"}'; read -r line; }
publish() { echo '{"type":"publish","id":'$1',"topic":"/abcdefghij012345/probe-1/upload","text":"'"$2"'"}'; }
idle() { while read -r line; do case "$line" in *'"stop"'*) exit 0;; esac; done; exit 0; }
`

func TestDriverTalks(t *testing.T) {
	// Without pings, of which the script would take one for an answer.
	_, d, stop := run(t, driver.Config{Settings: json.RawMessage(`{"interval":5}`), Env: []string{"X=env"}, Silence: time.Hour},
		`echo '{"type":"found","product":"abcdefghij012345","device":"probe-2"}'
publish 1 early; read -r line; publish_line=$line
attach
publish 2 "$X"; read -r line
case "$line" in '{"type":"ack","id":2}') publish 3 acknowledged;; esac; read -r line
echo '{"type":"publish","id":4,"topic":"/abcdefghij012345/probe-1/upload","payload":{"a":1}}'; read -r line
case "$publish_line" in '{"type":"nack","id":1,'*) publish 5 refused;; esac; read -r line
while read -r line; do case "$line" in *stop*) publish 7 last; exit 0;; *'"message"'*) publish 6 "$(echo "$line" | tr -d '"')"; esac; done`)
	d.hears(t, "upload env")
	d.hears(t, "upload acknowledged")
	d.hears(t, `upload {"a":1}`)
	d.hears(t, "upload refused")
	d.until(t, "found", func() bool { return len(d.found) == 1 && d.found[0].SN == "probe-2" })
	d.mu.Lock()
	p := d.port
	d.mu.Unlock()
	if err := p.Deliver(topic.Name(probe, "set"), []byte("down"), 1); err != nil {
		t.Fatal(err)
	}
	d.hears(t, "text:down")
	stop()
	if d.port != nil {
		t.Error("attached after its end")
	}
	if strings.Contains(strings.Join(d.sent, "\n"), "early") {
		t.Error("a message was taken before its device was attached")
	}
}

// TestRefusalsAreAnswered: a driver that does not read for a while gets the answer to each message that was refused meanwhile.
func TestRefusalsAreAnswered(t *testing.T) {
	dr, d, _ := run(t, driver.Config{Rate: 100_000, Silence: time.Hour}, `(i=0; while [ $i -lt 4000 ]; do i=$((i+1)); publish $i x; done) &
sleep 0.5
n=0
while [ $n -lt 4000 ] && read -r line; do case "$line" in *nack*) n=$((n+1));; esac; done
wait
attach
publish 1 all
idle`)
	d.hears(t, "upload all")
	if s := dr.Stats(); s.Starts != 1 {
		t.Errorf("started %d times", s.Starts)
	}
}

// TestStartedAnew: however a driver fails, it is started again, and its devices are out meanwhile.
func TestStartedAnew(t *testing.T) {
	for name, script := range map[string]string{
		"ends":       "attach; exit 0",
		"fails":      "attach; exit 3",
		"is killed":  "attach; kill -9 $$",
		"hangs":      "attach; trap '' TERM; while :; do sleep 1; done",
		"babbles":    "attach; while echo nonsense; do :; done",
		"long lines": "attach; yes | tr -d '\\n'",
		"child":      "attach; sleep 1000 & exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dr, d, stop := run(t, driver.Config{Silence: time.Second, Stop: 100 * time.Millisecond}, script)
			d.until(t, "comes again", func() bool { return d.comes >= 2 })
			if s := dr.Stats(); s.Starts < 2 {
				t.Errorf("%+v", s)
			}
			stop()
			if d.port != nil {
				t.Error("attached after its end")
			}
		})
	}
	t.Run("no hello", func(t *testing.T) {
		dr, d, _ := run(t, driver.Config{Command: []string{"/bin/sh", "-c", "echo '{\"type\":\"attach\"}'; cat"}}, "")
		deadline := time.Now().Add(time.Minute)
		for dr.Stats().Starts < 3 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if dr.Stats().Starts < 3 || d.comes > 0 {
			t.Errorf("%+v, %d", dr.Stats(), d.comes)
		}
	})
	t.Run("no program", func(t *testing.T) {
		dr, _, _ := run(t, driver.Config{Command: []string{"/nonexistent"}}, "")
		deadline := time.Now().Add(time.Minute)
		for dr.Stats().Starts < 3 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if s := dr.Stats(); s.Starts < 3 || s.Running {
			t.Errorf("%+v", s)
		}
	})
}

// TestFloodIsBounded: a driver that sends without waiting is read no further than its window while nothing is durable, and no faster than its rate.
func TestFloodIsBounded(t *testing.T) {
	_, d, _ := run(t, driver.Config{Rate: 1000, Stop: 100 * time.Millisecond}, "attach; i=0; while i=$((i+1)); do publish $i x; done")
	d.mu.Lock()
	d.held = true
	d.mu.Unlock()
	d.until(t, "the window is full", func() bool { return len(d.acks) == 64 })
	time.Sleep(50 * time.Millisecond)
	d.mu.Lock()
	if len(d.acks) != 64 {
		t.Errorf("%d on their way", len(d.acks))
	}
	d.held = false
	for _, done := range d.acks {
		done(nil)
	}
	n, began := len(d.sent), time.Now()
	d.mu.Unlock()
	d.until(t, "goes on", func() bool { return len(d.sent) > n+1200 })
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("1200 messages in %s at 1000/s", took)
	}
}

// TestNoAnswerIsLost: a driver that reads late gets the answer to each of its messages, though more wait than the pipe and the queue hold.
func TestNoAnswerIsLost(t *testing.T) {
	_, d, _ := run(t, driver.Config{Rate: 1_000_000}, `attach
( i=0; while [ $i -lt 5000 ]; do i=$((i+1)); publish $i x; done ) &
sleep 1; n=0
while [ $n -lt 5000 ] && read -r line; do case "$line" in *'"ack"'*) n=$((n+1));; *'"ping","id":'*) id=${line##*:}; echo '{"type":"pong","id":'"${id}";; esac; done
publish 5001 all; idle`)
	d.hears(t, "upload all")
}

func TestMemoryIsBounded(t *testing.T) {
	_, d, _ := run(t, driver.Config{Memory: 64 << 20}, `attach; publish 1 "$(ulimit -v)"; idle`)
	d.hears(t, "upload 65536")
}

func TestCheck(t *testing.T) {
	example := []string{"/usr/bin/python3", "../../docs/driver-example.py"}
	for _, tt := range []struct {
		name    string
		command []string
		fails   string // the rule
	}{
		{"example", example, ""},
		{"sh", []string{"/bin/sh", "-c", prelude + `echo '{"type":"attach","product":"checkcheckcheck0","device":"check-1"}'; read -r line
echo '{"type":"publish","id":1,"topic":"/checkcheckcheck0/check-1/upload","text":"x"}'
while read -r line; do case "$line" in *'"stop"'*) exit 0;; *'"ping"'*) echo '{"type":"pong","id":4711}';; esac; done`}, ""},
		{"silent", []string{"/bin/sh", "-c", "exit 0"}, "first line is hello"},
		{"deaf", []string{"/bin/sh", "-c", prelude + "exit 0"}, "attaches a device"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := driver.Check(t.Context(), tt.command, []byte(`{"interval":0.05}`), time.Minute, &out)
			if (err == nil) != (tt.fails == "") || tt.fails != "" && !strings.Contains(out.String(), "FAIL  it") || !strings.Contains(out.String(), tt.fails) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, cfg := range []driver.Config{{}, {Name: "a b", Command: []string{"x"}}, {Name: "a"}, {Name: "a", Command: []string{"x"}, Settings: []byte("{")}} {
		if _, err := driver.New(cfg, &door{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{`{"type":"hello","version":1}`, `{"type":"publish","id":1,"topic":"/p/d/x","payload":{"a":[1]}}`, `{"type":"publish","base64":"AA=="}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := driver.ParseLine(b)
		if err != nil {
			return
		}
		again, err := driver.ParseLine(bytes.TrimSuffix(l.Append(nil), []byte("\n")))
		if err != nil || fmt.Sprint(again.Type, again.ID, again.Topic) != fmt.Sprint(l.Type, l.ID, l.Topic) {
			t.Fatalf("%q: %v", b, err)
		}
		if bytes.Count(l.Append(nil), []byte("\n")) != 1 {
			t.Fatalf("%q became several lines", b)
		}
	})
}
