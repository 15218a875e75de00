package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// board is a hub with a large fleet, months of metrics and a device with a day of values: what people look at in the console.
type board struct {
	*apiFleet
	thermometer harness.Credentials
}

// newBoard fills a store with n devices and days of metrics, and starts a hub on it.
func newBoard(e *env, engine string, n, days, values int) *board {
	dir := filepath.Join(e.TempDir(), "hub")
	keys := filepath.Join(e.TempDir(), "keyring")
	ring, err := keyring.Load(keys, "")
	must(e, err)
	must(e, ring.Keep())
	cfg := store.Config{Dir: dir, Durability: store.DurabilityProcess, Keyring: ring}
	args := []string{"--durability", "process", "--api-rate", "0", "--publish-rate", "0", "--keyring-file", keys}
	if engine == "postgres" {
		cfg.DSN = harness.Postgres(e)
		args = append(args, "--store-dsn", cfg.DSN)
	}
	f := openFleetOn(e, engine, cfg)
	f.fill(n)
	f.count(days)
	opt := e.hub(args...)
	opt.Data = dir
	b := &board{apiFleet: &apiFleet{env: e, rnd: rand.New(rand.NewPCG(7, 7)), products: f.products, n: n}}
	list, _, err := f.reg.Devices(context.Background(), registry.Filter{Project: registry.DefaultProject, Query: "sn:attic*"}, registry.Page{Limit: 100})
	must(e, err)
	for _, d := range list {
		b.some = append(b.some, harness.Credentials{ProductSN: d.Identity.Product, DeviceSN: d.Identity.SN})
	}
	must(e, f.db.Close())
	b.hub = harness.StartHub(e, opt)
	b.measureTemperature(values)
	return b
}

// count writes days of metrics of the hub, the project and a product, minute by minute.
func (f *fleet) count(days int) {
	now := time.Now().UTC().Truncate(time.Hour)
	for at := now.Add(-time.Duration(days) * 24 * time.Hour); at.Before(now); at = at.Add(time.Hour) {
		u := &store.Unit{}
		for _, scope := range []string{metric.Hub, metric.Project(registry.DefaultProject), metric.Product(f.products[0])} {
			u.Ops = append(u.Ops, metric.HourOp(scope, at, "hub", func(int) map[metric.Name]int64 {
				n := 500 + f.rnd.Int64N(200)
				return map[metric.Name]int64{metric.MessagesUp: n, metric.BytesUp: n * 180, metric.MessagesDown: n / 2, metric.BytesDown: n * 35, metric.ErrorsUp: n / 300,
					metric.DevicesOnline: int64(f.n)*3/10 + n, metric.DevicesRegistered: int64(f.n), metric.RuleMatched: n, metric.RuleDelivered: n}
			}))
		}
		must(f.env, f.db.Do(context.Background(), u))
	}
}

const temperatureModel = `{"Property":[{"Identifier":"temperature","AccessMode":"r","DataType":{"Type":"float64"}}]}`

// measureTemperature has a thermometer report n values that are spread over the last day.
func (b *board) measureTemperature(n int) {
	product := b.hub.Product(map[string]any{"name": "thermometer", "kind": "device"})
	must(b.env, b.hub.Call("PUT", "/v1/products/"+product+"/thing-model", json.RawMessage(temperatureModel), nil))
	b.thermometer = b.hub.Devices(product, 1)[0]
	c, err := dial(b.hub.MQTT, nil, 0, clientSpec{ID: b.thermometer.ClientID(), User: b.thermometer.UserName(), Password: b.thermometer.DeviceSecret,
		Publish: b.thermometer.System("tmodel/property/post")})
	must(b.env, err)
	defer c.conn.Close()
	got := &counters{}
	go func() { _ = c.receive(got) }()
	step := 24 * time.Hour / time.Duration(n)
	at := time.Now().Add(-24 * time.Hour)
	for i := range n {
		must(b.env, c.publish(1, fmt.Appendf(nil, `{"RequestID":"1","Property":{"temperature":{"Value":%.1f,"Time":%d}}}`, 20+5*b.rnd.Float64(), at.Add(time.Duration(i)*step).UnixMilli())))
		if int64(i)-got.acked.Load() >= 200 {
			harness.Eventually(b.env, time.Minute, "the hub keeps up", func() bool { return int64(i)-got.acked.Load() < 100 })
		}
	}
	harness.Eventually(b.env, time.Minute, "the values are taken", func() bool { return got.acked.Load() == int64(n) })
}

// since is a query's from, so long ago.
func since(d time.Duration) string {
	return "from=" + url.QueryEscape(time.Now().Add(-d).UTC().Format(time.RFC3339))
}

func (b *board) series(d time.Duration, more string) string {
	return "/v1/metrics/series?name=devices_online,messages_up,messages_down,bytes_up,bytes_down,errors_up,errors_down,rule_matched,rule_delivered,rule_dead,rule_dropped&" + since(d) + more
}

func (b *board) temperatures(query string) string {
	return "/v1/products/" + b.thermometer.ProductSN + "/devices/" + b.thermometer.DeviceSN + "/properties/temperature/history?limit=1000&" + since(24*time.Hour) + query
}

// boardQueries are what the pages ask.
var boardQueries = []struct {
	name string
	path func(*board) string
}{
	{"overview", func(*board) string { return "/v1/overview" }},
	{"chart: an hour of 11 metrics", func(b *board) string { return b.series(time.Hour, "") }},
	{"chart: a day", func(b *board) string { return b.series(24*time.Hour, "") }},
	{"chart: a week", func(b *board) string { return b.series(7*24*time.Hour, "") }},
	{"chart: a day of a product", func(b *board) string { return b.series(24*time.Hour, "&product="+b.products[0]) }},
	{"list all devices", func(*board) string { return "/v1/devices?limit=50" }},
	{"list by -lastSeen", func(*board) string { return "/v1/devices?limit=50&sort=-lastSeen" }},
	{"list a product and a state", func(b *board) string { return b.search("state:online product:"+b.products[0]) + "&limit=50" }},
	{"count all devices", func(*board) string { return "/v1/devices:count" }},
	{"count a product and a state", func(b *board) string {
		return "/v1/devices:count?filter=" + url.QueryEscape("state:online product:"+b.products[0])
	}},
	{"search a word", func(b *board) string { return b.search(fmt.Sprintf(`"pump %d"`, b.rnd.IntN(b.n/4))) }},
	{"search a tag and a state", func(b *board) string { return b.search("tag.region:us state:online") }},
	{"search a prefix of the SN", func(b *board) string { return b.search("sn:" + b.device().DeviceSN[:8] + "*") }},
	{"a device", func(b *board) string {
		d := b.device()
		return "/v1/products/" + d.ProductSN + "/devices/" + d.DeviceSN
	}},
	{"history: a day, the newest 1,000", func(b *board) string { return b.temperatures("") }},
	{"history: a day in 288 means", func(b *board) string { return b.temperatures("&step=5m&fn=avg") }},
	{"open alarms", func(*board) string { return "/v1/alarms?state=open&limit=50" }},
	{"message log, newest", func(*board) string { return "/v1/messages?limit=50" }},
}

// consoleAPI measures what the console's pages wait for, over HTTP, at 100,000 devices, on both engines.
func consoleAPI(e *env) {
	n, days, values, runs := 100_000, 14, 17_280, 100
	if e.full {
		days, values, runs = 90, 86_400, 500
	}
	if e.smoke {
		n, days, values, runs = 1000, 1, 200, 2
	}
	engines := []string{"sqlite", "postgres"}
	if e.smoke {
		engines = engines[:1]
	}
	worst := 0.0
	for _, engine := range engines {
		b := newBoard(e, engine, n, days, values)
		fmt.Printf("%s, %d devices, %d days of metrics, %d values of a property in a day, %d runs, ms\n%-38s %8s %8s %8s\n", engine, n, days, values, runs, "", "p50", "p99", "max")
		for _, q := range boardQueries {
			worst = max(worst, b.measure(q.name, runs, func() string { return q.path(b) }))
		}
		fmt.Println()
		must(e, b.hub.Stop())
	}
	fmt.Printf("RESULT console_api ratio=%.3f ours=%.3f peer=%.3f unit=ms_p99\n", worst/ms(fleetLimit), worst, ms(fleetLimit))
}

// livePages are the streams that a page of the console holds open.
var livePages = []struct {
	name string
	path string
}{
	{"overview", "/v1/metrics/events"},
	{"devices", "/v1/events?type=presence"},
	{"log, live", "/v1/messages:tail"},
}

// consoleLive measures what 100 open live pages of each kind cost a hub with 100,000 devices, quiet and with messages: memory a page, CPU a second.
func consoleLive(e *env) {
	n, pages, rate := 100_000, 100, 100
	if e.smoke {
		n, pages, rate = 500, 5, 20
	}
	b := newBoard(e, "sqlite", n, 1, 100)
	fleet := b.hub.Devices(b.thermometer.ProductSN, 50)
	var specs []clientSpec
	for _, d := range fleet {
		specs = append(specs, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Publish: d.System("tmodel/property/post")})
	}
	g := startGenerator(e, "devices", loadSpec{Addr: b.hub.MQTT, Clients: specs, QoS: 1, Rate: rate, Payload: `{"RequestID":"1","Property":{"temperature":{"Value":21.5}}}`})
	defer g.close()
	g.say("start", "started")
	time.Sleep(e.length) // what the beginning leaves behind is collected
	quiet, memory := b.cpu(e.length), rss(e, b.hub.PID())
	fmt.Printf("%d devices, %d messages/s, nobody looks: %.1f MiB, %.1f ms of CPU a second\n", n, rate, mib(memory), quiet)
	worst := 0.0
	for _, p := range livePages {
		stop := b.watch(p.path, pages)
		time.Sleep(e.warm + time.Second)
		cpu, now := b.cpu(e.length), rss(e, b.hub.PID())
		a := float64(now-memory) / float64(pages)
		fmt.Printf("%d pages of %-10s %8.1f KiB a page, %.1f ms of CPU a second more (%.2f a page)\n", pages, p.name, a/1024, cpu-quiet, (cpu-quiet)/float64(pages))
		stop()
		worst, memory = max(worst, a), max(memory, rss(e, b.hub.PID()))
	}
	fmt.Printf("RESULT console_live ratio=%.3f ours=%.3f peer=%.3f unit=KiB_a_page\n", worst/(100<<10), worst/1024, 100.0)
}

// cpu is how many ms of CPU the hub takes a second, over d.
func (b *board) cpu(d time.Duration) float64 {
	before, err := harness.CPUTime(b.hub.PID())
	must(b.env, err)
	begun := time.Now()
	time.Sleep(d)
	after, err := harness.CPUTime(b.hub.PID())
	must(b.env, err)
	return ms(after-before) / time.Since(begun).Seconds()
}

// watch opens n streams and reads them until stop is called.
func (b *board) watch(path string, n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, n)
	ready := make(chan error, n)
	for range n {
		go func() {
			defer func() { ended <- struct{}{} }()
			follow(ctx, "http://"+b.hub.HTTP+path, b.hub.Key, ready)
		}()
	}
	for range n {
		must(b.env, <-ready)
	}
	return func() {
		cancel()
		for range n {
			<-ended
		}
	}
}

// sorted is a list of numbers of a run as p50 and worst.
func sorted(list []float64) (p50, worst float64) {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2], list[len(list)-1]
}

// consolePages measures in Chromium how long the first pages of a hub with 100,000 devices take until they can be worked with, with an empty cache
// and with what is kept from the visit before.
func consolePages(e *env) {
	n, runs := 100_000, 5
	if e.full {
		runs = 25
	}
	if e.smoke {
		n, runs = 500, 1
	}
	b := newBoard(e, "sqlite", n, 1, 500)
	var ann struct{ ID string }
	must(e, b.hub.Call("POST", "/v1/users", map[string]any{"login": "ann", "name": "Ann", "password": "correct horse battery"}, &ann))
	must(e, b.hub.Call("POST", "/v1/projects/hub/members", map[string]any{"user": ann.ID, "role": "owner"}, nil))
	d := b.thermometer
	vars := []string{"HAWSER_HUB=http://" + b.hub.HTTP, "HAWSER_RUNS=" + fmt.Sprint(runs), "HAWSER_DEVICE=" + d.ProductSN + "/" + d.DeviceSN}
	if e.smoke {
		vars = append(vars, "HAWSER_PAGES=devices")
	}
	out := e.node("interactive.mjs", vars)
	worst := 0.0
	fmt.Printf("%d devices, %d visits each, ms from navigation until the page can be worked with\n%-12s %-6s %8s %8s %14s %14s\n", n, runs, "", "cache", "p50", "worst", "content (p50)", "requests, KiB")
	for line := range strings.Lines(out) {
		var p struct {
			Page, Cache           string
			Interactive, Content  []float64
			Requests, Transferred int
		}
		must(e, json.Unmarshal([]byte(line), &p))
		p50, most := sorted(p.Interactive)
		content, _ := sorted(p.Content)
		fmt.Printf("%-12s %-6s %8.0f %8.0f %14.0f %8d, %4d\n", p.Page, p.Cache, p50, most, content, p.Requests, p.Transferred/1024)
		worst = max(worst, p50)
	}
	fmt.Printf("RESULT console_pages ratio=%.3f ours=%.3f peer=%.3f unit=ms_to_interactive\n", worst/2000, worst, 2000.0)
}
