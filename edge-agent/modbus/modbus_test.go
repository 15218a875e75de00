package modbus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/port"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var plc = ident.Device{Product: "abcdefghij012345", SN: "plc-1"}

// door lets all in and writes down what comes.
type door struct {
	mu     sync.Mutex
	port   gateway.Port
	comes  int
	sent   []string // topic below the device, blank, payload
	values map[string]string
	refuse error
	fails  int // that were refused
}

func (d *door) Attach(_ ident.Device, p gateway.Port) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port = p
	d.comes++
	return nil
}

func (d *door) Detach(ident.Device, gateway.Port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port = nil
}

func (d *door) Submit(name string, payload []byte, _ byte, done func(error)) {
	d.mu.Lock()
	err := d.refuse
	if err == nil {
		t, _ := topic.Parse(name)
		d.sent = append(d.sent, t.Kind.String()+" "+string(payload))
		var m post
		if t.Kind == topic.PropertyPost && json.Unmarshal(payload, &m) == nil {
			for k, v := range m.Property {
				d.values[k] = string(v.Value)
			}
		}
	} else {
		d.fails++
	}
	d.mu.Unlock()
	done(err)
}

func (d *door) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		d.mu.Lock()
		ok := cond()
		d.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v", what, d.values, d.sent)
		}
		time.Sleep(time.Millisecond)
	}
}

// is waits for a property's value.
func (d *door) is(t *testing.T, name, want string) {
	t.Helper()
	d.until(t, name+" is "+want, func() bool { return d.values[name] == want })
}

// hears waits for a message that holds the text.
func (d *door) hears(t *testing.T, text string) {
	t.Helper()
	d.until(t, text, func() bool { return strings.Contains(strings.Join(d.sent, "\n"), text) })
}

func (d *door) tell(t *testing.T, k topic.Kind, payload string) {
	t.Helper()
	var p gateway.Port
	d.until(t, "the device is in", func() bool { p = d.port; return p != nil })
	if err := p.Deliver(topic.System(plc, k), []byte(payload), 1); err != nil {
		t.Fatal(err)
	}
}

// master runs one of the configuration and returns its door and what ends it.
func master(t *testing.T, text string) (*door, func()) {
	t.Helper()
	var cfg Config
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&cfg); err != nil {
		t.Fatal(err)
	}
	d := &door{values: make(map[string]string)}
	m, err := New([]Config{cfg}, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

// peer starts pymodbus, and returns when it is about to serve.
func peer(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"testdata/server.py"}, args...)...)
	var out bytes.Buffer
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("%v; install it with make install-test-deps", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pymodbus: %s", out.String())
		}
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Fatalf("pymodbus says %q: %v; install it with make install-test-deps", line, err)
	}
}

// TestPeer: against pymodbus, over TCP and over a serial line, all tables are read and what can be written is.
func TestPeer(t *testing.T) {
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(addr, ":")
	a, b := line(t)
	for _, tt := range []struct {
		url  string
		args []string
	}{{"tcp://" + addr, []string{"tcp", number}}, {"rtu://" + a, []string{"rtu", b}}} {
		t.Run(tt.args[0], func(t *testing.T) {
			peer(t, tt.args...)
			d, _ := master(t, `
url: `+tt.url+`
baud: 115200
timeout: 5s
devices:
  - {product: `+plc.Product+`, device: `+plc.SN+`, unit: 7, every: 50ms, points: [
      {name: a, address: 10, write: true}, {name: b, address: 12, scale: 0.1, offset: -40}, {name: big, address: 20, type: uint32},
      {name: f, address: 30, type: float32, write: true}, {name: in, table: input, address: 5},
      {name: on, table: coil, address: 4, write: true}, {name: off, table: discrete, address: 4}, {name: bit, address: 1, type: bool, bit: 3, write: true}],
     commands: [{name: zero, set: {a: 0}}, {name: to, set: {a: value}}]}
`)
			d.is(t, "a", "1010")
			d.is(t, "b", "61.2")
			d.is(t, "big", fmt.Sprint(1020<<16|1021))
			d.is(t, "in", "2005")
			d.is(t, "on", "0")
			d.is(t, "off", "0")
			d.is(t, "bit", "1")
			d.tell(t, topic.PropertySet, `{"RequestID":"1","Property":{"a":4711,"f":1.5,"on":1,"bit":0}}`)
			d.hears(t, `tmodel/property/set_reply {"RequestID":"1","RetCode":0,`)
			d.is(t, "a", "4711")
			d.is(t, "f", "1.5")
			d.is(t, "on", "1")
			d.is(t, "bit", "0")
			d.tell(t, topic.Command, `{"RequestID":"2","Identifier":"to","Input":{"value":77}}`)
			d.hears(t, `tmodel/command_reply {"RequestID":"2","RetCode":0,"Identifier":"to","Output":{}}`)
			d.is(t, "a", "77")
			d.tell(t, topic.Command, `{"RequestID":"3","Identifier":"zero","Input":{}}`)
			d.is(t, "a", "0")
			d.tell(t, topic.DesiredGetReply, `{"RetCode":0,"RequestID":"9","Desired":{"a":{"Value":5,"Version":3},"in":{"Value":1,"Version":1}}}`)
			d.hears(t, `"Delete":{"a":{"Version":3}}`)
			d.is(t, "a", "5")
			d.tell(t, topic.ShadowDownstream, `{"Method":"control","Payload":{"RetCode":0,"State":{"Desired":{"a":6}}},"Version":1}`)
			d.hears(t, `shadow/upstream {"Method":"update","State":{"Reported":{"a":6},"Desired":{"a":null}}}`)
			d.is(t, "a", "6")
		})
	}
}

func TestRefusedWhole(t *testing.T) {
	s := serve(t)
	d, _ := master(t, s.config(`{name: a, address: 0, write: true}, {name: ro, address: 1}`))
	d.is(t, "a", "0")
	for body, want := range map[string]string{
		`{"RequestID":"1","Property":{"a":1,"ro":1}}`:   `{"RequestID":"1","RetCode":100049,`,
		`{"RequestID":"2","Property":{"a":65536}}`:      `{"RequestID":"2","RetCode":220,`,
		`{"RequestID":"3","Property":{"a":1,"none":1}}`: `{"RequestID":"3","RetCode":100038,`,
		`{"RequestID":"4","Property":{"a":"x"}}`:        `{"RequestID":"4","RetCode":220,`,
	} {
		d.tell(t, topic.PropertySet, body)
		d.hears(t, want)
	}
	if got := s.get(0); got != 0 {
		t.Errorf("register 0 is %d", got)
	}
	d.tell(t, topic.Command, `{"RequestID":"5","Identifier":"none"}`)
	d.hears(t, `{"RequestID":"5","RetCode":100046,"Identifier":"none"`)
}

// TestDeviceGoesAndComes: one that stops answering is taken out, and let in again when it answers; what is desired is asked for each time.
func TestDeviceGoesAndComes(t *testing.T) {
	s := serve(t)
	d, stop := master(t, s.config(`{name: a, address: 0}`))
	d.is(t, "a", "0")
	s.stop()
	d.until(t, "taken out", func() bool { return d.port == nil })
	s.set(0, 5)
	s.start()
	d.is(t, "a", "5")
	d.until(t, "asked again", func() bool { return strings.Count(strings.Join(d.sent, "\n"), "desired/get ") == 2 && d.comes == 2 })
	stop()
	if d.port != nil {
		t.Error("still in after the end")
	}
}

// TestUnansweredWriteIsMadeAgain: what is desired of a device that reads and does not answer a write, is asked for once more and written.
func TestUnansweredWriteIsMadeAgain(t *testing.T) {
	s := serve(t)
	d, _ := master(t, s.config(`{name: a, address: 0, write: true}, {name: b, address: 5, write: true}`))
	d.is(t, "a", "0")
	stick := func(on bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stuck = on
	}
	failed := func(n int) {
		t.Helper()
		d.until(t, "a write that is not answered", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.failed == n
		})
	}
	const property, shadow = `{"RequestID":"1","RetCode":0,"Desired":{"a":{"Value":7,"Version":3}}}`, `{"Desired":{"b":8}}`
	stick(true)
	d.tell(t, topic.DesiredGetReply, property)
	failed(1)
	d.tell(t, topic.ShadowDownstream, `{"Method":"control","Payload":{"State":`+shadow+`}}`)
	failed(2)
	stick(false)
	d.until(t, "asked again", func() bool {
		sent := strings.Join(d.sent, "\n")
		return strings.Count(sent, "desired/get ") == 2 && strings.Count(sent, "shadow/get {}") == 2
	})
	d.tell(t, topic.DesiredGetReply, property)
	d.hears(t, `"Delete":{"a":{"Version":3}}`)
	d.tell(t, topic.ShadowGetReply, `{"State":`+shadow+`,"Version":1}`)
	d.hears(t, `{"Method":"update","State":{"Reported":{"b":8},"Desired":{"b":null}}}`)
	if a, b := s.get(0), s.get(5); a != 7 || b != 8 {
		t.Errorf("the registers are %d and %d", a, b)
	}
}

// TestGoneDeviceSparesTheLine: one that does not answer takes little of the line's time from the others, and is let in soon after it answers.
func TestGoneDeviceSparesTheLine(t *testing.T) {
	s := serve(t)
	s.mute[2] = true
	d, _ := master(t, fmt.Sprintf("{url: 'tcp://%s', timeout: 500ms, devices: ["+
		"{product: %s, device: away, unit: 2, every: 20ms, max_gap: 0, points: [{name: x, address: 0}, {name: y, address: 50}]},"+
		"{product: %s, device: %s, unit: 1, every: 20ms, points: [{name: a, address: 0}]}]}", s.addr, plc.Product, plc.Product, plc.SN))
	d.until(t, "the other is read 100 times", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.asked[1] >= 100
	})
	s.mu.Lock()
	if s.asked[2] > 75 { // three, and one a second
		t.Errorf("%d requests for the one that is gone, beside %d", s.asked[2], s.asked[1])
	}
	s.regs[50] = 7
	s.mute[2] = false
	s.mu.Unlock()
	d.is(t, "y", "7")
}

// TestRefusedBlockIsSplit: one register that the device does not have does not hide its neighbours; and it is asked for alone from then on.
func TestRefusedBlockIsSplit(t *testing.T) {
	s := serve(t)
	s.hole = 3
	d, _ := master(t, s.config(`{name: a, address: 2}, {name: gone, address: 3}, {name: b, address: 4}`))
	s.set(4, 9)
	d.is(t, "a", "0")
	d.is(t, "b", "9")
}

func TestDeadband(t *testing.T) {
	s := serve(t)
	d, _ := master(t, s.config(`{name: a, address: 0, deadband: 5}, {name: mark, address: 1}`))
	d.is(t, "a", "0")
	s.set(0, 5)
	s.set(1, 1)
	d.is(t, "mark", "1")
	s.set(1, 2) // a whole reading later
	d.is(t, "mark", "2")
	d.mu.Lock()
	if d.values["a"] != "0" {
		t.Errorf("within the deadband %s was reported", d.values["a"])
	}
	d.mu.Unlock()
	s.set(0, 6)
	d.is(t, "a", "6")
}

// TestNotTakenIsReportedAgain: what the buffer refused is not forgotten.
func TestNotTakenIsReportedAgain(t *testing.T) {
	s := serve(t)
	d, _ := master(t, s.config(`{name: a, address: 0}`))
	d.is(t, "a", "0")
	d.mu.Lock()
	d.refuse = fmt.Errorf("full")
	d.mu.Unlock()
	s.set(0, 1)
	d.until(t, "some readings are refused", func() bool { return d.fails >= 2 })
	d.mu.Lock()
	d.refuse = nil
	d.mu.Unlock()
	d.is(t, "a", "1")
}
