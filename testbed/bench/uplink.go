package main

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	uplinkDevices = 500
	uplinkRate    = 5000 // messages a second, all devices together
)

// report is a property post of 200 bytes, the size of the peers' figures.
const report = `{"RequestID":"{n}","Property":{"temperature":{"Value":21.53},"humidity":{"Value":48.25},"pressure":{"Value":1013.25},"mode":{"Value":2},"on":{"Value":1},"label":{"Value":"line 4, cabinet 12, north side"}}}`

// uplink measures CPU a property post from 500 devices. Ours does all that a
// hub does with it: permission, thing model, latest value, one matching rule
// into the durable outbox and its HTTP sink. The peer forwards it to one
// subscriber.
func uplink(e *env, qos byte) {
	ours, hub := ourUplink(e, qos)
	peer, broker := peerUplink(e, qos)
	messages := func(c counts) int64 { return c.Acked }
	if qos == 0 {
		messages = func(c counts) int64 { return c.Sent }
	}
	fmt.Printf("%d devices, %d msg/s, %d-byte payload, QoS %d, servers on CPU %s, generator on CPU %s; %s\n\n",
		uplinkDevices, uplinkRate, len(report), qos, e.serverCPU, e.genCPU, mosquittoVersion())
	beside(e, fmt.Sprintf("uplink_qos%d", qos), side{"hawser", ours, hub.PID()}, side{"mosquitto", peer, broker.PID()}, messages)
}

// side is one of two that are measured beside each other.
type side struct {
	name string
	gen  *generator
	pid  int
}

// beside measures both sides in alternating rounds and prints what a message costs them.
func beside(e *env, name string, ours, peer side, messages func(counts) int64) {
	fmt.Println("round  side       CPU µs/msg  generator µs/msg  messages   p50 µs   p99 µs")
	var all [2]series
	for i := range e.rounds {
		for j, s := range []side{ours, peer} {
			got := s.gen.round(s.pid, e.warm, e.length, messages)
			printRound(i, s.name, got)
			all[j] = append(all[j], float64(got.perMessage.Nanoseconds())/1e3)
		}
	}
	fmt.Printf("\n%-9s  %s µs CPU a message\n%-9s  %s µs CPU a message\n", ours.name, all[0], peer.name, all[1])
	result(name, all[0], all[1], "us_cpu_per_msg")
}

func printRound(i int, side string, s sample) {
	fmt.Printf("%5d  %-9s  %10.2f  %16.2f  %8d  %7d  %7d\n", i+1, side, float64(s.perMessage.Nanoseconds())/1e3,
		float64(s.generator.Nanoseconds())/1e3, s.messages, s.counts.P50.Microseconds(), s.counts.P99.Microseconds())
}

func ourUplink(e *env, qos byte) (*generator, *harness.Hub) {
	hub := harness.StartHub(e, e.hub("--rule-allow-local"))
	product := hub.Product(map[string]any{"name": "bench", "kind": "device"})
	must(e, hub.Call("PUT", "/v1/products/"+product+"/thing-model", benchModel(), nil))
	sink := harness.StartReceiver(e)
	must(e, hub.Call("POST", "/v1/rules", map[string]any{
		"name": "bench", "enabled": true,
		"sql":     "SELECT Property.temperature.Value AS t, deviceSN() AS device FROM '/$system/" + product + "/+/tmodel/property/post' WHERE Property.temperature.Value > 20",
		"actions": []any{map[string]any{"kind": "http", "url": sink.URL, "batchSize": 100}},
	}, nil))
	var clients []clientSpec
	for _, d := range hub.Devices(product, uplinkDevices) {
		clients = append(clients, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Publish: d.System("tmodel/property/post")})
	}
	return startGenerator(e, "hawser", loadSpec{Addr: hub.MQTT, Clients: clients, QoS: qos, Rate: uplinkRate, Payload: report}), hub
}

func peerUplink(e *env, qos byte) (*generator, *harness.Mosquitto) {
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{Pin: e.serverCPU})
	clients := []clientSpec{{ID: "subscriber", Subscribe: "bench/#"}}
	for i := range uplinkDevices {
		id := fmt.Sprintf("dev%d", i)
		clients = append(clients, clientSpec{ID: id, Publish: "bench/abcdefghijklmnop/" + id + "/tmodel/property/post"})
	}
	return startGenerator(e, "mosquitto", loadSpec{Addr: broker.Addr, Clients: clients, QoS: qos, Rate: uplinkRate, Payload: report}), broker
}

// benchModel is the thing model of report's six properties.
func benchModel() map[string]any {
	prop := func(id, typ string, spec map[string]any) map[string]any {
		return map[string]any{"Identifier": id, "Name": id, "AccessMode": "rw", "DataType": map[string]any{"Type": typ, "Spec": spec}}
	}
	return map[string]any{
		"Property": []any{
			prop("temperature", "float64", map[string]any{"Min": -50, "Max": 150, "Step": 0.01, "UnitName": "°C"}),
			prop("humidity", "float64", map[string]any{"Min": 0, "Max": 100, "Step": 0.01, "UnitName": "%"}),
			prop("pressure", "float64", map[string]any{"Min": 0, "Max": 2000, "Step": 0.01, "UnitName": "hPa"}),
			prop("mode", "int32", map[string]any{"Min": 0, "Max": 10, "Step": 1, "UnitName": ""}),
			prop("on", "bool", map[string]any{"0": "off", "1": "on"}),
			prop("label", "string", map[string]any{"Length": 64}),
		},
		"Event": []any{}, "Command": []any{},
	}
}

func must(e *env, err error) {
	if err != nil {
		e.Fatalf("%v", err)
	}
}

// mosquittoVersion is the peer's own word for its version.
func mosquittoVersion() string {
	out, _ := exec.Command("/usr/sbin/mosquitto", "-h").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
