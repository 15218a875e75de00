package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestMessageLogOfEnds: messages that end in the queue of a device that is away are explained by the MessageID that their sender
// was told, and so are sub-devices that come and go with their gateway.
func TestMessageLogOfEnds(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{})
	gateways := hub.Product(map[string]any{"name": "gateway", "kind": "gateway"})
	if err := hub.Call("PUT", "/v1/products/"+gateways+"/topics", map[string]any{"items": []any{map[string]any{"path": "set", "permission": "sub"}}}, nil); err != nil {
		t.Fatal(err)
	}
	gateway := hub.Devices(gateways, 1)[0]
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(gateway.ClientID()).SetUsername(gateway.UserName()).
		SetPassword(gateway.DeviceSecret).SetCleanSession(false).SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {})
	c, _ := dialMQTT(t, opts)
	c.Subscribe(gateway.Topic("set"), 1, nil).WaitTimeout(time.Minute)

	subs := hub.Product(map[string]any{"name": "sub", "kind": "subdevice"})
	sub := hub.Devices(subs, 1)[0]
	of := fmt.Sprintf("?product=%s&device=%s&kind=connection", subs, sub.DeviceSN)
	params := fmt.Sprintf(`{"RequestID":"1","Params":[{"ProductSN":%q,"DeviceSN":%q}]}`, subs, sub.DeviceSN)
	publish(t, c, gateway.System("subdev/topo/add"), params)
	publish(t, c, gateway.System("subdev/login"), params)
	explained(t, hub, "the sub-device's login", of, func(r *logged) bool {
		return r.Action == "login" && strings.Contains(r.hop("door"), "through gateway "+gateways+"/"+gateway.DeviceSN)
	})
	c.Disconnect(100)
	explained(t, hub, "the sub-device's end", of, func(r *logged) bool { return r.Action == "logout" && strings.Contains(r.hop("door"), "gateway") })

	send := func(expiry int) string {
		t.Helper()
		var sent struct{ MessageID, Outcome string }
		body := map[string]any{"topic": "set", "payload": "{}", "qos": 1, "expirySeconds": expiry}
		if err := hub.Call("POST", fmt.Sprintf("/v1/products/%s/devices/%s/publish", gateways, gateway.DeviceSN), body, &sent); err != nil {
			t.Fatal(err)
		}
		if sent.Outcome != "queued" || sent.MessageID == "" {
			t.Fatalf("sent: %+v", sent)
		}
		return sent.MessageID
	}
	lost := func(id, why string) {
		t.Helper()
		explained(t, hub, "the end of "+id, fmt.Sprintf("?product=%s&messageID=%s&result=failed", gateways, id), func(r *logged) bool {
			return strings.Contains(r.hop("delivery"), why)
		})
	}
	first := send(600)
	for range 99 {
		send(600)
	}
	short := send(1)
	lost(first, "gave way")
	due := time.Now().Add(time.Second)
	harness.Eventually(t, time.Minute, "the message's time is over", func() bool { return time.Now().After(due) })
	c, _ = dialMQTT(t, opts)
	lost(short, "its time was over")
	c.Disconnect(100)
}
