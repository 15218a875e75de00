package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// apiQuery measures what a caller of the API waits for a list, a device and a search, over HTTP, on both engines.
func apiQuery(e *env) {
	sizes, runs := []int{10_000}, 200
	if e.full {
		sizes, runs = []int{10_000, 1_000_000}, 500
	}
	if e.smoke {
		sizes, runs = []int{500}, 5
	}
	worst := 0.0
	for _, engine := range []string{"sqlite", "postgres"} {
		args := []string{"--durability", "process", "--api-rate", "0"}
		if engine == "postgres" {
			args = append(args, "--store-dsn", harness.Postgres(e))
		}
		hub := harness.StartHub(e, harness.HubOptions{Bin: e.hubBin, Args: args})
		f := &apiFleet{env: e, hub: hub, rnd: rand.New(rand.NewPCG(7, 7))}
		for _, n := range sizes {
			f.grow(n)
			fmt.Printf("%s, %d devices, %d runs, ms   %8s %8s %8s\n", engine, n, runs, "p50", "p99", "max")
			for _, q := range apiQueries {
				worst = max(worst, f.measure(q.name, runs, func() string { return q.path(f) }))
			}
			fmt.Println()
		}
		must(e, hub.Stop())
	}
	fmt.Printf("RESULT api_query ratio=%.3f ours=%.3f peer=%.3f unit=ms_p99\n", worst/ms(fleetLimit), worst, ms(fleetLimit))
}

// apiFleet is a hub with very many devices, seen through its API.
type apiFleet struct {
	env      *env
	hub      *harness.Hub
	rnd      *rand.Rand
	products []string
	some     []harness.Credentials // of those that were made, to be asked for
	n        int
}

// grow makes devices, a product for each 10,000 or each tenth, until there are n.
func (f *apiFleet) grow(n int) {
	for f.n < n {
		k := min(10_000, max(n/10, 1), n-f.n)
		product := f.hub.Product(map[string]any{"name": fmt.Sprint("product ", len(f.products)), "kind": "device"})
		f.products = append(f.products, product)
		var page struct {
			Items []harness.Credentials `json:"items"`
		}
		must(f.env, f.hub.Call("POST", "/v1/products/"+product+"/devices:batch", map[string]any{"count": k}, &page))
		f.some = append(f.some, page.Items[:min(100, len(page.Items))]...)
		f.n += k
	}
}

func (f *apiFleet) device() harness.Credentials { return f.some[f.rnd.IntN(len(f.some))] }

func (f *apiFleet) search(filter string) string {
	return "/v1/devices?filter=" + url.QueryEscape(filter)
}

var apiQueries = []struct {
	name string
	path func(*apiFleet) string
}{
	{"get a device", func(f *apiFleet) string {
		d := f.device()
		return "/v1/products/" + d.ProductSN + "/devices/" + d.DeviceSN
	}},
	{"list a product's devices", func(f *apiFleet) string { return "/v1/products/" + f.device().ProductSN + "/devices" }},
	{"list all devices", func(f *apiFleet) string { return "/v1/devices" }},
	{"search by SN", func(f *apiFleet) string { return f.search("sn:" + f.device().DeviceSN) }},
	{"search by SN prefix", func(f *apiFleet) string { return f.search(f.device().DeviceSN[:3]) }},
	{"search by product and state", func(f *apiFleet) string { return f.search("state:inactive product:" + f.device().ProductSN) }},
	{"count by state", func(f *apiFleet) string { return "/v1/devices:count?by=state" }},
}

// measure asks again and again and prints the times; it returns p99 in ms.
func (f *apiFleet) measure(name string, runs int, path func() string) float64 {
	times := make([]time.Duration, runs)
	for i := range times {
		p := path()
		start := time.Now()
		must(f.env, f.hub.Call("GET", p, nil, nil))
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	p99 := times[(len(times)*99-1)/100]
	fmt.Printf("%-38s %8.2f %8.2f %8.2f\n", name, ms(times[len(times)/2]), ms(p99), ms(times[len(times)-1]))
	return ms(p99)
}
