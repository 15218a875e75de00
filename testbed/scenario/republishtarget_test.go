package scenario

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// subscriberEnv has this test binary be the device of a republishTarget.
const subscriberEnv = "HAWSER_TEST_SUBSCRIBER"

// subscriber is the devices of a process of its own: over and over each logs in to a session that is kept, subscribes to its topic set,
// and writes each message into the file before it acknowledges it.
type subscriber struct {
	Addr, File string
	Devices    []harness.Credentials
}

// republishTarget is a subscriber with a device for each that sends, of the same SN, to whose topic a rule puts what that sends: the hub
// keeps a hundred messages for a device that is away. The wire lies between it and the hub.
type republishTarget struct {
	*harness.Process
	hub, file string
}

var _ deliveryBehind = (*republishTarget)(nil)

// Start names where the hub will be, which is what the wire leads to.
func (r *republishTarget) Start(t *testing.T) string {
	t.Helper()
	r.hub, r.file = harness.FreeAddr(t), filepath.Join(t.TempDir(), "messages")
	return r.hub
}

// HubArgs put the hub's door where Start said.
func (r *republishTarget) HubArgs() []string { return []string{"--mqtt-addr", r.hub} }

func (r *republishTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	product := hub.Product(map[string]any{"name": "receivers", "kind": "device"})
	s := subscriber{Addr: addr, File: r.file, Devices: twins(t, hub, product)}
	spec, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r.Process = harness.StartProcess(t, harness.Command{Path: self, Env: []string{subscriberEnv + "=" + string(spec)},
		Ready: func() error { _, err := os.Stat(r.file); return err }})
	return map[string]any{"kind": "republish", "topic": "/" + product + "/${device}/set", "qos": 1}
}

// twins makes a device of product for each that there is.
func twins(t *testing.T, hub *harness.Hub, product string) (all []harness.Credentials) {
	t.Helper()
	var have struct{ Items []harness.Credentials }
	if err := hub.Call("GET", "/v1/devices?limit=200", nil, &have); err != nil {
		t.Fatal(err)
	}
	for _, d := range have.Items {
		var made harness.Credentials
		if err := hub.Call("POST", "/v1/products/"+product+"/devices", map[string]any{"deviceSN": d.DeviceSN}, &made); err != nil {
			t.Fatal(err)
		}
		all = append(all, made)
	}
	return all
}

func (r *republishTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	b, err := os.ReadFile(r.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	rows := map[string][]int{}
	for line := range bytes.Lines(b) {
		if line[len(line)-1] != '\n' {
			break // it is being written
		}
		var got row
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows[got.Device] = append(rows[got.Device], got.N)
	}
	return rows
}

// runSubscriber serves until the process is killed.
func runSubscriber(spec string) error {
	var s subscriber
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	for _, d := range s.Devices[1:] {
		go s.listen(d)
	}
	s.listen(s.Devices[0])
	return nil
}

func (s *subscriber) listen(d harness.Credentials) {
	for {
		fmt.Fprintln(os.Stderr, s.session(d))
		time.Sleep(20 * time.Millisecond) // the pace of reconnects
	}
}

// session takes messages until the connection ends, or none has come for some seconds.
func (s *subscriber) session(d harness.Credentials) error {
	c, err := dialRaw(s.Addr)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.connectKept(d); err != nil {
		return err
	}
	b := append([]byte{0, 7}, mqttString(d.Topic("set"))...)
	if err := c.send(0x82, append(b, 1)); err != nil {
		return err
	}
	for {
		header, body, err := c.read()
		if err != nil {
			return err
		}
		switch header & 0xF0 {
		case 0x90:
			err = s.write(nil)
		case 0x30:
			err = s.take(c, body)
		}
		if err != nil {
			return err
		}
	}
}

// take writes down a message of QoS 1 and acknowledges it.
func (s *subscriber) take(c *raw, body []byte) error {
	at := 2 + int(binary.BigEndian.Uint16(body))
	if err := s.write(append(body[at+2:], '\n')); err != nil {
		return err
	}
	return c.send(0x40, body[at:at+2])
}

func (s *subscriber) write(line []byte) error {
	f, err := os.OpenFile(s.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}
