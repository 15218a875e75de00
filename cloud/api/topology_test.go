package api_test

import (
	"fmt"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestTopology: a gateway's request waits until an operator consents, and the gateway is told of what operators do.
func TestTopology(t *testing.T) {
	h := start(t)
	gateways := h.product(`{"name":"gateways","kind":"gateway"}`)[len("/v1/products/"):]
	meters := h.product(`{"name":"meters","kind":"subdevice","settings":{"subdeviceConsent":true}}`)[len("/v1/products/"):]
	h.must("POST", "/v1/products/"+gateways+"/devices", `{"deviceSN":"gateway-1"}`)
	h.must("POST", "/v1/products/"+meters+"/devices", `{"deviceSN":"meter-1"}`)
	gateway := "/v1/products/" + gateways + "/devices/gateway-1"
	meter := "/v1/products/" + meters + "/devices/meter-1"
	heard := make(chan string, 16)
	system := "/$system/" + gateways + "/gateway-1/subdev/"
	c := h.connect(gateway, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic()[len(system):] + " " + string(m.Payload()) }, system+"#")
	want := func(text string) {
		t.Helper()
		if got := <-heard; got != text {
			t.Errorf("the gateway heard %s\nwant %s", got, text)
		}
	}
	params := fmt.Sprintf(`[{"ProductSN":%q,"DeviceSN":"meter-1"}]`, meters)
	h.token(c.Publish(system+"topo/add", 1, false, `{"RequestID":"1","Params":`+params+`}`))
	want(`topo/add_reply {"RequestID":"1","RetCode":100075,"Message":"` + meters + `/meter-1: waits for an operator's consent"}`)
	list := h.must("GET", "/v1/topology-requests", "")
	if got := list.get("items", "0", "gatewaySN") + " " + list.get("items", "0", "deviceSN"); got != "gateway-1 meter-1" {
		t.Errorf("requests: %s", got)
	}
	h.must("POST", gateway+"/topology-requests/"+meters+"/meter-1/accept", "")
	<-heard // notify/add, whose RequestID is the hub's
	if got := h.must("GET", meter+"/gateway", "").get("deviceSN"); got != "gateway-1" {
		t.Errorf("gateway: %s", got)
	}
	h.token(c.Publish(system+"login", 1, false, `{"RequestID":"2","Params":`+params+`}`))
	want(`login_reply {"RequestID":"2","RetCode":0,"Message":"success"}`)
	if got := h.must("GET", gateway+"/subdevices", "").get("items", "0", "state"); got != "online" {
		t.Errorf("sub-device is %s", got)
	}
	h.must("POST", gateway+"/publish", `{"topic":"`+system+`topo/found_reply","payload":"{\"RequestID\":\"9\",\"RetCode\":0}","qos":1}`)
	want(`topo/found_reply {"RequestID":"9","RetCode":0}`)
	h.must("POST", meter+"/disable", "")
	if got := <-heard; got[:14] != "disable {\"Requ" {
		t.Errorf("the gateway heard %s", got)
	}
	h.must("DELETE", gateway+"/subdevices/"+meters+"/meter-1", "")
	if got := h.do("GET", meter+"/gateway", ""); got.status != 404 || got.get("code") != "gateway_not_found" {
		t.Errorf("gateway of nobody's: %d %s", got.status, got.get("code"))
	}
	if got := h.do("POST", meter+"/subdevices", `{"subdevices":[{"productSN":"`+meters+`","deviceSN":"meter-1"}]}`); got.get("code") != "not_a_gateway" {
		t.Errorf("a meter with sub-devices: %s", got.get("code"))
	}
}
