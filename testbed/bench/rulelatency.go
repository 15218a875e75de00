package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	latencyRate    = 1000 // messages a second
	latencyDevices = 100
)

// ruleLatency measures how long after its PUBACK the result of a rule is at its target: over HTTP when the request has come, in
// PostgreSQL when the row is inserted (by the server's clock, which is this machine's). The peer is a bare POST to the same HTTP target, from
// its begin until it has come. Clients and HTTP target are this process.
func ruleLatency(e *env) {
	n := int(e.length.Seconds()*float64(e.rounds)) * latencyRate
	hub := harness.StartHub(e, e.hub("--rule-allow-local", "--publish-rate", "0"))
	fmt.Printf("%d devices, %d msg/s, QoS 1, %d messages for each line, hub on CPU %s\n\n", latencyDevices, latencyRate, n, e.serverCPU)
	fmt.Println("target                   PUBLISH to PUBACK            PUBACK to delivery")
	_, p99 := latencyHTTP(e, hub, n, map[string]any{}, "http, one by one")
	latencyHTTP(e, hub, n, map[string]any{"batchSize": 100}, "http, batches")
	latencyPostgres(e, hub, n)
	_, bare := barePosts(e, n)
	result("rule_latency", series{p99}, series{bare}, "p99_us")
}

// arrivals are the times at which numbered messages came, in ns since 1970; 0 is not yet.
type arrivals []atomic.Int64

// note takes all numbers of a body, {"n":1} or a list of these.
func (a arrivals) note(body string) {
	now := time.Now().UnixNano()
	for part := range strings.SplitSeq(body, `"n":`) {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if i, err := strconv.Atoi(part[:max(end, 0)]); err == nil && i < len(a) {
			a[i].CompareAndSwap(0, now)
		}
	}
}

func (a arrivals) all() bool {
	for i := range a {
		if a[i].Load() == 0 {
			return false
		}
	}
	return true
}

// serve answers requests that bring numbers.
func (a arrivals) serve(w http.ResponseWriter, req *http.Request) {
	if body, err := io.ReadAll(req.Body); err == nil {
		a.note(string(body))
	}
	w.WriteHeader(http.StatusNoContent)
}

// latencyHTTP measures an HTTP action with more members.
func latencyHTTP(e *env, hub *harness.Hub, n int, more map[string]any, name string) (p50, p99 float64) {
	there := make(arrivals, n)
	srv := httptest.NewServer(http.HandlerFunc(there.serve))
	defer srv.Close()
	more["kind"], more["url"] = "http", srv.URL
	fleet, drop := latencyRule(e, hub, more)
	defer drop()
	sent, acked := publishNumbers(e, hub.MQTT, fleet, n)
	harness.Eventually(e, time.Minute, "all are delivered", there.all)
	return printLatency(name, sent, acked, there)
}

// latencyPostgres measures rows in a table.
func latencyPostgres(e *env, hub *harness.Hub, n int) {
	p := harness.StartPostgresServer(e)
	p.Query("CREATE TABLE arrived (n INT NOT NULL, at TIMESTAMPTZ DEFAULT clock_timestamp())")
	p.Query("GRANT ALL ON arrived TO hawser")
	var c struct{ ID string }
	must(e, hub.Call("POST", "/v1/connectors", map[string]any{"name": "latency", "kind": "postgres", "config": p.Config()}, &c))
	fleet, drop := latencyRule(e, hub, map[string]any{"kind": "postgres", "connector": c.ID, "table": "arrived", "columns": map[string]any{"n": "${n}"}})
	defer drop()
	sent, acked := publishNumbers(e, hub.MQTT, fleet, n)
	harness.Eventually(e, time.Minute, "all rows are there", func() bool { return p.Query("SELECT COUNT(*) FROM arrived") == strconv.Itoa(n) })
	there := make(arrivals, n)
	for line := range strings.Lines(p.Query("SELECT n, CAST(EXTRACT(EPOCH FROM at) * 1000000 AS BIGINT) FROM arrived")) {
		var i int
		var at int64
		if _, err := fmt.Sscan(line, &i, &at); err != nil {
			e.Fatalf("row %q: %v", line, err)
		}
		there[i].Store(at * 1000)
	}
	printLatency("postgres", sent, acked, there)
}

// latencyRule makes devices and a rule with one action.
func latencyRule(e *env, hub *harness.Hub, action map[string]any) (fleet []harness.Credentials, drop func()) {
	product := hub.Product(map[string]any{"name": "latency", "kind": "device"})
	var r struct{ ID string }
	must(e, hub.Call("POST", "/v1/rules", map[string]any{"name": "latency", "enabled": true, "actions": []any{action},
		"sql": "SELECT n FROM '/" + product + "/+/upload' WHERE n >= 0"}, &r))
	return hub.Devices(product, latencyDevices), func() { must(e, hub.Call("DELETE", "/v1/rules/"+r.ID, nil, nil)) }
}

// publishNumbers sends {"n":0} to {"n":n-1}, from the devices in turn, at latencyRate, and returns when each went and when its PUBACK came.
func publishNumbers(e *env, addr string, fleet []harness.Credentials, n int) (sent []int64, acked arrivals) {
	sent, acked = make([]int64, n), make(arrivals, n)
	clients := make([]*client, len(fleet))
	for i, d := range fleet {
		c, err := dial(addr, nil, i, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Publish: d.Topic("upload")})
		must(e, err)
		defer func() { _ = c.conn.Close() }()
		clients[i] = c
		go func() { // its k-th PUBACK is that of its k-th message, whose packet id is k
			for {
				h, body, err := c.read()
				if err != nil {
					return
				}
				if h>>4 == 4 {
					acked[(int(binary.BigEndian.Uint16(body))-1)*len(fleet)+i].Store(time.Now().UnixNano())
				}
			}
		}()
	}
	begin := time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / latencyRate)))
		sent[i] = time.Now().UnixNano()
		must(e, clients[i%len(clients)].publish(1, fmt.Appendf(nil, `{"n":%d,"label":"line 4, cabinet 12, north side"}`, i)))
	}
	harness.Eventually(e, time.Minute, "all are acknowledged", acked.all)
	return sent, acked
}

func printLatency(name string, sent []int64, acked, there arrivals) (p50, p99 float64) {
	up, down := make([]int64, len(sent)), make([]int64, len(sent))
	for i, at := range sent {
		up[i] = acked[i].Load() - at
		down[i] = max(there[i].Load()-acked[i].Load(), 0) // what is there before its PUBACK has waited for nothing
	}
	a50, a99 := quantiles(up)
	p50, p99 = quantiles(down)
	fmt.Printf("%-20s  p50 %8.2f  p99 %8.2f ms  p50 %8.2f  p99 %8.2f ms\n", name, a50/1000, a99/1000, p50/1000, p99/1000)
	return p50, p99
}

// quantiles are in µs, of ns.
func quantiles(ns []int64) (p50, p99 float64) {
	slices.Sort(ns)
	return float64(ns[len(ns)/2]) / 1000, float64(ns[len(ns)*99/100]) / 1000
}

// barePosts measures POST requests alone, at the same rate.
func barePosts(e *env, n int) (p50, p99 float64) {
	there, sent := make(arrivals, n), make([]int64, n)
	srv := httptest.NewServer(http.HandlerFunc(there.serve))
	defer srv.Close()
	begin := time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / latencyRate)))
		sent[i] = time.Now().UnixNano()
		res, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(fmt.Sprintf(`{"n":%d}`, i)))
		must(e, err)
		must(e, res.Body.Close())
	}
	took := make([]int64, n)
	for i := range took {
		took[i] = there[i].Load() - sent[i]
	}
	p50, p99 = quantiles(took)
	fmt.Printf("%-20s  %44s  p50 %8.2f  p99 %8.2f ms\n", "bare POST", "", p50/1000, p99/1000)
	return p50, p99
}
