package scenario

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestDisabledIsOffOnEveryDoor disables devices in the middle of their sessions: MQTT over each door, with a secret, a HMAC or a
// certificate; a token over HTTP; and what an application sees. Each is off within a second, also when it was another node
// that was told, and none comes back in before it is enabled.
func TestDisabledIsOffOnEveryDoor(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		hub := harness.StartHub(t, harness.HubOptions{})
		disableAll(t, hub, hub)
	})
	t.Run("on another node", func(t *testing.T) {
		hubs := cluster(t, 2)
		disableAll(t, hubs[0], hubs[1])
	})
}

// offWithin is the promise.
var offWithin = harness.Promised(time.Second)

// guest is a device that came in over some door.
type guest struct {
	name string
	d    harness.Credentials
	opts *mqtt.ClientOptions
	lost chan struct{}
}

// disableAll has devices of all kinds at the hub at, and disables them at the hub by.
func disableAll(t *testing.T, by, at *harness.Hub) {
	product := by.Product(map[string]any{"name": "disable", "kind": "device"})
	status := applicationOf(t, by, at, product)
	var guests []*guest
	for _, dr := range doors {
		guests = append(guests, &guest{name: dr.name, opts: mqtt.NewClientOptions().AddBroker(dr.scheme + "://" + dr.addr(at))})
	}
	hmac := &guest{name: "hmac", opts: mqtt.NewClientOptions().AddBroker("mqtt://" + at.MQTT)}
	x509 := &guest{name: "x509", opts: mqtt.NewClientOptions().AddBroker("mqtts://" + at.MQTTS)}
	guests = append(guests, hmac, x509)
	devices := by.Devices(product, len(guests)+1)
	for i, g := range guests {
		g.d = devices[i]
		g.opts.SetClientID(g.d.ClientID()).SetUsername(g.d.UserName()).SetPassword(g.d.DeviceSecret).SetTLSConfig(&tls.Config{InsecureSkipVerify: true})
	}
	stamp := fmt.Sprint(time.Now().Unix())
	hmac.opts.SetUsername(hmac.d.ProductSN + "|" + hmac.d.DeviceSN + "|3|ts=" + stamp).SetPassword(credential.SignLogin(credential.Secret(hmac.d.DeviceSecret), hmac.d.ClientID(), stamp))
	x509.opts.SetUsername(x509.d.ProductSN + "|" + x509.d.DeviceSN + "|x509").SetPassword("").
		SetTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificateOf(t, by, x509.d)}})
	for _, g := range guests {
		_, g.lost = dialMQTT(t, g.opts)
	}
	for _, g := range guests {
		t.Run(g.name, func(t *testing.T) { disableOne(t, by, g, status) })
	}
	t.Run("http", func(t *testing.T) { disableHTTP(t, by, at, devices[len(guests)]) })
}

func disableOne(t *testing.T, by *harness.Hub, g *guest, status chan string) {
	device := "/v1/products/" + g.d.ProductSN + "/devices/" + g.d.DeviceSN
	online(t, by, g.d)
	began := time.Now()
	if err := by.Call("POST", device+"/disable", nil, nil); err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithDeadline(t.Context(), began.Add(offWithin))
	defer cancel()
	select {
	case <-g.lost:
		t.Logf("off after %s", time.Since(began).Round(time.Millisecond))
	case <-late.Done():
		t.Errorf("it is still on after %s", offWithin)
	}
	for want := fmt.Sprintf(`"DeviceSN":%q,"Status":"Offline"`, g.d.DeviceSN); ; {
		select {
		case got := <-status:
			if !strings.Contains(got, want) {
				continue
			}
		case <-late.Done():
			t.Errorf("an application has not heard of it after %s", offWithin)
		}
		break
	}
	if got := state(t, by, g.d); got != "disabled" {
		t.Errorf("state %s", got)
	}
	again := mqtt.NewClient(g.opts)
	if tok := again.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() == nil {
		again.Disconnect(0)
		t.Error("it comes in again")
	}
	if err := by.Call("POST", device+"/enable", nil, nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "it is let in again", func() bool {
		c := mqtt.NewClient(g.opts)
		tok := c.Connect()
		in := tok.WaitTimeout(time.Minute) && tok.Error() == nil
		c.Disconnect(0)
		return in
	})
}

// disableHTTP holds that a token is good for nothing as soon as its device is disabled, nor is a new one given.
func disableHTTP(t *testing.T, by, at *harness.Hub, d harness.Credentials) {
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q}`, d.ProductSN, d.DeviceSN)
	signature := credential.SignBody(credential.Secret(d.DeviceSecret), []byte(body))
	var token struct {
		RetCode int
		Token   string
	}
	tokenOf(t, at, body, signature, &token)
	post := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at.HTTP+"/topic"+d.Topic("upload"), strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Password", token.Token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ RetCode int }
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		return answer.RetCode
	}
	if code := post(); code != 0 {
		t.Fatalf("enabled: RetCode %d", code)
	}
	began := time.Now()
	if err := by.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/disable", nil, nil); err != nil {
		t.Fatal(err)
	}
	for post() == 0 {
		if time.Since(began) > offWithin {
			t.Fatalf("the token is still good after %s", offWithin)
		}
	}
	t.Logf("off after %s", time.Since(began).Round(time.Millisecond))
	if tokenOf(t, at, body, signature, &token); token.RetCode == 0 {
		t.Error("a disabled device gets a token")
	}
}

// certificateOf is a certificate for the device and its key.
func certificateOf(t *testing.T, h *harness.Hub, d harness.Credentials) tls.Certificate {
	t.Helper()
	var issued struct{ Chain, PrivateKey string }
	if err := h.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/certificates", map[string]any{"days": 1}, &issued); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(issued.Chain), []byte(issued.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// applicationOf hears of the status of the product's devices.
func applicationOf(t *testing.T, by, at *harness.Hub, product string) chan string {
	t.Helper()
	var key struct{ ID, Key string }
	if err := by.Call("POST", "/v1/api-keys", map[string]any{"name": "listener", "role": "viewer"}, &key); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1000)
	app, _ := dialMQTT(t, mqtt.NewClientOptions().AddBroker("tcp://"+at.MQTT).SetClientID("ledger").SetUsername("app|"+key.ID).SetPassword(key.Key))
	tok := app.Subscribe("/$system/"+product+"/+/device/status", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) })
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	return heard
}

// TestRetiredAuthorityEndsItsSessions: the session of a certificate ends on every node when the CA that has issued it is retired, and that
// of another CA's goes on.
func TestRetiredAuthorityEndsItsSessions(t *testing.T) {
	hubs := cluster(t, 2)
	a, b := hubs[0], hubs[1]
	devices := a.Devices(a.Product(map[string]any{"name": "retire", "kind": "device"}), 2)
	session := func(d harness.Credentials, pair tls.Certificate) (mqtt.Client, chan struct{}) {
		return dialMQTT(t, mqtt.NewClientOptions().AddBroker("ssl://"+b.MQTTS).SetClientID(d.ClientID()).SetUsername(d.ProductSN+"|"+d.DeviceSN+"|x509").
			SetTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}))
	}
	_, lost := session(devices[0], certificateOf(t, a, devices[0]))
	var old struct{ ID string }
	if err := a.Call("GET", "/v1/ca", nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := b.Call("POST", "/v1/cas", nil, nil); err != nil {
		t.Fatal(err)
	}
	stays, _ := session(devices[1], certificateOf(t, a, devices[1]))
	if err := a.Call("POST", "/v1/cas/"+old.ID+"/retire", map[string]any{"force": true}, nil); err != nil {
		t.Fatal(err)
	}
	ended(t, "the session of a certificate whose CA was retired on the other node", lost)
	if tok := stays.Publish(devices[1].Topic("upload"), 1, false, `{}`); !tok.WaitTimeout(time.Minute) || tok.Error() != nil || !stays.IsConnectionOpen() {
		t.Errorf("the session of another CA's certificate: %v", tok.Error())
	}
}
