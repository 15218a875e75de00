package api_test

import (
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestBroadcast: a broadcast reaches all that are subscribed, a gateway with several sub-devices once, and its result names everybody.
func TestBroadcast(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meters","kind":"subdevice"}`)
	g := h.product(`{"name":"gateways","kind":"gateway"}`)
	sn, gw := p[len("/v1/products/"):], g[len("/v1/products/"):]
	h.must("POST", p+"/devices:batch", `{"deviceSNs":["meter-1","meter-2","meter-3"]}`)
	h.must("POST", g+"/devices", `{"deviceSN":"gateway-1"}`)
	both := `{"subdevices":[{"productSN":"` + sn + `","deviceSN":"meter-1"},{"productSN":"` + sn + `","deviceSN":"meter-2"}]}`
	h.must("POST", g+"/devices/gateway-1/subdevices", both)
	heard, replies := make(chan string, 8), make(chan string, 8)
	system := "/$system/" + gw + "/gateway-1/subdev/"
	c := h.connect(g+"/devices/gateway-1", func(_ mqtt.Client, m mqtt.Message) { replies <- string(m.Payload()) }, system+"login_reply")
	h.token(c.Publish(system+"login", 1, false, `{"RequestID":"1","Params":[{"ProductSN":"`+sn+`","DeviceSN":"meter-1"},{"ProductSN":"`+sn+`","DeviceSN":"meter-2"}]}`))
	if got := <-replies; !strings.Contains(got, `"RetCode":0`) {
		t.Fatal(got)
	}
	h.token(c.Subscribe("/"+sn+"/$broadcast/#", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() + " " + string(m.Payload()) }))
	for _, path := range []string{"all", "/" + sn + "/$broadcast/all"} {
		id := h.must("POST", p+"/broadcast", `{"topic":"`+path+`","payload":"hello","qos":1}`).get("id")
		if got := <-heard; got != "/"+sn+"/$broadcast/all hello" {
			t.Errorf("heard %s", got)
		}
		eventually(t, "the job is done", func() bool { return h.must("GET", "/v1/jobs/"+id, "").get("state") == "done" })
		result := string(h.do("GET", "/v1/jobs/"+id+"/result", "").body)
		if strings.Count(result, ",delivered,") != 1 || strings.Count(result, ",shared,") != 1 || !strings.Contains(result, "meter-3,device_offline,") {
			t.Errorf("result:\n%s", result)
		}
	}
	if len(heard) != 0 {
		t.Errorf("the gateway heard it again: %s", <-heard)
	}
	if got := h.do("POST", p+"/broadcast", `{"topic":"/`+gw+`/$broadcast/all"}`); got.status != 400 {
		t.Errorf("another product's topic: %d", got.status)
	}
	if got := h.do("POST", p+"/broadcast", `{"topic":"a/+"}`); got.status != 400 {
		t.Errorf("a filter: %d", got.status)
	}
}
