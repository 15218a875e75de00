package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// footprint measures what a hub takes before anybody uses it much: the time from its start to "ready" on an empty data
// folder and on its own, its resident memory idle and with 5,000 connected devices, and the size of the binaries. The peer
// is mosquitto with as many subscribers; the RESULT compares the memory of the processes with their fleets.
func footprint(e *env) {
	n, settle := 5_000, 8*time.Second
	if e.smoke {
		n, settle = 100, time.Second
	}
	first, again := starts(e)
	hub := harness.StartHub(e, harness.HubOptions{Bin: e.hubBin})
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{})
	product := hub.Product(map[string]any{"name": "footprint", "kind": "device"})
	var ours, peers []clientSpec
	for i, d := range hub.Devices(product, n) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Subscribe: d.Topic("set")})
		peers = append(peers, clientSpec{ID: fmt.Sprint("dev", i), Subscribe: fmt.Sprintf("/footprint/%d/set", i)})
	}
	idle := rss(e, hub.PID())
	peerIdle := rss(e, broker.PID())
	busy := fleetMemory(e, "hawser", hub.PID(), settle, loadSpec{Addr: hub.MQTT, Clients: ours})
	peerBusy := fleetMemory(e, "mosquitto", broker.PID(), settle, loadSpec{Addr: broker.Addr, Clients: peers})

	fmt.Printf("start to ready, empty data folder  %s ms\n", first)
	fmt.Printf("start to ready, own data folder    %s ms\n", again)
	fmt.Printf("memory, nobody connected           %8.1f MiB (mosquitto %.1f)\n", mib(idle), mib(peerIdle))
	fmt.Printf("memory, %5d devices connected     %8.1f MiB (mosquitto %.1f)\n", n, mib(busy), mib(peerBusy))
	binaries(e)
	result("footprint", series{mib(busy)}, series{mib(peerBusy)}, "MiB_rss_with_fleet")
}

// starts times hubs on a new folder, and on the folder that the first start made.
func starts(e *env) (first, again series) {
	for range e.rounds {
		begin := time.Now()
		hub := harness.StartHub(e, harness.HubOptions{Bin: e.hubBin})
		first = append(first, float64(time.Since(begin).Microseconds())/1e3)
		must(e, hub.Stop())
		begin = time.Now()
		hub.Start()
		again = append(again, float64(time.Since(begin).Microseconds())/1e3)
		must(e, hub.Stop())
	}
	return first, again
}

// fleetMemory is the process's resident memory with the clients of spec connected and quiet for a while.
func fleetMemory(e *env, label string, pid int, settle time.Duration, spec loadSpec) int64 {
	g := startGenerator(e, label, spec)
	defer g.close()
	time.Sleep(settle)
	if lost := g.count().Lost; lost > 0 {
		e.Fatalf("%s dropped %d of its connections", label, lost)
	}
	return rss(e, pid)
}

// binaries prints the sizes of what `make build` leaves, stripped as there.
func binaries(e *env) {
	dir := e.TempDir()
	for _, b := range []struct{ name, goos, goarch, extra string }{
		{"hub", "linux", "amd64", ""}, {"hawserctl", "linux", "amd64", ""}, {"agent", "linux", "amd64", ""},
		{"agent", "linux", "arm", "GOARM=7"}, {"agent", "linux", "mipsle", "GOMIPS=softfloat"},
	} {
		if e.smoke && b.extra != "" {
			continue
		}
		out := filepath.Join(dir, b.name+b.goarch)
		env := []string{"GOOS=" + b.goos, "GOARCH=" + b.goarch}
		if b.extra != "" {
			env = append(env, b.extra)
		}
		must(e, harness.Build(e, out, b.name, env...))
		info, err := os.Stat(out)
		must(e, err)
		fmt.Printf("binary %-10s %-6s              %8.1f MiB\n", b.name, b.goarch, mib(info.Size()))
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
