package scenario

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// dialMQTT logs in and returns the client with a channel that is closed when the connection ends by itself.
func dialMQTT(t *testing.T, opts *mqtt.ClientOptions) (mqtt.Client, chan struct{}) {
	t.Helper()
	lost := make(chan struct{})
	opts.SetAutoReconnect(false).SetKeepAlive(60 * time.Second).SetConnectTimeout(time.Minute)
	opts.SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
	c := mqtt.NewClient(opts)
	if tok := c.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatalf("connect as %s: %v", opts.Username, tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, lost
}

func ended(t *testing.T, what string, lost chan struct{}) {
	t.Helper()
	began := time.Now()
	select {
	case <-lost:
		t.Logf("%s ended after %s", what, time.Since(began).Round(time.Millisecond))
	case <-time.After(harness.Promised(2 * time.Second)):
		t.Errorf("%s goes on", what)
	}
}

// TestTrustOverNodes: a nonce of one node is used at the other, a certificate is revoked at one and its session ends at the other, an
// application at one hears a device at the other, and its key is deleted elsewhere.
func TestTrustOverNodes(t *testing.T) {
	hubs := cluster(t, 2)
	a, b := hubs[0], hubs[1]
	d := a.Devices(a.Product(map[string]any{"name": "trust", "kind": "device"}), 1)[0]

	nonce := nonceOf(t, a, d)
	stamp := "n:" + nonce
	hmac := mqtt.NewClientOptions().AddBroker("tcp://" + b.MQTT).SetClientID(d.ClientID()).SetUsername(d.ProductSN + "|" + d.DeviceSN + "|3|ts=" + stamp).
		SetPassword(credential.SignLogin(credential.Secret(d.DeviceSecret), d.ClientID(), stamp))
	first, _ := dialMQTT(t, hmac)
	first.Disconnect(100)
	again := mqtt.NewClient(hmac.AddBroker("tcp://" + a.MQTT).SetAutoReconnect(false))
	if tok := again.Connect(); tok.WaitTimeout(time.Minute) && tok.Error() == nil {
		t.Error("a nonce was used twice")
	}

	var issued struct {
		Certificate       struct{ Serial string }
		Chain, PrivateKey string
	}
	certificates := "/v1/products/" + d.ProductSN + "/devices/" + d.DeviceSN + "/certificates"
	if err := a.Call("POST", certificates, map[string]any{"days": 1}, &issued); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(issued.Chain), []byte(issued.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	device, lost := dialMQTT(t, mqtt.NewClientOptions().AddBroker("ssl://"+b.MQTTS).SetClientID(d.ClientID()).SetUsername(d.ProductSN+"|"+d.DeviceSN+"|x509").
		SetTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}))

	var key struct{ ID, Key string }
	if err := b.Call("POST", "/v1/api-keys", map[string]any{"name": "listener", "role": "viewer"}, &key); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	app, cut := dialMQTT(t, mqtt.NewClientOptions().AddBroker("tcp://"+a.MQTT).SetClientID("ledger").SetUsername("app|"+key.ID).SetPassword(key.Key))
	tok := app.Subscribe("/"+d.ProductSN+"/+/upload", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) })
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	harness.Eventually(t, time.Minute, "the application hears a device of the other node", func() bool {
		device.Publish(d.Topic("upload"), 1, false, `{"n":1}`).WaitTimeout(time.Minute)
		select {
		case got := <-heard:
			return got == `{"n":1}`
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})

	status := make(chan string, 10)
	tok = app.Subscribe("/$system/"+d.ProductSN+"/+/device/status", 1, func(_ mqtt.Client, m mqtt.Message) { status <- string(m.Payload()) })
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	if err := a.Call("POST", certificates+"/"+issued.Certificate.Serial+"/revoke", map[string]any{"reason": "keyCompromise"}, nil); err != nil {
		t.Fatal(err)
	}
	ended(t, "the session of a certificate that was revoked on the other node", lost)
	harness.Eventually(t, time.Minute, "the application hears that the device went", func() bool {
		select {
		case got := <-status:
			return strings.Contains(got, `"Status":"Offline"`)
		default:
			return false
		}
	})
	if err := b.Call("DELETE", "/v1/api-keys/"+key.ID, nil, nil); err != nil && !strings.Contains(err.Error(), "unexpected end of JSON") {
		t.Fatal(err)
	}
	ended(t, "the session of a key that was deleted on the other node", cut)
}

func nonceOf(t *testing.T, h *harness.Hub, d harness.Credentials) string {
	t.Helper()
	res, err := http.Get("http://" + h.HTTP + "/nonce?device=" + d.ClientID())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var n struct{ Nonce string }
	if err := json.NewDecoder(res.Body).Decode(&n); err != nil || n.Nonce == "" {
		t.Fatalf("nonce: %+v, %v", n, err)
	}
	return n.Nonce
}

// TestRotateWhileRunning changes the key of a hub that runs, takes the old key away, and kills it: all secrets are still there.
func TestRotateWhileRunning(t *testing.T) {
	beside(t)
	hub := harness.StartHub(t, harness.HubOptions{})
	devices := hub.Devices(hub.Product(map[string]any{"name": "rotate", "kind": "device"}), 500)
	keyring := func(args ...string) (string, error) {
		return run(t, harness.Binary(t, "hub"), append(append([]string{"keyring"}, args...), "--data", hub.Data)...)
	}
	old := keyOf(t, hub)
	out, err := keyring("rotate")
	if err != nil || !strings.Contains(out, "the running hub seals what is stored anew") {
		t.Fatalf("rotate: %v: %s", err, out)
	}
	harness.Eventually(t, time.Minute, "the hub has sealed everything anew", func() bool { return strings.Contains(hub.Log(), "secrets sealed under the new key") })
	more := hub.Devices(devices[0].ProductSN, 1)[0]
	hub.Kill()
	out, err = keyring("list")
	if err != nil || !strings.Contains(out, "opens  0") {
		t.Fatalf("list: %v: %s", err, out)
	}
	id := strings.Fields(strings.Split(out, "\n")[1])[0]
	if out, err := keyring("remove", id); err != nil {
		t.Fatalf("remove: %v: %s", err, out)
	}
	if keyOf(t, hub) == old {
		t.Error("the old key is still in the file")
	}
	hub.Start()
	for _, d := range []harness.Credentials{devices[0], devices[499], more} {
		login(t, hub, d)
	}
}

// TestCertificateReloads: a changed hub.pem is served after SIGHUP, a broken one is not, and counted.
func TestCertificateReloads(t *testing.T) {
	hub, other := harness.StartHub(t, harness.HubOptions{}), harness.StartHub(t, harness.HubOptions{})
	serial := func(addr string) string {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return fmt.Sprint(c.ConnectionState().PeerCertificates[0].SerialNumber)
	}
	replace := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(hub.Data, "tls", "hub.pem"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(hub.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	first, want := serial(hub.MQTTS), serial(other.MQTTS)
	replace([]byte("garbage"))
	harness.Eventually(t, time.Minute, "the broken file is counted", func() bool {
		res, err := http.Get("http://" + hub.HTTP + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(b), "\nhawser_tls_reload_errors_total ") && !strings.Contains(string(b), "\nhawser_tls_reload_errors_total 0\n")
	})
	if got := serial(hub.MQTTS); got != first {
		t.Error("a broken file changed the certificate")
	}
	b, err := os.ReadFile(filepath.Join(other.Data, "tls", "hub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	replace(b)
	for _, addr := range []string{hub.MQTTS, hub.HTTPS} {
		harness.Eventually(t, time.Minute, "the new certificate is served", func() bool { return serial(addr) == want })
	}
}

// TestOpenSSL: what a reviewer looks at first.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here")
	}
	hub := harness.StartHub(t, harness.HubOptions{})
	client := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"s_client", "-connect", hub.MQTTS, "-CAfile", filepath.Join(hub.Data, "tls", "ca.pem"), "-verify_return_error"}, args...)...)
		out, _ := cmd.CombinedOutput() // a refused handshake is an answer, too
		return string(out)
	}
	for want, args := range map[string][]string{
		"Cipher is ECDHE-ECDSA-AES128-GCM-SHA256": {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		"Cipher is TLS_":             {"-tls1_3"},
		"Verify return code: 0 (ok)": {},
	} {
		if out := client(args...); !strings.Contains(out, want) {
			t.Errorf("%v: no %q in\n%s", args, want, out)
		}
	}
	for _, args := range [][]string{{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"}, {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"},
		{"-tls1_2", "-cipher", "AES128-GCM-SHA256"}, {"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"}} {
		if out := client(args...); !strings.Contains(out, "Cipher is (NONE)") {
			t.Errorf("%v was taken:\n%s", args, out)
		}
	}
}
