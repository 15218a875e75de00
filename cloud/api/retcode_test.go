package api_test

import (
	"fmt"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Applications find the device protocol's codes of the thing model as retCode of the problem.
func TestRetCodes(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"lamp"}`)
	h.must("PUT", p+"/thing-model", model)
	h.must("POST", p+"/devices", `{"deviceSN":"away"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"odd-1"}`)
	// The device answers dim 1 badly, dim 2 with an error of its own, everything else not at all.
	h.connect(p+"/devices/odd-1", func(c mqtt.Client, m mqtt.Message) {
		in := answer{body: m.Payload()}
		reply := map[string]string{"1": `"RetCode":0,"Identifier":"dim","Output":{"now":"bright"}`, "2": `"RetCode":7,"Message":"no bulb"`}[in.get("Input", "percent")]
		if reply != "" {
			c.Publish(m.Topic()+"_reply/"+in.get("RequestID"), 1, false, fmt.Sprintf(`{"RequestID":"%s",%s}`, in.get("RequestID"), reply))
		}
	}, "/$system/P/D/tmodel/command")
	tests := []struct {
		path, body   string
		status       int
		code, number string
	}{
		{"/devices/away/commands", `{"identifier":"dim"}`, 409, "device_offline", "100039"},
		{"/devices/away/properties", `{"property":{"target":20}}`, 409, "device_offline", "100039"},
		{"/devices/odd-1/commands", `{"identifier":"dim","timeoutSeconds":0.2}`, 504, "device_timeout", "100040"},
		{"/devices/odd-1/commands", `{"identifier":"dim","input":{"percent":1}}`, 502, "bad_device_reply", "100041"},
		{"/devices/odd-1/commands", `{"identifier":"boil"}`, 400, "", "100046"},
		{"/devices/odd-1/commands", `{"identifier":"dim","input":{"x":1}}`, 400, "", "100038"},
		{"/devices/odd-1/commands", `{"identifier":"dim","input":{"percent":101}}`, 400, "", "220"},
		{"/devices/odd-1/properties", `{"property":{"t":20}}`, 400, "", "100049"},
		{"/devices/odd-1/properties", `{"property":{"x":20}}`, 400, "", "100058"},
		{"/devices/odd-1/properties", `{"property":{"target":"x"}}`, 400, "", "230"},
		{"/publish", `{}`, 200, "", ""},
		{"/publish", `{}`, 409, "product_published", "100054"},
		{"/thing-model:import", `{"document":` + model + `}`, 409, "product_published", "100054"},
	}
	for _, tt := range tests {
		a := h.do("POST", p+tt.path, tt.body)
		if a.status != tt.status || tt.code != "" && a.get("code") != tt.code || strings.TrimSuffix(a.get("retCode"), "null") != tt.number {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, a.status, a.body)
		}
	}
	if a := h.do("PUT", p+"/thing-model", model); a.status != 409 || a.get("retCode") != "100054" {
		t.Errorf("set of a published model: %d %s", a.status, a.body)
	}
	if a := h.must("POST", p+"/devices/odd-1/commands", `{"identifier":"dim","input":{"percent":2}}`); a.get("retCode") != "7" || a.get("status") != "failed" {
		t.Errorf("the device's own code: %s", a.body)
	}
	if a := h.must("GET", p+"/devices/odd-1/commands?limit=1", ""); a.get("items", "0", "message") != "no bulb" || a.get("items", "0", "retCode") != "7" {
		t.Errorf("its record: %s", a.body)
	}
}
