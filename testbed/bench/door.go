package main

import (
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// serverSide is one of several servers that are driven in turn.
type serverSide struct {
	name string
	gen  *generator
	pid  int
}

// three starts the engine with an owner in memory, a hub and mosquitto, each with publishers and one subscriber of all they send. The hub's
// subscriber has a persistent session: each message is a row of its queue, in a group commit before the PUBACK.
func three(e *env, publishers int, load loadSpec) []serverSide {
	hub := harness.StartHub(e, e.hub("--publish-rate", "0"))
	product := hub.Product(map[string]any{"name": "bench", "kind": "device"})
	app := application(e, hub, "subscriber")
	app.Subscribe, app.Persistent = "/"+product+"/+/upload", true
	ours, plain := []clientSpec{app}, []clientSpec{{ID: "subscriber", Subscribe: "bench/+/upload"}}
	for i, d := range hub.Devices(product, publishers) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Publish: d.Topic("upload")})
		plain = append(plain, clientSpec{ID: fmt.Sprint("dev", i), Publish: fmt.Sprintf("bench/dev%05d/upload", i)})
	}
	alone, broker := startEngine(e), harness.StartMosquitto(e, harness.MosquittoOptions{Pin: e.serverCPU})
	start := func(name, addr string, clients []clientSpec, pid int) serverSide {
		load.Addr, load.Clients = addr, clients
		return serverSide{name, startGenerator(e, name, load), pid}
	}
	return []serverSide{start("engine", alone.addr, plain, alone.cmd.Process.Pid), start("hub", hub.MQTT, ours, hub.PID()),
		start("mosquitto", broker.Addr, plain, broker.PID())}
}

// latency measures how long a PUBLISH waits for its PUBACK while 1,000 a second come from 100 clients.
func latency(e *env) {
	const rate = 1000
	load := loadSpec{QoS: 1, Rate: rate, Payload: note}
	sides := three(e, 100, load)
	fmt.Printf("100 devices, %d msg/s to one subscriber, QoS 1, from PUBLISH to PUBACK, servers on CPU %s, generator on CPU %s; %s\n\n",
		rate, e.serverCPU, e.genCPU, mosquittoVersion())
	p99 := make([]series, len(sides))
	for i := range e.rounds {
		for j, s := range sides {
			got := s.gen.round(s.pid, e.warm, e.length, func(c counts) int64 { return c.Acked })
			fmt.Printf("%5d  %-9s  %8d messages  p50 %7d µs  p99 %7d µs\n", i+1, s.name, got.messages, got.counts.P50.Microseconds(), got.counts.P99.Microseconds())
			p99[j] = append(p99[j], float64(got.counts.P99.Microseconds()))
		}
	}
	result("latency_hub", p99[1], p99[2], "p99_us")
	result("latency", p99[0], p99[2], "p99_us")
}

// fanIn measures how much 100 publishers bring to one subscriber through one core when each sends as fast as it is acknowledged, and whether all
// that was acknowledged arrives.
func fanIn(e *env) {
	sides := three(e, 100, loadSpec{QoS: 1, Flat: true, Payload: note})
	fmt.Printf("100 devices, %d messages of %d bytes unacknowledged each, to one subscriber, QoS 1, servers on CPU %s, generator on CPU %s; %s\n\n",
		burst, len(note), e.serverCPU, e.genCPU, mosquittoVersion())
	rates := make([]series, len(sides))
	for i := range e.rounds {
		for j, s := range sides {
			begin := s.gen.count()
			s.gen.say("start", "started")
			time.Sleep(e.warm)
			before, cpu, at := s.gen.count(), s.gen.cpu(s.pid), time.Now()
			time.Sleep(e.length)
			after, used, took := s.gen.count(), s.gen.cpu(s.pid)-cpu, time.Since(at)
			s.gen.say("stop", "stopped")
			end := s.gen.count()
			for wait := time.Now().Add(time.Minute); end.Received-begin.Received < end.Acked-begin.Acked && time.Now().Before(wait); end = s.gen.count() {
				time.Sleep(20 * time.Millisecond)
			}
			n := after.Received - before.Received
			rate := float64(n) / took.Seconds()
			fmt.Printf("%5d  %-9s  %8.0f delivered/s  %6.2f µs CPU each, %3.0f %% of its core  %6.2f %% of %d acknowledged arrived\n", i+1, s.name, rate,
				float64(used.Nanoseconds())/1e3/float64(max(n, 1)), 100*used.Seconds()/took.Seconds(),
				100*float64(end.Received-begin.Received)/float64(max(end.Acked-begin.Acked, 1)), end.Acked-begin.Acked)
			rates[j] = append(rates[j], rate)
		}
	}
	result("fanin_hub", rates[1], rates[2], "delivered_per_s")
	result("fanin", rates[0], rates[2], "delivered_per_s")
}

// idleCPU measures what connections cost that do nothing: a server and a generator may have 20,000 open files each.
func idleCPU(e *env) {
	n, settle, length := 19_500, 30*time.Second, time.Minute
	if e.smoke {
		n, settle, length = 200, time.Second, time.Second
	}
	hub := harness.StartHub(e, e.hub())
	product := hub.Product(map[string]any{"name": "idle", "kind": "device"})
	broker, alone := harness.StartMosquitto(e, harness.MosquittoOptions{Pin: e.serverCPU}), startEngine(e)
	var ours, plain []clientSpec
	for i, d := range hub.Devices(product, n) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Subscribe: d.Topic("set")})
		plain = append(plain, clientSpec{ID: fmt.Sprint("idle", i), Subscribe: fmt.Sprintf("/idle/%d/set", i)})
	}
	fmt.Printf("%d idle connections, %v after the last login, for %v; %s\n\n", n, settle, length, mosquittoVersion())
	measure := func(name, addr string, pid int, clients []clientSpec) series {
		g := startGenerator(e, name, loadSpec{Addr: addr, Clients: clients})
		defer g.close()
		time.Sleep(settle)
		before := g.cpu(pid)
		time.Sleep(length)
		used := (g.cpu(pid) - before).Seconds() * float64(time.Minute) / float64(length)
		fmt.Printf("%-9s  %.3f s of CPU a minute\n", name, used)
		return series{max(used, 0.01)} // the kernel counts in ticks of 10 ms
	}
	c := measure("engine", alone.addr, alone.cmd.Process.Pid, plain)
	a := measure("hub", hub.MQTT, hub.PID(), ours)
	b := measure("mosquitto", broker.Addr, broker.PID(), plain)
	result("idle_cpu_engine", c, b, "cpu_s_per_minute")
	result("idle_cpu", a, b, "cpu_s_per_minute")
}
