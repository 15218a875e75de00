package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const meterScript = `function rawDataToJSON(topic, raw) {
  if (raw.length !== 3) throw new Error('want 3 bytes')
  return {n: raw[0], temperature: (raw[1] << 8 | raw[2]) / 10}
}
function jsonToRawData(topic, object) { return [1, object.led] }`

func sourceBody(source string) string {
	b, _ := json.Marshal(map[string]string{"source": source})
	return string(b)
}

// TestScript: a device that speaks bytes, and an application that speaks JSON.
func TestScript(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meter"}`)
	product := strings.TrimPrefix(p, "/v1/products/")
	h.must("POST", p+"/devices", `{"deviceSN":"cellar-1"}`)
	for _, tt := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", p + "/script", "", 404, "script_not_found"},
		{"DELETE", p + "/script", "", 404, "script_not_found"},
		{"POST", p + "/script:try", `{}`, 404, "script_not_found"},
		{"POST", p + "/script:try", `{"payloadHex":"00","payload":"x"}`, 400, "invalid"},
		{"POST", p + "/script:try", `{"payloadHex":"0g"}`, 400, "invalid"},
		{"GET", p + "/script/versions/1", "", 404, "version_not_found"},
		{"PUT", p + "/script", sourceBody("function ("), 422, "invalid_script"},
		{"PUT", p + "/script", sourceBody("for (;;) {}"), 422, "invalid_script"},
		{"PUT", p + "/script", sourceBody("var x = 1"), 400, "invalid"},
		{"PUT", p + "/script", sourceBody(strings.Repeat(" ", 70_000)), 400, "invalid"},
		{"PUT", "/v1/products/nosuchproduct123/script", sourceBody(meterScript), 404, "product_not_found"},
	} {
		h.want(tt.method+" "+tt.path+" "+tt.body[:min(len(tt.body), 60)], h.do(tt.method, tt.path, tt.body), tt.status, tt.code)
	}
	a := h.must("PUT", p+"/script", sourceBody(meterScript))
	if a.get("revision") != "1" || a.get("functions", "1") != "jsonToRawData" || a.get("source") != meterScript {
		t.Errorf("stored: %s", a.body)
	}
	sets := make(chan string, 10)
	c := h.connect(p+"/devices/cellar-1", func(_ mqtt.Client, m mqtt.Message) { sets <- string(m.Payload()) }, "/P/D/set")
	next := func(what, want string) {
		t.Helper()
		select {
		case got := <-sets:
			if got != want {
				t.Errorf("%s: the device got %q, want %q", what, got, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: the device got nothing", what)
		}
	}
	for body, want := range map[string]string{
		`{"topic":"set","qos":1,"payload":"{\"led\":7}"}`:            "\x01\x07",
		`{"topic":"set","qos":1,"payload":"{\"led\":7}","raw":true}`: `{"led":7}`,
		`{"topic":"set","qos":1,"payload":"text"}`:                   "text",
	} {
		if a := h.must("POST", p+"/devices/cellar-1/publish", body); (a.get("encoded") == "true") != (want == "\x01\x07") {
			t.Errorf("%s: %s", body, a.body)
		}
		next(body, want)
	}
	h.want("bad byte", h.do("POST", p+"/devices/cellar-1/publish", `{"topic":"set","payload":"{\"led\":700}"}`), 422, "invalid_script")

	// A rule sees the parsed message, and its republish goes down as bytes.
	h.must("POST", "/v1/rules", fmt.Sprintf(`{"name":"r","enabled":true,"sql":"SELECT n + 1 AS led FROM '/%s/+/upload' WHERE temperature > 21",
		"actions":[{"kind":"republish","topic":"/%s/cellar-1/set","qos":1}]}`, product, product))
	h.token(c.Publish("/"+product+"/cellar-1/upload?parse=true", 1, false, []byte{4, 0, 0xd7}))
	next("republish", "\x01\x05")
	h.token(c.Publish("/"+product+"/cellar-1/upload?parse=true", 1, false, "x")) // acknowledged, for want of a word, and dropped
	h.overHTTP(p, product)
	next("republish of HTTP", "\x01\x02")
}

// overHTTP posts to the topic of a device with ?parse=true.
func (h *testHub) overHTTP(p, product string) {
	h.t.Helper()
	secret := h.must("GET", p+"/devices/cellar-1", "").get("deviceSecret")
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":"cellar-1"}`, product)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	token := h.must("POST", "/auth", body, "Authorization", hex.EncodeToString(mac.Sum(nil))).get("Token")
	for payload, want := range map[string]string{"\x01\x00\xd7": "0", "x": "230"} {
		a := h.do("POST", "/topic/"+product+"/cellar-1/upload?parse=true", payload, "Password", token, "Content-Type", "application/octet-stream")
		if a.get("RetCode") != want {
			h.t.Errorf("%q over HTTP: %d %s", payload, a.status, a.body)
		}
	}
}

// TestScriptTry: nothing of a trial stays.
func TestScriptTry(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meter"}`)
	draft := strings.TrimSuffix(sourceBody("function rawDataToJSON(t, r) {\n  console.log(t)\n  if (!r.length) throw new Error('empty')\n  return {r: r}\n}"), "}")
	a := h.must("POST", p+"/script:try", draft+`,"payloadHex":"01 ff","topic":"/a/b"}`)
	if a.get("object") != `{"r":[1,255]}` || a.get("console") != "/a/b\n" || a.get("memoryBytes") == "0" || a.get("error") != "" {
		t.Errorf("%s", a.body)
	}
	a = h.must("POST", p+"/script:try", draft+"}")
	if a.get("error", "kind") != "thrown" || a.get("error", "line") != "3" || a.get("error", "reason") != "Error: empty" || a.get("object") != "" {
		t.Errorf("%s", a.body)
	}
	a = h.must("POST", p+"/script:try", sourceBody("function rawDataToJSON() { for (;;) {} }"))
	if a.get("error", "kind") != "timeout" {
		t.Errorf("%s", a.body)
	}
	h.want("nothing stored", h.do("GET", p+"/script", ""), 404, "script_not_found")
}
