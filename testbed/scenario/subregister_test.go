package scenario

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestSubdevicesAreRegistered: an agent has the hub register its sub-devices without secret, which then carry messages, also after the agent's state is
// lost; one that the hub refuses does not keep the others from it; and who is a stranger to the gateway is told to the hub's rules.
func TestSubdevicesAreRegistered(t *testing.T) {
	p := newParts(t, buffer.Config{})
	product := p.hub.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, DynamicRegister: true})
	strict := p.hub.Product(t, registry.NewProduct{Kind: registry.KindSubdevice, DynamicRegister: true, PreRegister: true})
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "product.secret")
	if err := os.WriteFile(secretFile, []byte(product.Secret.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "driver.sh")
	if err := os.WriteFile(script, fmt.Appendf(nil, pumpDriver, product.SN, product.SN), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Parse(fmt.Appendf(nil, `
hub: tcp://%s
product: %s
device: %s
secret: %s
data: %s
listen: 127.0.0.1:0
report_found: true
subdevice_products:
  - {product: %s, secret_file: %s}
  - {product: %s, secret: %s}
subdevices:
  - {product: %s, device: pump-1}
  - {product: %s, device: pump-2}
  - {product: %s, device: unknown-1}
drivers:
  - name: pump
    command: [/bin/sh, %s]
    devices: [{product: %s, device: pump-1}]
`, p.addr, p.gw.Identity.Product, p.gw.Identity.SN, p.gw.Secret.Reveal(), filepath.Join(dir, "data"), product.SN, secretFile, strict.SN, strict.Secret.Reveal(),
		product.SN, product.SN, strict.SN, script, product.SN))
	if err != nil {
		t.Fatal(err)
	}
	pump := ident.Device{Product: product.SN, SN: "pump-1"}
	for round := range 2 {
		a, err := agent.New(cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		before := len(p.hub.Rules.Of(topic.Name(pump, "upload")))
		stop := p.run(a.Run, func() {})
		brokertest.Eventually(t, "the message is there", func() bool { return len(p.hub.Rules.Of(topic.Name(pump, "upload"))) > before })
		if round == 0 {
			stranger(t, a.Addr().String(), ident.Device{Product: product.SN, SN: "stranger-1"})
			name := topic.System(p.gw.Identity, topic.TopoFound)
			brokertest.Eventually(t, "the stranger is told of", func() bool { return len(p.hub.Rules.Of(name)) > 0 })
			if m := p.hub.Rules.Of(name)[0].Payload; !strings.Contains(string(m), `"DeviceSN":"stranger-1"`) {
				t.Errorf("found: %s", m)
			}
		}
		stop()
		if err := os.Remove(filepath.Join(cfg.Data, "state.db")); err != nil { // the second round is without
			t.Fatal(err)
		}
	}
	file := filepath.Join(cfg.Data, "subdevice.secrets")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the secrets have the mode %v, %v", st.Mode(), err)
	}
	for _, sn := range []string{"pump-1", "pump-2"} {
		d, err := p.hub.Registry.Device(t.Context(), ident.Device{Product: product.SN, SN: sn})
		if err != nil || !strings.Contains(string(b), d.Secret.Reveal()) {
			t.Errorf("%s: %v, or its secret was not kept", sn, err)
		}
	}
	if strings.Contains(string(b), "unknown-1") {
		t.Errorf("one that the hub refuses has a secret")
	}
}

// pumpDriver says one message each time that it is started.
const pumpDriver = `echo '{"type":"hello","version":1}'
read -r line
echo '{"type":"attach","product":"%s","device":"pump-1"}'
read -r line
echo '{"type":"publish","id":1,"topic":"/%s/pump-1/upload","payload":{"on":1}}'
while read -r line; do case "$line" in *'"stop"'*) exit 0;; esac; done
`

// stranger tries to log in at the gateway.
func stranger(t *testing.T, addr string, d ident.Device) {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(d.ClientID()).SetUsername(d.Product + "|" + d.SN + "|1").
		SetPassword("0123456789abcdef").SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() == nil {
		t.Fatal("a stranger is let in")
	}
}
