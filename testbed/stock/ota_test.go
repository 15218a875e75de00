package stock

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// addFirmware uploads an image.
func addFirmware(t *testing.T, hub *harness.Hub, product, version string, image []byte) (id string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+hub.HTTP+"/v1/products/"+product+"/firmwares?version="+version, bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hub.Key)
	req.Header.Set("Content-Type", "application/octet-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	var f struct{ FirmwareID string }
	if err != nil || res.StatusCode != http.StatusCreated || json.Unmarshal(b, &f) != nil {
		t.Fatalf("add firmware: %s %s %v", res.Status, b, err)
	}
	return f.FirmwareID
}

// startTask brings a firmware to devices.
func startTask(t *testing.T, hub *harness.Hub, firmware string, devices ...harness.Credentials) (path string) {
	t.Helper()
	var sns []string
	for _, d := range devices {
		sns = append(sns, d.DeviceSN)
	}
	path = "/v1/products/" + devices[0].ProductSN + "/ota-tasks"
	var task struct{ TaskID string }
	if err := hub.Call("POST", path, map[string]any{"firmwareID": firmware, "targets": map[string]any{"devices": sns}}, &task); err != nil {
		t.Fatal(err)
	}
	return path + "/" + task.TaskID
}

// updateState is where a task's only device is.
func updateState(t *testing.T, hub *harness.Hub, task string) string {
	t.Helper()
	var list struct {
		Items []struct{ State, Class string }
	}
	if err := hub.Call("GET", task+"/devices", nil, &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	return list.Items[0].State + list.Items[0].Class
}

func image(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(b)
	return b
}

// TestFirmware is an update as a stock device does it: report_version and request_firmware at its start, ranges of 4,097 bytes on one
// connection from what the URL looks like to it, report_success, and only then the PUBACK of update_firmware.
func TestFirmware(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	data := image(4096*40 + 100)
	firmware := addFirmware(t, hub, d.ProductSN, "2.0", data)
	w := login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	w.publish(d.System("ota/upstream"), `{"Method": "report_version","Payload":{"Module":"default","Version":"1.0"}}`)
	task := startTask(t, hub, firmware, d)
	m := w.get() // it is online and hears of it without asking

	// What it makes of the message: string search for each key, one path segment and a query in the URL.
	if !strings.HasPrefix(m.payload, `{"Method":"update_firmware","Payload":{"Module":"default","Version":"2.0","URL":"`+base+`/`) {
		t.Fatalf("%s", m.payload)
	}
	url := value(t, m.payload, "URL")
	path := strings.TrimPrefix(url, base)
	name, query, ok := strings.Cut(path[1:], "?")
	if !ok || name == "" || query == "" || strings.ContainsAny(name, "/") || strings.ContainsAny(url, "#&\\") || len(url) > 200 {
		t.Errorf("URL %s", url)
	}
	var offer struct{ Payload struct{ Size int } }
	if err := json.Unmarshal([]byte(m.payload), &offer); err != nil || offer.Payload.Size != len(data) || value(t, m.payload, "MD5") != fmt.Sprintf("%x", md5.Sum(data)) {
		t.Errorf("%s, %v", m.payload, err)
	}

	// It asks for the firmware in the meantime, as after its start: it is at it already and gets no second offer.
	w.publish(d.System("ota/upstream"), `{"Method": "request_firmware","Payload":{"Module":"default","Version":"1.0"}}`)
	c := dial(t, hub, true)
	var got []byte
	for len(got) < len(data) {
		c.send("GET %s HTTP/1.1\r\nHost: iot.example.com\r\nRange: bytes=%d-%d\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"+
			"Accept-Encoding: gzip, deflate\r\n\r\n", path, len(got), len(got)+4096)
		began := time.Now()
		status, body := c.answer()
		if status != http.StatusPartialContent || time.Since(began) > harness.Promised(10*time.Second) {
			t.Fatalf("status %d after %v", status, time.Since(began))
		}
		got = append(got, body...)
	}
	if !bytes.Equal(got, data) {
		t.Error("not the bytes of the firmware")
	}
	w.write(0x30, append(text(d.System("ota/upstream")), `{"Method": "report_progress","Payload": {"Module":"default","State":"downloading","Percent":100}}`...))
	w.publish(d.System("ota/upstream"), `{"Method": "report_success","Payload": {"Module":"default","Version":"2.0"}}`)
	w.ack(m)
	if got := updateState(t, hub, task); got != "succeeded" {
		t.Errorf("state %s", got)
	}
	// At the next start it reports the version that was compiled in and asks: what is settled is not offered again.
	w = login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	w.publish(d.System("ota/upstream"), `{"Method": "report_version","Payload":{"Module":"default","Version":"1.0"}}`)
	w.publish(d.System("ota/upstream"), `{"Method": "request_firmware","Payload":{"Module":"default","Version":"1.0"}}`)
	w.quiet(time.Second)
	if got := updateState(t, hub, task); got != "succeeded" {
		t.Errorf("state %s", got)
	}
}

// TestCancelDuringDownload: the offer is acknowledged after the download only, and a cancellation must get past it.
func TestCancelDuringDownload(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	task := startTask(t, hub, addFirmware(t, hub, d.ProductSN, "2.0", image(1000)), d)
	offer := w.get()
	if err := hub.Call("POST", task+"/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	cancel := w.get()
	if cancel.payload != `{"Method":"cancel_update","Payload":{"Module":"default","Version":"2.0"}}` || cancel.id == offer.id {
		t.Errorf("%+v", cancel)
	}
	w.ack(cancel)
	w.ack(offer)
	if got := updateState(t, hub, task); got != "cancelled" {
		t.Errorf("state %s", got)
	}
}

// TestGarbageInReportFail: Module and Version of a report_fail are whatever lay in the device's memory.
func TestGarbageInReportFail(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	task := startTask(t, hub, addFirmware(t, hub, d.ProductSN, "2.0", image(1000)), d)
	w.ack(w.get())
	w.publish(d.System("ota/upstream"), "{\"Method\": \"report_fail\",\"Payload\": {\"Module\":\"\xf0\x9f\xff\x02\",\"ErrCode\": -4,\"Version\":\"\x80\"}}")
	if got := updateState(t, hub, task); got != "failedchecksum" {
		t.Errorf("state %s", got)
	}
}

// TestReturnsWithoutNewVersion: power was lost during the download; the device asks in its next session and is offered it again.
func TestReturnsWithoutNewVersion(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	startTask(t, hub, addFirmware(t, hub, d.ProductSN, "2.0", image(1000)), d)
	w.get()
	_ = w.conn.Close()
	w = login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	m := w.ask(d.System("ota/upstream"), `{"Method": "request_firmware","Payload":{"Module":"default","Version":"1.0"}}`)
	if !strings.HasPrefix(m.payload, `{"Method":"update_firmware"`) {
		t.Errorf("%s", m.payload)
	}
	w.quiet(time.Second)
}

// TestFirmwareURLErrors: whatever comes as a body is flashed, so that there is none; without TLS only where the operator allows it.
func TestFirmwareURLErrors(t *testing.T) {
	hub, devices := start(t, 1, nil)
	d := devices[0]
	w := login(t, hub, d, "")
	w.subscribe(d.System("ota/downstream"))
	startTask(t, hub, addFirmware(t, hub, d.ProductSN, "2.0", image(1000)), d)
	path := strings.TrimPrefix(value(t, w.get().payload, "URL"), base)
	for name, tt := range map[string]struct {
		overTLS      bool
		path, ranges string
	}{
		"no such file": {true, "/default-2.0.bin?f=nothing", "0-4096"}, "past the end": {true, path, "1000-5096"}, "without TLS": {false, path, "0-4096"},
	} {
		c := dial(t, hub, tt.overTLS)
		c.send("GET %s HTTP/1.1\r\nHost: iot.example.com\r\nRange: bytes=%s\r\n\r\n", tt.path, tt.ranges)
		if status, body := c.answer(); status < 400 || body != "" {
			t.Errorf("%s: %d, %d bytes", name, status, len(body))
		}
	}
}
