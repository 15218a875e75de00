package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// rulePayload is 200 bytes of JSON.
const rulePayload = `{"temperature":21.5,"humidity":55,"pressure":1013.25,"battery":87,"state":"running","location":` +
	`{"lat":31.2304,"lon":121.4737},"firmware":"1.4.2","uptime":123456,"rssi":-71,"alarm":false,"seq":10017}`

// The same rule for both: three terms, three fields.
const (
	ruleSQL   = `SELECT deviceSN() AS device, temperature, location.lat AS lat FROM '/p/+/upload' WHERE temperature > 20 AND state = 'running' AND battery < 90`
	peerWhere = `temperature > 20 && state == "running" && battery < 90`
	peerRow   = `{"device": device, "temperature": temperature, "lat": location.lat}`
)

// ruleEval measures a message through one rule: decoding, WHERE, SELECT and the result as JSON, beside encoding/json and expr-lang.
func ruleEval(e *env) {
	n := 20_000
	switch {
	case e.full:
		n = 200_000
	case e.smoke:
		n = 500
	}
	runtime.GOMAXPROCS(1)
	fmt.Printf("%d bytes of JSON, WHERE of 3 terms, SELECT of 3 fields, %d messages a round; expr-lang v1.17.8, %s\n", len(rulePayload), n, runtime.Version())
	ours, peer := ourRule(e), peerRule(e)
	if a, b := string(ours()), string(peer()); !sameJSON(a, b) {
		e.Fatalf("the results differ: %s and %s", a, b)
	}
	a, b := alternate(e, n, func() { ours() }, func() { peer() })
	fmt.Printf("%-34s %s\n%-34s %s\n", "CPU ns a message, ours", a, "encoding/json and expr-lang", b)
	fmt.Printf("allocations a message: ours %.1f, theirs %.1f\n", allocations(func() { ours() }), allocations(func() { peer() }))
	result("rule_eval", a, b, "ns")
}

// ourRule returns what makes the result of one message, in memory that it uses again.
func ourRule(e *env) func() []byte {
	q, err := rulesql.Parse(ruleSQL, rulesql.Full)
	must(e, err)
	p, err := rulesql.Compile(q, rulesql.Options{})
	must(e, err)
	raw := []byte(rulePayload)
	message := &rulesql.Env{Device: ident.Device{Product: "p", SN: "cellar-1"}, Topic: "/p/cellar-1/upload", QoS: 1, Time: time.Now(), Raw: raw}
	var rows rulesql.Rows
	return func() []byte {
		doc, err := codec.Decode(raw, codec.DefaultLimits())
		must(e, err)
		defer doc.Release()
		message.Payload = doc.Root()
		rows.Reset()
		if ok, err := p.Match(message); err != nil || !ok {
			e.Fatalf("does not match: %v", err)
		}
		must(e, p.Select(message, &rows))
		return rows.Row(0)
	}
}

// peerRule is the same with what a Go program would take first.
func peerRule(e *env) func() []byte {
	where, err := expr.Compile(peerWhere, expr.AsBool())
	must(e, err)
	row, err := expr.Compile(peerRow)
	must(e, err)
	raw := []byte(rulePayload)
	var machine vm.VM
	return func() []byte {
		var in map[string]any
		must(e, json.Unmarshal(raw, &in))
		in["device"] = "cellar-1"
		ok, err := machine.Run(where, in)
		must(e, err)
		if ok != true {
			e.Fatalf("does not match")
		}
		out, err := machine.Run(row, in)
		must(e, err)
		b, err := json.Marshal(out)
		must(e, err)
		return b
	}
}

func sameJSON(a, b string) bool {
	x, err1 := codec.Decode([]byte(a), codec.DefaultLimits())
	y, err2 := codec.Decode([]byte(b), codec.DefaultLimits())
	return err1 == nil && err2 == nil && x.Root().Equal(y.Root())
}

// alternate runs two functions n times each in rounds and returns the CPU nanoseconds a call. Each round begins with a collection, so that neither
// pays for the other's garbage.
func alternate(e *env, n int, ours, peer func()) (a, b series) {
	round := func(f func()) float64 {
		for range n / 10 {
			f()
		}
		debug.FreeOSMemory()
		start := cpuNow(e)
		for range n {
			f()
		}
		return float64(cpuNow(e)-start) / float64(n)
	}
	for range max(e.rounds, 1) * 3 {
		a, b = append(a, round(ours)), append(b, round(peer))
	}
	return a, b
}

// cpuNow is what the kernel has charged this process.
func cpuNow(e *env) time.Duration {
	var u syscall.Rusage
	must(e, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocations are those of a call.
func allocations(f func()) float64 {
	const n = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / n
}
