package main

import (
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	downlinkDevices = 10_000
	downlinkRate    = 2000 // messages a second, all devices together
)

// note is a message of 200 bytes that no thing model knows.
const note = `{"n":{n},"text":"` + "line 4, cabinet 12, north side: the door was opened and closed again, temperature within bounds, humidity within bounds, next look at the turn of the shift; nothing else to report" + `"}`

// application is how an application of the product's project connects over MQTT.
func application(e *env, h *harness.Hub, id string) clientSpec {
	var made struct{ Key string }
	must(e, h.Call("POST", "/v1/api-keys", map[string]any{"name": id, "project": "default", "role": "operator"}, &made))
	key := strings.Split(made.Key, "_") // hwk_<id>_<secret>
	return clientSpec{ID: id, User: "app|" + key[1], Password: made.Key}
}

func received(c counts) int64 { return c.Received }

// forward measures a message on a custom topic that goes to one subscriber and is nobody else's business: no rule and no
// thing model looks at it.
func forward(e *env) {
	hub := harness.StartHub(e, e.hub())
	product := hub.Product(map[string]any{"name": "bench", "kind": "device"})
	sub := application(e, hub, "subscriber")
	sub.Subscribe = "/" + product + "/+/upload"
	ours := []clientSpec{sub}
	for _, d := range hub.Devices(product, uplinkDevices) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Publish: d.Topic("upload")})
	}
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{Pin: e.serverCPU})
	peers := []clientSpec{{ID: "subscriber", Subscribe: "/" + product + "/+/upload"}}
	for i := range uplinkDevices {
		peers = append(peers, clientSpec{ID: fmt.Sprint("dev", i), Publish: fmt.Sprintf("/%s/dev%05d/upload", product, i)})
	}
	fmt.Printf("%d devices, %d msg/s to one subscriber, %d-byte payload, QoS 1, servers on CPU %s, generator on CPU %s; %s\n\n",
		uplinkDevices, uplinkRate, len(note), e.serverCPU, e.genCPU, mosquittoVersion())
	load := loadSpec{QoS: 1, Rate: uplinkRate, Payload: note, Receipt: true}
	besideLoads(e, "forward_qos1", hub, broker, load, ours, peers)
}

// downlink measures a message from an application to one of many connected devices.
func downlink(e *env) {
	n := downlinkDevices
	if e.smoke {
		n = 100
	}
	hub := harness.StartHub(e, e.hub("--publish-rate", "0"))
	product := hub.Product(map[string]any{"name": "bench", "kind": "device"})
	app, peer := application(e, hub, "application"), clientSpec{ID: "application"}
	var ours, peers []clientSpec
	for i, d := range hub.Devices(product, n) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Subscribe: d.Topic("set")})
		app.Topics = append(app.Topics, d.Topic("set"))
		topic := fmt.Sprintf("/%s/dev%05d/set", product, i)
		peers = append(peers, clientSpec{ID: fmt.Sprint("dev", i), Subscribe: topic})
		peer.Topics = append(peer.Topics, topic)
	}
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{Pin: e.serverCPU})
	fmt.Printf("%d devices, %d msg/s to them in turn, %d-byte payload, QoS 1, servers on CPU %s, generator on CPU %s; %s\n\n",
		n, downlinkRate, len(note), e.serverCPU, e.genCPU, mosquittoVersion())
	load := loadSpec{QoS: 1, Rate: downlinkRate, Payload: note, Receipt: true}
	besideLoads(e, "downlink", hub, broker, load, append(ours, app), append(peers, peer))
}

// besideLoads drives both with the same load from clients of their own, and counts what arrives.
func besideLoads(e *env, name string, hub *harness.Hub, broker *harness.Mosquitto, load loadSpec, ours, peers []clientSpec) {
	load.Addr, load.Clients = hub.MQTT, ours
	a := startGenerator(e, "hawser", load)
	load.Addr, load.Clients = broker.Addr, peers
	b := startGenerator(e, "mosquitto", load)
	beside(e, name, side{"hawser", a, hub.PID()}, side{"mosquitto", b, broker.PID()}, received)
}
