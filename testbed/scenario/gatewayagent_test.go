package scenario

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simonvetter/modbus"

	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// plant is a gateway with the agent's binary on it, in front of a real hub, and what stands behind it.
type plant struct {
	t                     *testing.T
	hub                   *harness.Hub
	sink                  *harness.Receiver
	gw                    harness.Credentials
	meter, fan, plc, warm harness.Credentials
	lan, web              string
	file                  string // the agent's configuration
	agent                 *harness.Process
	regs                  *registers
	drive                 string // the Modbus server's address
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, hub: harness.StartHub(t, harness.HubOptions{Args: []string{"--rule-http-allow-private"}}), sink: harness.StartReceiver(t)}
	p.gw = p.hub.Devices(p.hub.Product(map[string]any{"name": "gateway", "kind": "gateway"}), 1)[0]
	sub := p.hub.Product(map[string]any{"name": "things", "kind": "subdevice"})
	all := p.hub.Devices(sub, 4)
	p.meter, p.fan, p.plc, p.warm = all[0], all[1], all[2], all[3]
	number := func(id, mode, kind string) map[string]any {
		return map[string]any{"Identifier": id, "Name": id, "AccessMode": mode, "DataType": map[string]any{"Type": kind, "Spec": map[string]any{"Min": -1000, "Max": 100000}}}
	}
	model := map[string]any{"Property": []any{number("speed", "rw", "int32"), number("level", "r", "float64"), number("temperature", "r", "float64")},
		"Event": []any{}, "Command": []any{}}
	if err := p.hub.Call("PUT", "/v1/products/"+sub+"/thing-model", model, nil); err != nil {
		t.Fatal(err)
	}
	rule(t, p.hub, "SELECT n, deviceSN() AS sn FROM '/"+sub+"/+/upload'", p.sink.URL)
	p.regs, p.drive = startRegisters(t)
	p.lan, p.web = harness.FreeAddr(t), harness.FreeAddr(t)
	p.file = p.config(t.TempDir())
	p.agent = harness.StartProcess(t, harness.Command{Path: harness.Binary(t, "agent"), Args: []string{"run", "--config", p.file}, Ready: harness.ReadyAt(p.lan)})
	return p
}

// config writes the agent's files and returns the path of its configuration.
func (p *plant) config(dir string) string {
	p.t.Helper()
	routes := filepath.Join(dir, "routes.yaml")
	text := fmt.Sprintf(`routes:
  - name: hot
    sql: SELECT t AS speed FROM '%s' WHERE t > 30
    to: [{subdevice: %s}]
  - name: broadcast
    from: cloud
    sql: SELECT word FROM '%s'
    to: [{subdevice: %[2]s}]
`, p.meter.Topic("upload"), p.fan.Topic("set"), p.gw.Topic("set"))
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	write(routes, text)
	subs := ""
	for _, d := range []harness.Credentials{p.meter, p.fan, p.plc, p.warm} {
		subs += fmt.Sprintf("  - {product: %s, device: %s, secret: %s, sleep: 1h}\n", d.ProductSN, d.DeviceSN, d.DeviceSecret)
	}
	config := filepath.Join(dir, "agent.yaml")
	write(config, fmt.Sprintf(`hub: tcp://%s
product: %s
device: %s
secret: %s
data: %s/data
listen: %s
http: {listen: '%s', token: let-me-in}
routes: %s
shadows: {subdevices: true}
subdevices_from_hub: true
subdevices:
%smodbus:
  - url: tcp://%s
    devices:
      - {product: %s, device: %s, unit: 1, every: 50ms, points: [{name: speed, address: 7, write: true}, {name: level, address: 8, scale: 0.5}]}
drivers:
  - {name: warm, command: [/usr/bin/python3, %s], devices: [{product: %s, device: %s}], settings: {interval: 0.2}}
`, p.hub.MQTT, p.gw.ProductSN, p.gw.DeviceSN, p.gw.DeviceSecret, dir, p.lan, p.web, routes, subs, p.drive,
		p.plc.ProductSN, p.plc.DeviceSN, filepath.Join(harness.Root(p.t), "docs/driver-example.py"), p.warm.ProductSN, p.warm.DeviceSN))
	return config
}

// client are mosquitto's arguments for a sub-device at the agent.
func (p *plant) client(d harness.Credentials, more ...string) []string {
	host, port, _ := net.SplitHostPort(p.lan)
	return append([]string{"-h", host, "-p", port, "-i", d.ClientID(), "-u", d.UserName(), "-P", d.DeviceSecret, "-q", "1"}, more...)
}

// listen hears as a sub-device with a session that is kept, until the function that it returns is called.
func (p *plant) listen(d harness.Credentials) (out *output, leave func()) {
	p.t.Helper()
	return startUntil(p.t, "mosquitto_sub", p.client(d, "-c", "-v", "-t", d.Topic("set"), "-t", d.System("shadow/downstream"))...)
}

// TestGatewayAgent: what mosquitto_pub was acknowledged by the agent reaches the hub's sink though the hub is down and the agent is killed in between;
// routes work meanwhile; what the hub has for sub-devices that sleep is delivered; a Modbus register and a driver's reading are properties at the hub,
// and what is desired there is in the register.
func TestGatewayAgent(t *testing.T) {
	p := newPlant(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("agent:\n%s", p.agent.Output())
		}
	})
	sub, leave := p.listen(p.fan)
	online(t, p.hub, p.fan)
	p.property(p.plc, "speed", 0)
	p.regs.set(8, 25)
	p.property(p.plc, "level", 12.5)
	harness.Eventually(t, time.Minute, "the driver's temperature", func() bool { return p.value(p.warm, "temperature") > 0 })

	var acked []int
	send := func(from, to int) {
		for n := from; n < to; n++ {
			out, err := run(t, "mosquitto_pub", p.client(p.meter, "-t", p.meter.Topic("upload"), "-m", fmt.Sprintf(`{"n":%d,"t":%d}`, n, n%40))...)
			if err != nil {
				t.Errorf("message %d is not acknowledged: %v %s", n, err, out)
				continue
			}
			acked = append(acked, n)
		}
	}
	send(0, 10)
	p.hub.Kill()
	send(10, 30)
	// It is larger than what a small device is sent, which the gateway is not.
	seal := fmt.Sprintf(`{"Method":"update","State":{"Reported":{"sealed":1,"note":"%s"}}}`, strings.Repeat("x", 3000))
	if out, err := run(t, "mosquitto_pub", p.client(p.meter, "-t", p.meter.System("shadow/upstream"), "-m", seal)...); err != nil {
		t.Errorf("the shadow without the hub: %v %s", err, out)
	}
	p.agent.Kill()
	p.agent.Restart()
	send(30, 40)
	acked = append(acked, p.post(40))
	waitFor(t, sub, p.fan.Topic("set")+` {"speed":31}`) // by the route, offline
	leave()
	p.hub.Start()
	p.routes()
	harness.Eventually(t, time.Minute, "all that was acknowledged", func() bool { return len(p.arrived()) >= len(acked) })
	if got := p.arrived(); fmt.Sprint(got) != fmt.Sprint(acked) {
		t.Errorf("arrived %v, acknowledged %v", got, acked)
	}
	p.shadow(p.meter, `"sealed":1`)
	p.shadow(p.meter, `"note":"xxx`)
	p.down()
}

// routes waits until the hub shows what the routes did since the agent was started: one message was hot, and the fan took it.
func (p *plant) routes() {
	p.t.Helper()
	var got struct{ Routes []agentmsg.Route }
	harness.Eventually(p.t, time.Minute, "the hub hears from the agent", func() bool {
		got.Routes = nil
		return p.hub.Call("GET", "/v1/products/"+p.gw.ProductSN+"/devices/"+p.gw.DeviceSN+"/agent", nil, &got) == nil && len(got.Routes) == 2 && got.Routes[0].Sent > 0
	})
	if hot := got.Routes[0]; hot.Name != "hot" || hot.Matched != hot.Sent+hot.Dropped || hot.Failed != 0 || got.Routes[1] != (agentmsg.Route{Name: "broadcast"}) {
		p.t.Errorf("routes %+v", got.Routes)
	}
}

// shadow waits until the hub's shadow of a device holds the text.
func (p *plant) shadow(d harness.Credentials, text string) {
	p.t.Helper()
	harness.Eventually(p.t, time.Minute, "the shadow holds "+text, func() bool {
		var got json.RawMessage
		err := p.hub.Call("GET", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/shadow", nil, &got)
		return err == nil && strings.Contains(string(got), text)
	})
}

// down: what the hub has for the plant.
func (p *plant) down() {
	t := p.t
	online(t, p.hub, p.fan) // it sleeps
	path := "/v1/products/" + p.fan.ProductSN + "/devices/" + p.fan.DeviceSN
	p.publish(p.fan, "good night")
	if err := p.hub.Call("PATCH", path+"/shadow", map[string]any{"desired": map[string]any{"mode": "eco"}}, nil); err != nil {
		t.Fatal(err)
	}
	p.regs.set(8, 40)
	p.property(p.plc, "level", 20) // the way down is in order: what was sent before is at the gateway
	p.agent.Kill()
	harness.Eventually(t, time.Minute, "the hub has seen the agent go", func() bool { return state(t, p.hub, p.plc) == "offline" })
	if err := p.hub.Call("POST", "/v1/products/"+p.plc.ProductSN+"/devices/"+p.plc.DeviceSN+"/properties",
		map[string]any{"property": map[string]any{"speed": 1234}, "desired": true}, nil); err != nil {
		t.Fatal(err)
	}
	p.agent.Restart()
	out, leave := p.listen(p.fan)
	defer leave()
	waitFor(t, out, "good night")
	waitFor(t, out, `"Desired":{"mode":"eco"}`)
	p.shadow(p.meter, `"note":"xxx`) // after another connection, too
	p.publish(p.gw, `{"word":"to all"}`)
	waitFor(t, out, p.fan.Topic("set")+` {"word":"to all"}`)
	harness.Eventually(t, time.Minute, "the desired speed is in the register", func() bool { return p.regs.get(7) == 1234 })
	p.property(p.plc, "speed", 1234)
}

// publish sends a device a message on its topic set, once the gateway listens to it.
func (p *plant) publish(d harness.Credentials, payload string) {
	p.t.Helper()
	harness.Eventually(p.t, time.Minute, "the gateway listens for it", func() bool {
		return p.hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/publish", map[string]any{"topic": "set", "payload": payload, "qos": 1}, nil) == nil
	})
}

// TestGatewayTopology: a sub-device that an operator puts behind the gateway gets in, one that is disabled does not, and both is so after a restart
// without the hub.
func TestGatewayTopology(t *testing.T) {
	p := newPlant(t)
	late := p.hub.Devices(p.meter.ProductSN, 1)[0]
	may := func(d harness.Credentials) bool {
		_, err := run(t, "mosquitto_pub", p.client(d, "-t", d.Topic("upload"), "-m", `{"n":1}`)...)
		return err == nil
	}
	online(t, p.hub, p.plc)
	if may(late) {
		t.Error("one that is not behind the gateway is let in")
	}
	to := "/v1/products/" + p.gw.ProductSN + "/devices/" + p.gw.DeviceSN + "/subdevices"
	if err := p.hub.Call("POST", to, map[string]any{"subdevices": []any{map[string]any{"productSN": late.ProductSN, "deviceSN": late.DeviceSN}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.hub.Call("POST", "/v1/products/"+p.fan.ProductSN+"/devices/"+p.fan.DeviceSN+"/disable", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.hub.Call("DELETE", to+"/"+p.meter.ProductSN+"/"+p.meter.DeviceSN, nil, nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "the gateway has heard", func() bool { return may(late) && !may(p.fan) && !may(p.meter) })
	p.hub.Kill()
	p.agent.Kill()
	p.agent.Restart()
	if !may(late) || may(p.fan) || may(p.meter) {
		t.Errorf("after a restart without the hub: %v %v %v", may(late), may(p.fan), may(p.meter))
	}
}

// TestGatewayConfig: another configuration is applied when the agent works with it, and taken back when it does not reach the hub or does not start.
func TestGatewayConfig(t *testing.T) {
	beside(t)
	p := newPlant(t)
	online(t, p.hub, p.plc)
	old, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(text, within string) string {
		t.Helper()
		next := p.file + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, harness.Binary(t, "agent"), "config", "apply", "--config", p.file, "--new", next, "--within", within)
		if err != nil {
			out += " failed"
		}
		return out
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"another hub":          {p.hub.MQTT, harness.FreeAddr(t), "was not healthy within 3s"},
		"a port that is taken": {"listen: " + p.lan, "listen: " + p.hub.MQTT, "address already in use"},
		"no YAML":              {"subdevices:", "subdevices", "the new configuration"},
	} {
		if out := apply(strings.Replace(string(old), tt.old, tt.new, 1), "3s"); !strings.Contains(out, tt.want) || !strings.HasSuffix(out, " failed") {
			t.Errorf("%s: %s", name, out)
		}
		if now, err := os.ReadFile(p.file); err != nil || string(now) != string(old) {
			t.Errorf("%s: the old configuration is not back: %v", name, err)
		}
	}
	if out := apply(strings.Replace(string(old), "interval: 0.2", "interval: 0.3", 1), "30s"); !strings.HasSuffix(out, "applied\n") {
		t.Error(out)
	}
	online(t, p.hub, p.plc)
	if t.Failed() {
		t.Logf("agent:\n%s", p.agent.Output())
	}
}

// post hands message n over by HTTP.
func (p *plant) post(n int) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "POST", "http://"+p.web+"/topic"+p.meter.Topic("upload"), strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Password", "let-me-in")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		p.t.Errorf("a post is answered with %s", resp.Status)
	}
	return n
}

// arrived are the numbers at the sink, each once, in the order of their first arrival.
func (p *plant) arrived() (list []int) {
	seen := make(map[int]bool)
	for _, b := range p.sink.Bodies() {
		var m struct{ N int }
		if json.Unmarshal(b, &m) == nil && !seen[m.N] {
			seen[m.N] = true
			list = append(list, m.N)
		}
	}
	return list
}

// value is the latest value of a property at the hub, 0 before the first.
func (p *plant) value(d harness.Credentials, name string) float64 {
	var got struct {
		Property map[string]struct{ Value float64 }
	}
	if err := p.hub.Call("GET", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/properties", nil, &got); err != nil {
		return 0
	}
	return got.Property[name].Value
}

func (p *plant) property(d harness.Credentials, name string, want float64) {
	p.t.Helper()
	harness.Eventually(p.t, time.Minute, fmt.Sprintf("%s is %v", name, want), func() bool { return p.value(d, name) == want })
}

// registers is a Modbus server.
type registers struct {
	mu   sync.Mutex
	regs [16]uint16
}

func startRegisters(t *testing.T) (*registers, string) {
	t.Helper()
	r, addr := &registers{}, harness.FreeAddr(t)
	srv, err := modbus.NewServer(&modbus.ServerConfiguration{URL: "tcp://" + addr, MaxClients: 2}, r)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop() })
	return r, addr
}

func (r *registers) set(i int, v uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.regs[i] = v
}

func (r *registers) get(i int) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.regs[i]
}

func (r *registers) HandleHoldingRegisters(q *modbus.HoldingRegistersRequest) ([]uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := int(q.Addr), int(q.Addr)+int(q.Quantity)
	if to > len(r.regs) {
		return nil, modbus.ErrIllegalDataAddress
	}
	if q.IsWrite {
		copy(r.regs[from:to], q.Args)
	}
	return append([]uint16(nil), r.regs[from:to]...), nil
}

func (r *registers) HandleInputRegisters(*modbus.InputRegistersRequest) ([]uint16, error) {
	return nil, modbus.ErrIllegalFunction
}

func (r *registers) HandleCoils(*modbus.CoilsRequest) ([]bool, error) {
	return nil, modbus.ErrIllegalFunction
}

func (r *registers) HandleDiscreteInputs(*modbus.DiscreteInputsRequest) ([]bool, error) {
	return nil, modbus.ErrIllegalFunction
}
