package scenario

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// sensor is a stock sub-device behind a gateway.
type sensor struct {
	t      *testing.T
	cred   harness.Credentials
	client mqtt.Client
	offers chan message.OTAStockOffer
	begun  chan struct{} // has one for each connection
	last   string        // the version that was offered last
}

func newSensor(t *testing.T, addr string, cred harness.Credentials) *sensor {
	t.Helper()
	s := &sensor{t: t, cred: cred, offers: make(chan message.OTAStockOffer, 8), begun: make(chan struct{}, 8)}
	s.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(cred.ClientID()).SetUsername(cred.UserName()).
		SetPassword(cred.DeviceSecret).SetStore(harness.NewStore()).SetMaxReconnectInterval(time.Second).SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe(cred.System("ota/downstream"), 1, s.take)
		s.begun <- struct{}{}
	}))
	s.wait(s.client.Connect())
	t.Cleanup(func() { s.client.Disconnect(100) })
	<-s.begun
	return s
}

func (s *sensor) take(_ mqtt.Client, m mqtt.Message) {
	if method, _ := message.OTAMethod(m.Payload()); method != message.OTAUpdateFirmware {
		return
	}
	o, err := message.DecodeOTA[message.OTAStockOffer](m.Payload())
	if err != nil {
		s.t.Error(err)
	}
	s.offers <- o
}

func (s *sensor) wait(token mqtt.Token) {
	s.t.Helper()
	if !token.WaitTimeout(time.Minute) || token.Error() != nil {
		s.t.Fatalf("MQTT of a sub-device: %v", token.Error())
	}
}

// tell sends one of the messages of a stock device.
func tell[T any](s *sensor, method string, payload T) {
	s.t.Helper()
	b, err := message.EncodeOTA(codec.JSON, method, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	s.wait(s.client.Publish(s.cred.System("ota/upstream"), 1, false, b))
}

func (s *sensor) runs(method, version string) {
	s.t.Helper()
	tell(s, method, message.OTAVersion{Module: "default", Version: version})
}

// offered waits for the offer of a version.
func (s *sensor) offered(version string) message.OTAStockOffer {
	s.t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case o := <-s.offers:
			if o.Version == version {
				s.last = version
				return o
			}
			if o.Version != s.last { // that may come once more, with another connection
				s.t.Fatalf("the sub-device is offered %+v, want %s", o, version)
			}
		case <-late:
			s.t.Fatalf("the sub-device is not offered %s", version)
		}
	}
}

// download reads a firmware in ranges, as stock devices do, and compares it.
func (s *sensor) download(o message.OTAStockOffer, want []byte) {
	s.t.Helper()
	const part = 100_000
	var got []byte
	for at := 0; at < int(o.Size); at += part + 1 {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, o.URL, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+part))
		resp, err := web.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusPartialContent {
			s.t.Fatalf("%s: %s, %v", o.URL, resp.Status, err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		s.t.Fatalf("the sub-device has downloaded %d bytes, which are not the %d of the release", len(got), len(want))
	}
}

// TestSubdeviceFirmware: a gateway verifies, keeps and hands over the firmware of a sub-device that knows nothing of manifests, for a campaign that
// selects it; what the sub-device can't flash is taken back. Another one, whose product the gateway does not know, asks the hub itself.
func TestSubdeviceFirmware(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process"}})
	f := newFactory(t, hub)
	f.product = hub.Product(map[string]any{"name": "sensor", "kind": "subdevice"})
	document, err := f.trust().Encode()
	if err != nil {
		t.Fatal(err)
	}
	gateway := hub.Devices(hub.Product(map[string]any{"name": "gateway", "kind": "gateway"}), 1)[0]
	cred := hub.Devices(f.product, 1)[0]
	plain := hub.Devices(hub.Product(map[string]any{"name": "plain", "kind": "subdevice"}), 1)[0]
	dir, listen := t.TempDir(), harness.FreeAddr(t)
	agent := startSubdeviceAgent(t, dir, listen, hub, gateway, []harness.Credentials{cred, plain}, document)

	s := newSensor(t, listen, cred)
	s.runs(message.OTARequestFirmware, "1.0")
	_, next := picture(300_000)
	first := f.push(1, artifacttest.Image{Module: "default", Version: "2.0", Data: next, Chunks: true})
	campaign := f.campaign(first.ReleaseID)
	s.offered("2.0")
	agent.Kill() // with the firmware on its disk
	agent.Restart()
	<-s.begun
	s.runs(message.OTARequestFirmware, "1.0")
	s.download(s.offered("2.0"), next)
	tell(s, message.OTAReportProgress, message.OTAStockProgress{Module: "default", State: "burning", Percent: 50})
	s.runs(message.OTAReportSuccess, "2.0")
	f.settled(campaign, "succeeded")

	_, bad := picture(300_000)
	second := f.push(2, artifacttest.Image{Module: "default", Version: "3.0", Data: bad, Chunks: true})
	campaign = f.campaign(second.ReleaseID)
	s.offered("3.0")
	tell(s, message.OTAReportFail, message.OTAStockFail{Module: "default", ErrCode: -5})
	if d := f.settled(campaign, "rolled_back"); d.Class != "BOOT_FAILED" {
		t.Errorf("the sub-device that could not flash is %+v", d)
	}
	s.runs(message.OTAReportVersion, "2.0")
	f.subdeviceConsents(s, dir, next, bad)

	// The plain one has nobody to verify for it.
	p := newSensor(t, listen, plain)
	p.runs(message.OTARequestFirmware, "1.0")
	f.product = plain.ProductSN
	resp, err := f.client.AddFirmwareWithBody(t.Context(), f.product, &apitype.AddFirmwareParams{Version: "2.0"}, octets, bytes.NewReader(next))
	campaign = f.campaign(answer[apitype.Firmware](t, resp, err).FirmwareID)
	p.download(p.offered("2.0"), next)
	p.runs(message.OTAReportSuccess, "2.0")
	f.settled(campaign, "succeeded")
}

// subdeviceConsents: a release of two images waits on the gateway until its owner agrees, and is handed over one image after the other.
func (f *factory) subdeviceConsents(s *sensor, dir string, a, b []byte) {
	f.t.Helper()
	images := []artifacttest.Image{{Module: "default", Version: "4.0", Data: a, Chunks: true}, {Module: "radio", Version: "1.0", Data: b[:100_000], Chunks: true}}
	resp, err := f.client.AddReleaseWithBody(f.t.Context(), f.product, &apitype.AddReleaseParams{}, octets, bytes.NewReader(f.maker.Envelope(f.t, 3, images...)))
	rel := answer[apitype.Release](f.t, resp, err)
	for _, i := range images {
		resp, err = f.client.PutImageWithBody(f.t.Context(), f.product, rel.ReleaseID, i.Module, octets, bytes.NewReader(i.Data))
		rel = answer[apitype.Release](f.t, resp, err)
	}
	f.until(rel.ReleaseID, func(r apitype.Release) bool { return r.State == apitype.ReleaseStateReady })
	resp, err = f.client.CreateCampaign(f.t.Context(), f.product, apitype.NewCampaign{FirmwareID: rel.ReleaseID, Consent: true, Targets: apitype.CampaignTargets{All: true}})
	campaign := answer[apitype.Campaign](f.t, resp, err).CampaignID
	agent := func(args ...string) string {
		args = append([]string{"ota", args[0], "--config", filepath.Join(dir, "agent.yaml")}, args[1:]...)
		out, err := exec.CommandContext(f.t.Context(), harness.Binary(f.t, "agent"), args...).CombinedOutput()
		if err != nil {
			f.t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	harness.Eventually(f.t, time.Minute, "an update that waits", func() bool {
		return strings.Contains(agent("status"), "update:     default 4.0, accepted waiting CONSENT")
	})
	agent("consent", "--device", s.cred.ProductSN+"/"+s.cred.DeviceSN)
	s.download(s.offered("4.0"), a)
	s.runs(message.OTAReportSuccess, "4.0")
	s.download(s.offered("1.0"), b[:100_000])
	tell(s, message.OTAReportSuccess, message.OTAVersion{Module: "radio", Version: "1.0"})
	f.settled(campaign, "succeeded")
	harness.Eventually(f.t, time.Minute, "what became of it", func() bool {
		return strings.Contains(agent("status"), "last:       default 4.0, confirmed")
	})
}

// campaign starts one for all devices of the product, in one wave.
func (f *factory) campaign(firmware string) string {
	f.t.Helper()
	resp, err := f.client.CreateCampaign(f.t.Context(), f.product, apitype.NewCampaign{FirmwareID: firmware, Targets: apitype.CampaignTargets{All: true}})
	return answer[apitype.Campaign](f.t, resp, err).CampaignID
}

// settled waits until the campaign's one device is in a state.
func (f *factory) settled(campaign, state string) (d apitype.CampaignDevice) {
	f.t.Helper()
	harness.Eventually(f.t, time.Minute, "device "+state, func() bool {
		resp, err := f.client.ListCampaignDevices(f.t.Context(), f.product, campaign, &apitype.ListCampaignDevicesParams{})
		list := answer[apitype.CampaignDeviceList](f.t, resp, err).Items
		if len(list) == 1 {
			d = list[0]
		}
		return string(d.State) == state
	})
	return d
}

// startSubdeviceAgent runs an agent that takes firmware for the first of its sub-devices' products.
func startSubdeviceAgent(t *testing.T, dir, listen string, hub *harness.Hub, gateway harness.Credentials, subs []harness.Credentials, root []byte) *harness.Process {
	t.Helper()
	text := fmt.Sprintf("hub: tls://%s\ntls: {pins: [%s]}\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s/data\nlisten: %s\nsubdevices:\n",
		hub.MQTTS, pinOf(t, hub), gateway.ProductSN, gateway.DeviceSN, gateway.DeviceSecret, dir, listen)
	for _, s := range subs {
		text += fmt.Sprintf("  - {product: %s, device: %s, secret: %s}\n", s.ProductSN, s.DeviceSN, s.DeviceSecret)
	}
	text += fmt.Sprintf("subdevice_firmware:\n  root: %s/root.1\n  listen: 127.0.0.1:0\n  budget: 1MiB\n  products: [{product: %s, modules: [{class: %[3]s/%[4]s}, {name: radio, class: %[3]s/%[4]s, version: \"0.9\"}]}]\n",
		dir, subs[0].ProductSN, artifacttest.Vendor, artifacttest.Class)
	for name, b := range map[string][]byte{"agent.yaml": []byte(text), "root.1": root} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return harness.StartProcess(t, harness.Command{Path: harness.Binary(t, "agent"), Args: []string{"run", "--config", filepath.Join(dir, "agent.yaml")},
		Ready: harness.ReadyAt(listen)})
}
